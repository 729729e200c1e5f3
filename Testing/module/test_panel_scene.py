"""The panel while scenes come and go, modules are switched and code is reloaded."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from standin.qt_panel import paint


def test_leaving_ends_the_brush_and_lets_go_of_the_views(panel: Any) -> None:
    editor = panel.ui.segmentEditorWidget
    editor.setActiveEffectByName("Paint")
    assert editor._observing
    panel.exit()
    assert editor.activeEffect() is None
    assert not editor._observing


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
    assert not old.ui.segmentEditorWidget._observing
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
