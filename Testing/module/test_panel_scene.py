"""The panel while scenes come and go, modules are switched and code is reloaded."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import paint


def test_leaving_ends_the_brush_and_lets_go_of_the_views(panel: Any) -> None:
    editor = panel.ui.segmentEditorWidget
    editor.setActiveEffectByName("Paint")
    assert editor.observing
    panel.exit()
    assert editor.activeEffect() is None
    assert not editor.observing


def test_closing_the_scene_ends_the_brush_and_empties_the_panel(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.ui.segmentEditorWidget.setActiveEffectByName("Paint")
    panel.slicer.mrmlScene.Clear(0)
    panel.settle()
    assert panel.ui.segmentEditorWidget.activeEffect() is None
    assert panel.ui.exampleTable.rowCount == 0
    assert panel.ui.segmentList.count == 0
    assert not panel.ui.runButton.enabled
    assert panel.messages == []


def test_after_a_closed_scene_the_panel_works_again(painted_panel: Any) -> None:
    panel = painted_panel
    panel.slicer.mrmlScene.Clear(0)
    panel.prepareScene()
    panel.ui.queryVolumeSelector.setCurrentNode(panel.volume)
    paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, "disc", panel.disc(6))
    panel.ui.addAllButton.click()
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip


def test_without_the_segmentation_that_was_painted_in_the_panel_asks_for_another(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.slicer.mrmlScene.RemoveNode(panel.parameters.paintSegmentation)
    panel.settle()
    assert panel.ui.exampleTable.rowCount == 0
    assert not panel.ui.addSliceButton.enabled
    assert "segmentation" in panel.ui.addSliceButton.toolTip
    assert not panel.ui.segmentEditorWidget.enabled
    made = panel.ui.paintSegmentationSelector.addNode()
    assert panel.parameters.paintSegmentation is made
    assert panel.ui.addSliceButton.enabled
    assert panel.messages == []


def test_a_scene_that_is_added_leaves_what_is_selected(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    painted, scene = panel.parameters.paintSegmentation, panel.slicer.mrmlScene
    scene.StartState(scene.ImportState)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "from another scene")
    scene.EndState(scene.ImportState)
    panel.settle()
    assert panel.parameters.queryVolume is panel.volume
    assert panel.parameters.paintSegmentation is painted
    assert panel.ui.queryVolumeSelector.currentNode() is panel.volume
    assert panel.ui.exampleTable.rowCount == 3
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip


def test_the_panel_works_on_when_a_part_of_slicers_own_widgets_is_gone(painted_panel: Any) -> None:
    import shiboken6

    panel = painted_panel
    shiboken6.delete(panel.ui.UndoRedoGroupBox)
    panel.slicer.mrmlScene.Clear(0)
    panel.prepareScene()
    panel.ui.queryVolumeSelector.setCurrentNode(panel.volume)
    assert panel.parameters.queryVolume is panel.volume


def test_a_panel_that_is_reloaded_while_shown_works_and_the_old_one_is_gone(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    old = panel.widget
    panel.reload(sys.modules["FewShotSeg"])
    assert old.Observations == []
    assert old.logic.Observations == []
    assert not old.ui.segmentEditorWidget.observing
    assert panel.ui.exampleTable.rowCount == 3
    panel.showSlice(panel.painted[0] + 1)
    panel.press("Ctrl+Shift+E")
    assert panel.ui.exampleTable.rowCount == 4


def test_reloading_takes_the_modules_parts_from_their_files_again(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

    loaded = {name: part for name, part in sys.modules.items() if name.split(".")[0] == "FewShotSegModule"}
    seen: list[str] = []

    def onReload(_self: Any) -> None:
        seen.extend(name for name in loaded if name in sys.modules)

    monkeypatch.setattr(ScriptedLoadableModuleWidget, "onReload", onReload)
    try:
        panel.widget.onReload()
        assert seen == []
    finally:
        sys.modules.update(loaded)


def test_a_panel_that_is_gone_observes_nothing(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.exit()
    panel.widget.cleanup()
    assert panel.widget.Observations == []
    assert panel.widget.logic.Observations == []
    panel.volume.SetName("later")
    panel.slicer.mrmlScene.Clear(0)
    assert panel.messages == []


def test_the_views_are_followed_again_after_a_scene_was_closed(painted_panel: Any) -> None:
    panel, editor = painted_panel, painted_panel.ui.segmentEditorWidget
    for effect in ("Paint", None):
        editor.setActiveEffectByName(effect)
        panel.slicer.mrmlScene.Clear(0)
        assert editor.mrmlSegmentEditorNode() is not None
        assert editor.observing


def test_closing_an_empty_scene_or_while_another_module_is_shown_is_survived(empty_panel: Any) -> None:
    panel = empty_panel
    for singletons in (0, 1):
        panel.slicer.mrmlScene.Clear(singletons)
    panel.exit()
    panel.slicer.mrmlScene.Clear(0)
    assert not panel.ui.segmentEditorWidget.observing
    panel.enter()
    assert panel.ui.segmentEditorWidget.observing


def test_an_editor_node_that_someone_deleted_is_made_again(painted_panel: Any) -> None:
    panel, editor = painted_panel, painted_panel.ui.segmentEditorWidget
    editor.setActiveEffectByName("Paint")
    panel.slicer.mrmlScene.RemoveNode(editor.mrmlSegmentEditorNode())
    assert editor.activeEffect() is None
    assert not editor.observing
    assert not editor.enabled, "most of its controls need the node"
    panel.settle()
    assert editor.segmentationNode() is panel.parameters.paintSegmentation
    assert editor.observing
    assert editor.enabled


def test_a_volume_that_is_loaded_while_the_module_is_shown_is_proposed(empty_panel: Any) -> None:
    from FewShotSegModule.scene.confidence import writeConfidence
    from FewShotSegModule.self_test.made_up import madeUpResult

    panel = empty_panel
    panel.prepareScene()
    panel.settle()
    assert panel.parameters.queryVolume is panel.volume
    writeConfidence(panel.volume, madeUpResult(panel.truth))
    panel.slicer.mrmlScene.RemoveNode(panel.volume)
    panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    panel.settle()
    assert panel.parameters.queryVolume is None, "what shows the confidence is no image"


def test_the_proposed_segmentation_goes_if_another_one_is_painted_in(panel: Any) -> None:
    scene, ui = panel.slicer.mrmlScene, panel.ui
    proposed = panel.parameters.paintSegmentation
    name, display = proposed.GetName(), proposed.GetDisplayNode()
    ui.paintSegmentationSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine"))
    assert [node.GetName() for node in panel.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")] == ["mine"]
    assert not scene.IsNodePresent(display)
    assert panel.parameters.paintSegmentation.GetName() == "mine"
    assert name == "made-up scan examples"


@pytest.mark.parametrize("used", ["painted", "accepted into"])
def test_the_proposed_segmentation_stays_if_it_is_used(panel: Any, used: str) -> None:
    proposed = panel.parameters.paintSegmentation
    if used == "painted":
        paint(panel.slicer, proposed, panel.volume, "disc", panel.disc(6))
    else:
        panel.ui.outputSegmentationSelector.setCurrentNode(proposed)
    panel.ui.paintSegmentationSelector.addNode()
    assert panel.parameters.paintSegmentation is not proposed
    assert panel.slicer.mrmlScene.IsNodePresent(proposed)


def test_a_segmentation_to_paint_in_moves_with_its_volume(panel: Any) -> None:
    from nodes import add_transform

    shift = np.eye(4)
    shift[:3, 3] = (10, 20, 30)
    other = panel.addVolume("registered")
    other.SetAndObserveTransformNodeID(add_transform(panel.slicer, shift).GetID())
    panel.ui.paintVolumeSelector.setCurrentNode(other)
    assert panel.parameters.paintSegmentation.GetParentTransformNode() is other.GetParentTransformNode()
