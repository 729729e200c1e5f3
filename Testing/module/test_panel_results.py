"""What the panel does with a result: accepted, undone, discarded, looked at, saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import paint
from standin.run_fixtures import dice, mask_of

from FewShotSegLib.result import Note


def test_accepting_keeps_the_result_as_a_new_segmentation(finished_panel: Any) -> None:
    panel = finished_panel
    before = {name: mask_of(panel, panel.parameters.preview, name) for name in panel.truth}
    panel.ui.acceptButton.click()
    assert panel.parameters.preview is None
    assert not panel.ui.acceptButton.enabled
    assert "Accepted" in panel.ui.resultLabel.text
    segmentations = panel.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    filled = [node for node in segmentations if node.GetSegmentation().GetNumberOfSegments()]
    (accepted,) = [node for node in filled if node is not panel.parameters.paintSegmentation]
    for name, mask in before.items():
        assert np.array_equal(mask_of(panel, accepted, name), mask), name


def test_accepting_into_a_chosen_segmentation_writes_there(finished_panel: Any) -> None:
    panel = finished_panel
    target = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "target")
    target.SetReferenceImageGeometryParameterFromVolumeNode(panel.volume)
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    panel.press("Ctrl+Shift+K")
    assert panel.messages == []
    assert "target" in panel.ui.resultLabel.text
    assert dice(mask_of(panel, target, "large"), panel.truth["large"]) > 0.8


@pytest.mark.parametrize("painted_in", [False, True])
def test_an_acceptance_can_be_undone_and_decided_anew(finished_panel: Any, painted_in: bool) -> None:
    panel, ui = finished_panel, finished_panel.ui
    if painted_in:
        target = panel.parameters.paintSegmentation
    else:
        target = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "target")
        target.SetReferenceImageGeometryParameterFromVolumeNode(panel.volume)
        paint(panel.slicer, target, panel.volume, "large", panel.disc(3))
    before = mask_of(panel, target, "large")
    assert not ui.undoButton.enabled
    ui.outputSegmentationSelector.setCurrentNode(target)
    result = mask_of(panel, panel.parameters.preview, "large")
    ui.acceptButton.click()
    accepted = mask_of(panel, target, "large")
    assert not np.array_equal(accepted, before)
    assert ui.undoButton.enabled
    ui.undoButton.click()
    assert np.array_equal(mask_of(panel, target, "large"), before)
    assert not ui.undoButton.enabled
    assert np.array_equal(mask_of(panel, panel.parameters.preview, "large"), result)
    ui.acceptButton.click()
    assert np.array_equal(mask_of(panel, target, "large"), accepted)
    assert panel.messages == []


def test_an_acceptance_can_be_undone_where_another_run_was_started_since(finished_panel: Any) -> None:
    panel = finished_panel
    target = panel.parameters.paintSegmentation
    before, result = mask_of(panel, target, "large"), mask_of(panel, panel.parameters.preview, "large")
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    panel.ui.acceptButton.click()
    panel.ui.runButton.click()
    panel.ui.runButton.click()
    panel.ui.undoButton.click()
    assert np.array_equal(mask_of(panel, target, "large"), before)
    assert np.array_equal(mask_of(panel, panel.parameters.preview, "large"), result)
    assert panel.messages == []


def test_what_was_painted_since_is_not_undone_with_the_acceptance(finished_panel: Any) -> None:
    panel = finished_panel
    target = panel.parameters.paintSegmentation
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    panel.ui.acceptButton.click()
    assert panel.ui.undoButton.enabled
    paint(panel.slicer, target, panel.volume, "third", panel.disc(3))
    assert not panel.ui.undoButton.enabled
    assert "changed since" in panel.ui.undoButton.toolTip


def test_what_was_left_alone_being_completed_is_said(finished_panel: Any) -> None:
    panel = finished_panel
    target = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "target")
    target.SetReferenceImageGeometryParameterFromVolumeNode(panel.volume)
    paint(panel.slicer, target, panel.volume, "large", np.zeros(panel.scan.shape))
    segmentations = panel.slicer.vtkSlicerSegmentationsModuleLogic
    segmentations.SetSegmentStatus(target.GetSegmentation().GetNthSegment(0), segmentations.Completed)
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    panel.ui.acceptButton.click()
    assert "completed: large" in panel.ui.resultLabel.text
    assert not mask_of(panel, target, "large").any()
    assert mask_of(panel, target, "small").any()


def test_a_preview_chosen_as_its_own_place_becomes_a_new_segmentation(finished_panel: Any) -> None:
    panel = finished_panel
    preview = panel.parameters.preview
    identifier, before = preview.GetID(), mask_of(panel, preview, "large")
    panel.ui.outputSegmentationSelector.setCurrentNode(preview)
    panel.ui.acceptButton.click()
    assert panel.messages == []
    assert panel.slicer.mrmlScene.GetNodeByID(identifier) is None
    accepted = panel.slicer.util.getNode("made-up scan segmentation*")
    assert np.array_equal(mask_of(panel, accepted, "large"), before)


def test_the_preview_is_no_place_to_paint_examples_in(finished_panel: Any) -> None:
    panel = finished_panel
    panel.ui.paintSegmentationSelector.setCurrentNode(panel.parameters.preview)
    for button in (panel.ui.addSliceButton, panel.ui.addAllButton):
        assert not button.enabled
        assert "preview" in button.toolTip
    rows = panel.ui.exampleTable.rowCount
    panel.press("Ctrl+Shift+E")
    assert panel.ui.exampleTable.rowCount == rows


def test_discarding_removes_the_preview_and_nothing_else(finished_panel: Any) -> None:
    panel = finished_panel
    preview = panel.parameters.preview
    identifier = preview.GetID()
    painted = mask_of(panel, panel.parameters.paintSegmentation, "large")
    panel.ui.discardButton.click()
    assert panel.slicer.mrmlScene.GetNodeByID(identifier) is None
    assert not panel.ui.discardButton.enabled
    assert np.array_equal(mask_of(panel, panel.parameters.paintSegmentation, "large"), painted)
    assert panel.ui.runButton.enabled


def test_the_confidence_lies_over_the_views_and_what_was_there_comes_back(finished_panel: Any) -> None:
    panel = finished_panel
    scene = panel.slicer.mrmlScene
    views = [scene.GetNodeByID("vtkMRMLSliceCompositeNode" + name) for name in ("Red", "Green", "Yellow")]
    before = [(view.GetForegroundVolumeID(), view.GetForegroundOpacity()) for view in views]
    panel.ui.confidenceCheckBox.click()
    confidence = panel.parameters.confidenceVolume
    for view in views:
        assert view.GetForegroundVolumeID() == confidence.GetID()
        assert view.GetForegroundOpacity() == pytest.approx(panel.ui.confidenceOpacitySlider.value)
    panel.ui.confidenceOpacitySlider.value = 0.25
    assert all(view.GetForegroundOpacity() == pytest.approx(0.25) for view in views)
    panel.ui.confidenceCheckBox.click()
    assert [(view.GetForegroundVolumeID(), view.GetForegroundOpacity()) for view in views] == before


def test_a_run_that_is_done_while_a_scene_is_added_is_shown_afterwards(finished_panel: Any) -> None:
    panel = finished_panel
    scene = panel.slicer.mrmlScene
    panel.ui.discardButton.click()
    panel.ui.runButton.click()
    run = panel.widget.live.run
    scene.StartState(scene.ImportState)
    panel.waitFor(lambda: run.state == "finished")
    assert not panel.ui.acceptButton.enabled
    scene.EndState(scene.ImportState)
    panel.events()
    assert panel.ui.acceptButton.enabled
    assert panel.messages == []


def test_a_preview_that_someone_deleted_is_no_longer_offered(finished_panel: Any) -> None:
    panel = finished_panel
    panel.slicer.mrmlScene.RemoveNode(panel.parameters.preview)
    panel.settle()
    assert not panel.ui.acceptButton.enabled
    assert panel.messages == []


def test_a_saved_scene_brings_back_examples_settings_and_preview(finished_panel: Any, tmp_path: Path) -> None:
    panel = finished_panel
    panel.ui.refineStrengthSlider.value = 0.4
    panel.ui.exampleTable.cellWidget(1, 0).click()
    rows = [panel.ui.exampleTable.cellWidget(row, 2).text for row in range(3)]
    result = mask_of(panel, panel.parameters.preview, "large")
    panel.saveAndReopen(tmp_path)
    panel.settle()
    ui = panel.ui
    assert [ui.exampleTable.cellWidget(row, 2).text for row in range(ui.exampleTable.rowCount)] == rows
    assert [ui.exampleTable.cellWidget(row, 0).checked for row in range(3)] == [True, False, True]
    assert ui.refineStrengthSlider.value == pytest.approx(0.4)
    assert ui.deviceSelector.currentText == "cpu"
    assert ui.acceptButton.enabled
    assert ui.confidenceCheckBox.enabled
    panel.volume = panel.parameters.queryVolume
    assert np.array_equal(mask_of(panel, panel.parameters.preview, "large"), result)
    assert ui.runButton.enabled, ui.runButton.toolTip


def segmentations(panel: Any) -> dict[str, Any]:
    return {node.GetName(): node for node in panel.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}


def displayable(panel: Any) -> set[str]:
    """All that a user may see in the lists of nodes, and what displays it."""
    kinds = ("vtkMRMLDisplayableNode", "vtkMRMLDisplayNode", "vtkMRMLColorTableNode")
    return {node.GetID() for kind in kinds for node in panel.slicer.util.getNodesByClass(kind)}


def run_again(panel: Any, volume: Any) -> None:
    """What a run leads to, without the run."""
    panel.widget.live.show(volume, panel.widget.live.result)


@pytest.mark.parametrize("decision", ["acceptButton", "discardButton"])
def test_nothing_of_a_result_that_was_decided_about_is_left_behind(ready_panel: Any, decision: str) -> None:
    from FewShotSegModule.self_test.made_up import madeUpResult

    panel = ready_panel
    target = panel.parameters.paintSegmentation
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    before = displayable(panel)
    panel.widget.live.show(panel.volume, madeUpResult(panel.truth))
    assert len(displayable(panel) - before) == 5, "preview, confidence, their display nodes and the colours"
    getattr(panel.ui, decision).click()
    assert displayable(panel) == before
    assert panel.parameters.confidenceVolume is None


def test_a_confidence_that_is_being_looked_at_stays_until_it_is_switched_off(finished_panel: Any) -> None:
    panel = finished_panel
    confidence = panel.parameters.confidenceVolume
    panel.ui.confidenceCheckBox.click()
    panel.ui.acceptButton.click()
    assert panel.parameters.confidenceVolume is confidence
    assert panel.ui.confidenceCheckBox.checked
    panel.ui.confidenceCheckBox.click()
    assert panel.parameters.confidenceVolume is None
    assert not panel.slicer.mrmlScene.IsNodePresent(confidence)
    assert not panel.ui.confidenceCheckBox.enabled


def test_undoing_an_acceptance_into_a_new_segmentation_removes_it_and_brings_preview_and_confidence_back(
    finished_panel: Any,
) -> None:
    panel, ui = finished_panel, finished_panel.ui
    before, result = set(segmentations(panel)), mask_of(panel, panel.parameters.preview, "large")
    sure = panel.slicer.util.arrayFromVolume(panel.parameters.confidenceVolume).copy()
    for _again in range(2):
        ui.acceptButton.click()
        assert "made-up scan segmentation" in segmentations(panel)
        assert ui.undoButton.enabled
        ui.undoButton.click()
        assert set(segmentations(panel)) == before
        preview = panel.parameters.preview
        assert np.array_equal(mask_of(panel, preview, "large"), result)
        assert preview.GetDisplayNode().GetVisibility()
        assert np.array_equal(panel.slicer.util.arrayFromVolume(panel.parameters.confidenceVolume), sure)
        assert panel.parameters.confidenceVolume.GetDisplayNode().GetApplyThreshold()
    ui.confidenceCheckBox.click()
    assert ui.confidenceCheckBox.checked
    assert panel.messages == []


def test_a_segmentation_made_with_the_selector_shows_what_is_accepted_into_it(finished_panel: Any) -> None:
    panel = finished_panel
    made = panel.ui.outputSegmentationSelector.addNode()
    assert made.GetDisplayNode() is None, "Slicer's selector makes none"
    panel.ui.acceptButton.click()
    assert made.GetDisplayNode().GetVisibility()
    assert dice(mask_of(panel, made, "large"), panel.truth["large"]) > 0.8


def test_the_editors_own_undo_and_redo_end_the_panels(finished_panel: Any) -> None:
    panel, ui = finished_panel, finished_panel.ui
    target, editor = panel.parameters.paintSegmentation, ui.segmentEditorWidget
    ui.outputSegmentationSelector.setCurrentNode(target)
    stroke = mask_of(panel, target, "large") | panel.disc(3)
    editor.saveStateForUndo()
    paint(panel.slicer, target, panel.volume, "large", stroke)
    ui.acceptButton.click()
    assert ui.undoButton.enabled
    editor.undo()
    assert np.array_equal(mask_of(panel, target, "large"), stroke)
    assert not ui.undoButton.enabled, "it would take back the stroke"


def test_colours_and_surfaces_may_change_before_an_acceptance_is_undone(finished_panel: Any) -> None:
    panel, ui = finished_panel, finished_panel.ui
    target = panel.parameters.paintSegmentation
    ui.outputSegmentationSelector.setCurrentNode(target)
    ui.acceptButton.click()
    target.GetSegmentation().GetNthSegment(0).SetColor(0.1, 0.2, 0.3)
    target.CreateClosedSurfaceRepresentation()
    assert ui.undoButton.enabled


def test_after_a_scene_was_closed_nothing_of_it_can_be_undone_or_is_said(finished_panel: Any) -> None:
    panel = finished_panel
    panel.ui.acceptButton.click()
    panel.slicer.mrmlScene.Clear(0)
    assert not panel.ui.undoButton.enabled
    assert panel.ui.resultLabel.text == "No result yet."


def test_results_do_not_number_their_names_on(finished_panel: Any) -> None:
    panel = finished_panel
    for _run in range(3):
        run_again(panel, panel.volume)
        assert panel.parameters.preview.GetName() == "made-up scan preview"
        assert panel.parameters.confidenceVolume.GetName() == "made-up scan confidence"


def test_a_result_of_another_volume_is_named_after_that(finished_panel: Any) -> None:
    panel, other = finished_panel, finished_panel.addVolume("other patient")
    panel.ui.confidenceCheckBox.click()
    before = panel.parameters.confidenceVolume
    run_again(panel, other)
    assert panel.parameters.preview.GetName() == "other patient preview"
    assert panel.parameters.confidenceVolume.GetName() == "other patient confidence"
    assert not panel.slicer.mrmlScene.IsNodePresent(before)
    assert not panel.ui.confidenceCheckBox.checked
    view = panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert view.GetForegroundVolumeID() is None


def test_an_overlay_that_is_on_stays_on_in_the_next_run_of_the_same_volume(finished_panel: Any) -> None:
    panel = finished_panel
    panel.ui.confidenceCheckBox.click()
    confidence = panel.parameters.confidenceVolume
    run_again(panel, panel.volume)
    assert panel.parameters.confidenceVolume is confidence
    assert panel.ui.confidenceCheckBox.checked


def test_an_overlay_that_was_saved_with_the_scene_can_be_taken_off(finished_panel: Any, tmp_path: Path) -> None:
    panel = finished_panel
    other = panel.addVolume("PET")
    panel.slicer.util.setSliceViewerLayers(foreground=other, foregroundOpacity=0.3)
    panel.ui.confidenceOpacitySlider.value = 0.7
    panel.ui.confidenceCheckBox.click()
    panel.saveAndReopen(tmp_path)
    view = panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert view.GetForegroundVolumeID() == panel.parameters.confidenceVolume.GetID()
    assert panel.ui.confidenceCheckBox.checked
    assert panel.ui.confidenceOpacitySlider.value == pytest.approx(0.7)
    panel.ui.confidenceCheckBox.click()
    shown = panel.slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID())
    assert shown.GetName() == "PET"
    assert view.GetForegroundOpacity() == pytest.approx(0.3)
    assert panel.messages == []


def test_a_confidence_that_someone_deletes_gives_the_views_back(finished_panel: Any) -> None:
    panel = finished_panel
    other = panel.addVolume("PET")
    panel.slicer.util.setSliceViewerLayers(foreground=other, foregroundOpacity=0.3)
    panel.ui.confidenceCheckBox.click()
    panel.slicer.mrmlScene.RemoveNode(panel.parameters.confidenceVolume)
    panel.settle()
    view = panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert view.GetForegroundVolumeID() == other.GetID()
    assert view.GetForegroundOpacity() == pytest.approx(0.3)
    assert not panel.ui.confidenceCheckBox.enabled


class Layout:
    """A layout manager that counts how often the 3D views were centred."""

    def __init__(self) -> None:
        self.centred = 0

    def resetThreeDViews(self) -> None:
        self.centred += 1


def test_the_3d_views_are_centred_on_a_result_only_where_they_were_empty(
    finished_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, layout = finished_panel, Layout()
    monkeypatch.setattr(panel.slicer.app, "layoutManager", lambda: layout)
    run_again(panel, panel.volume)
    assert layout.centred == 0, "the preview before was there to be looked at"
    result = panel.widget.live.result
    panel.ui.discardButton.click()
    panel.widget.live.show(panel.volume, result)
    assert layout.centred == 1


def test_a_result_that_can_not_be_accepted_stays(finished_panel: Any) -> None:
    panel = finished_panel
    target = panel.parameters.paintSegmentation
    logic = panel.slicer.vtkSlicerSegmentationsModuleLogic
    for number in range(target.GetSegmentation().GetNumberOfSegments()):
        logic.SetSegmentStatus(target.GetSegmentation().GetNthSegment(number), logic.Completed)
    panel.ui.outputSegmentationSelector.setCurrentNode(target)
    panel.swallow(panel.ui.acceptButton.click)
    assert "completed" in panel.messages[0]
    assert panel.ui.acceptButton.enabled
    panel.ui.outputSegmentationSelector.setCurrentNode(None)
    panel.ui.acceptButton.click()
    assert "made-up scan segmentation" in segmentations(panel)


def test_what_was_found_on_a_slice_where_it_is_not_painted_is_said(finished_panel: Any, results: list[Any]) -> None:
    panel, ui = finished_panel, finished_panel.ui
    notes = (Note(0, 3, 1, "large"), Note(0, 3, 2, "small"), Note(0, 5, 1, "large"))
    panel.widget.live.show(panel.volume, replace(results[0], notes=notes))
    first, second = ui.resultLabel.toolTip.splitlines()
    assert first.endswith(": large, small found, not painted there yet.")
    assert "mm" in first, "slices are called as in the list of examples"
    assert first in ui.resultLabel.text
    assert second not in ui.resultLabel.text
    assert "(and 1 more)" in ui.resultLabel.text
    panel.ui.acceptButton.click()
    assert ui.resultLabel.toolTip == ""
    panel.ui.undoButton.click()
    assert first in ui.resultLabel.text, "what is brought back says it again"


def test_a_painted_slice_that_is_no_example_is_not_overwritten(finished_panel: Any) -> None:
    """Somebody switched its row off, because it shows something special."""
    panel, ui = finished_panel, finished_panel.ui
    painted, k = panel.parameters.paintSegmentation, panel.painted[1]
    mask = mask_of(panel, painted, "large")
    mask[k] = False
    mask[k, 30:34, 30:34] = True
    paint(panel.slicer, painted, panel.volume, "large", mask)
    panel.settle()
    from FewShotSegModule.scene.example_list import ExampleList

    examples = ExampleList(panel.parameters.parameterNode)
    examples.setEnabled(examples.rows()[1].identifier, False)
    ui.outputSegmentationSelector.setCurrentNode(painted)
    ui.acceptButton.click()
    found = mask_of(panel, painted, "large")
    assert np.array_equal(found[k], mask[k])
    assert found[k - 1].sum() > 100
