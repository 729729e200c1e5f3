"""What the panel does with a result: accepted, undone, discarded, looked at, saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import paint
from standin.run_fixtures import dice, mask_of


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
    panel.widget.logic._queries = {}
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
    (run,), scene = panel.widget.logic._queries, panel.slicer.mrmlScene
    panel.ui.discardButton.click()
    scene.StartState(scene.ImportState)
    panel.widget._onRunFinished(run)
    assert not panel.ui.acceptButton.enabled
    scene.EndState(scene.ImportState)
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
