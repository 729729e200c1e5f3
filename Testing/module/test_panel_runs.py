"""Runs from the panel, with the real engine in its worker process on a small scan."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import addSliceViews, paint


def dice(found: np.ndarray, expected: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & expected) / (np.count_nonzero(found) + np.count_nonzero(expected))


def node_ids(panel: Any) -> set[str]:
    scene = panel.slicer.mrmlScene
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def mask_of(panel: Any, segmentation: Any, name: str) -> np.ndarray:
    identifier = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return panel.slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, panel.volume) > 0


@pytest.fixture
def ready_panel(painted_panel: Any) -> Any:
    """A panel with examples, which computes on the CPU."""
    painted_panel.ui.deviceSelector.currentIndex = 1
    painted_panel.ui.addAllButton.click()
    assert painted_panel.ui.runButton.enabled, painted_panel.ui.runButton.toolTip
    return painted_panel


@pytest.fixture(scope="module")
def results() -> list[Any]:
    """Results of real runs: what follows a run needs only one of them."""
    return []


@pytest.fixture
def finished_panel(ready_panel: Any, results: list[Any]) -> Any:
    """A panel after a run of the real engine; after the first test, with the result that it had."""
    panel = ready_panel
    if not results:
        run_and_keep(panel, results)
    else:
        run = FinishedRun(results[0])
        panel.widget.logic._queries = {run: panel.volume}
        panel.widget._onRunFinished(run)
    assert panel.ui.acceptButton.enabled
    return panel


class FinishedRun:
    """A run as it is when it is done."""

    state = "finished"

    def __init__(self, result: Any) -> None:
        self.result = result


def run_and_keep(panel: Any, results: list[Any]) -> None:
    panel.ui.runButton.click()
    run = panel.widget._run._run
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    results.append(run.result)


def test_a_click_segments_shows_progress_and_gives_a_preview(ready_panel: Any, results: list[Any]) -> None:
    from FewShotSegModule.panel.stage_text import titles

    panel, ui = ready_panel, ready_panel.ui
    shown: list[tuple[str, int, int]] = []
    ui.runButton.click()
    run = panel.widget._run._run
    assert ui.runButton.text == "Cancel"
    assert ui.runButton.enabled
    assert not ui.progressPanel.isHidden()

    def finished() -> bool:
        if not ui.acceptButton.enabled:
            shown.append((ui.stageLabel.text, ui.progressBar.value, ui.progressBar.maximum))
        return ui.acceptButton.enabled

    panel.waitFor(finished)
    results.append(run.result)
    stages = list(dict.fromkeys(text.split(":")[0] for text, _value, _maximum in shown))
    assert set(stages) <= set(titles().values())
    assert stages[:2] == ["Starting the process that segments", "Loading the network"]
    assert any("slice" in text and "of 12" in text for text, _value, _maximum in shown), stages
    # First it is only shown that there is something going on, then how much of the whole is done.
    busy = [maximum == 0 for _text, _value, maximum in shown]
    assert busy == sorted(busy, reverse=True)
    counted = [value for _text, value, maximum in shown if maximum]
    assert counted == sorted(counted)
    assert counted[-1] > 0.8 * shown[-1][2]
    assert ui.progressPanel.isHidden()
    assert ui.runButton.text == "Segment from examples"
    preview = panel.parameters.preview
    assert "large" in ui.resultLabel.text
    assert "small" in ui.resultLabel.text
    for name, expected in panel.truth.items():
        assert dice(mask_of(panel, preview, name), expected) > 0.8, name
    content = panel.parameters.paintSegmentation.GetSegmentation()
    for number in range(content.GetNumberOfSegments()):
        segment = content.GetNthSegment(number)
        found = preview.GetSegmentation().GetSegment(
            preview.GetSegmentation().GetSegmentIdBySegmentName(segment.GetName())
        )
        assert found.GetColor() == pytest.approx(segment.GetColor())
    assert panel.messages == []


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


def test_a_second_run_replaces_the_preview(finished_panel: Any) -> None:
    panel = finished_panel
    first = panel.parameters.preview.GetID()
    segmentations = panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    volumes = panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    panel.press("Ctrl+Shift+G")
    panel.waitFor(lambda: panel.ui.runButton.text == "Segment from examples")
    assert panel.parameters.preview is not None
    assert panel.parameters.preview.GetID() != first or panel.slicer.mrmlScene.GetNodeByID(first) is not None
    assert panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == segmentations
    assert panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == volumes


def test_cancel_stops_within_half_a_second_and_leaves_the_scene_alone(ready_panel: Any) -> None:
    panel = ready_panel
    before = node_ids(panel)
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    start = time.monotonic()
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.runButton.text == "Segment from examples")
    # Half a second, where the computer has time for this process.
    assert time.monotonic() - start < 0.5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert panel.ui.progressPanel.isHidden()
    panel.settle()
    assert node_ids(panel) == before
    assert panel.parameters.preview is None
    assert panel.messages == []


def test_after_cancel_the_next_click_runs(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.press("Ctrl+Shift+G")
    panel.waitFor(lambda: panel.ui.runButton.text == "Segment from examples")
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    assert panel.messages == []


def test_only_chosen_segments_are_looked_for(ready_panel: Any) -> None:
    import qt

    panel = ready_panel
    panel.ui.segmentList.item(0).setCheckState(qt.Qt.Unchecked)
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    content = panel.parameters.preview.GetSegmentation()
    assert [content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments())] == ["small"]


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
    run, scene = panel.widget._finishedRun, panel.slicer.mrmlScene
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


def test_closing_the_scene_in_a_run_ends_it_quietly(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    panel.slicer.mrmlScene.Clear(0)
    panel.settle()
    assert panel.ui.runButton.text == "Segment from examples"
    assert panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert panel.messages == []


def test_a_run_goes_on_while_another_module_is_shown(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.exit()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    assert panel.parameters.preview is not None


def test_in_a_run_volumes_can_be_renamed_and_examples_can_go(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    panel.volume.SetName("renamed")
    panel.slicer.mrmlScene.RemoveNode(panel.parameters.paintSegmentation)
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    assert panel.parameters.preview.GetName() == "renamed preview"
    assert dice(mask_of(panel, panel.parameters.preview, "large"), panel.truth["large"]) > 0.8
    panel.ui.acceptButton.click()
    assert panel.messages == []


def test_declining_to_install_packages_starts_nothing(ready_panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = ready_panel
    monkeypatch.setattr(panel.widget._run, "_prepare", lambda: False)
    panel.ui.runButton.click()
    assert panel.ui.runButton.text == "Segment from examples"
    assert panel.ui.progressPanel.isHidden()


def test_a_killed_worker_is_explained_and_the_next_click_works(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    panel.killWorker()
    panel.waitFor(lambda: panel.ui.runButton.text == "Segment from examples")
    assert len(panel.messages) == 1
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    assert len(panel.messages) == 1


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


def test_examples_of_another_volume_segment_this_one(panel: Any) -> None:
    other = panel.addVolume("other patient")
    panel.ui.deviceSelector.currentIndex = 1
    panel.ui.paintVolumeSelector.setCurrentNode(other)
    for name, mask in panel.truth.items():
        painted = np.zeros_like(mask)
        painted[list(panel.painted)] = mask[list(panel.painted)]
        paint(panel.slicer, panel.parameters.paintSegmentation, other, name, painted)
    panel.ui.addAllButton.click()
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    role = panel.parameters.preview.GetReferenceImageGeometryReferenceRole()
    assert panel.parameters.preview.GetNodeReference(role) is panel.volume


def test_the_self_test_says_what_it_skips_where_packages_are_missing(
    empty_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from FewShotSegModule.self_test import FewShotSegTest
    from FewShotSegModule.setup import dependencies

    said: list[str] = []
    addSliceViews(empty_panel.slicer)
    monkeypatch.setattr(dependencies, "missing", lambda: ["torch>=2.3,<3"])
    monkeypatch.setattr(empty_panel.slicer.util, "selectModule", lambda _name: empty_panel.enter())
    monkeypatch.setattr(empty_panel.slicer.util, "getModuleWidget", lambda _name: empty_panel.widget)
    test = FewShotSegTest()
    monkeypatch.setattr(test, "delayDisplay", lambda text, *_arguments: said.append(text), raising=False)
    test.runTest()
    assert "examples and settings" in said[0], "what needs no packages is tested"
    assert len(said) == 3
    assert all("torch>=2.3,<3" in text for text in said[1:])


def test_the_self_test_that_runs_inside_slicer_passes_here(empty_panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from FewShotSegModule.self_test import FewShotSegTest

    addSliceViews(empty_panel.slicer)
    monkeypatch.setattr(empty_panel.slicer.util, "selectModule", lambda _name: empty_panel.enter())
    monkeypatch.setattr(empty_panel.slicer.util, "getModuleWidget", lambda _name: empty_panel.widget)
    test = FewShotSegTest()
    monkeypatch.setattr(test, "delayDisplay", lambda *_arguments, **_options: None, raising=False)
    test.runTest()
    assert empty_panel.messages == []
