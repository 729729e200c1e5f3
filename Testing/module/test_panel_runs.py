"""Runs from the panel, with the real engine in its worker process on a small scan."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import addSliceViews, paint
from standin.run_fixtures import dice, mask_of


def node_ids(panel: Any) -> set[str]:
    scene = panel.slicer.mrmlScene
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def test_a_click_segments_shows_progress_and_gives_a_preview(ready_panel: Any, results: list[Any]) -> None:
    from FewShotSegModule.panel.progress_text import titles

    panel, ui = ready_panel, ready_panel.ui
    shown: list[tuple[str, int, int]] = []
    ui.runButton.click()
    assert ui.runButton.text == "Cancel"
    assert ui.runButton.enabled
    assert not ui.progressPanel.isHidden()

    def finished() -> bool:
        if not ui.acceptButton.enabled:
            shown.append((ui.stageLabel.text, ui.progressBar.value, ui.progressBar.maximum))
        return ui.acceptButton.enabled

    panel.waitFor(finished)
    results.append(panel.widget.live.result)
    stages = list(dict.fromkeys(text.split(":")[0] for text, _value, _maximum in shown))
    assert set(stages) <= set(titles().values())
    assert stages[0] == "Starting the process that segments"
    assert "Loading the network" not in stages[2:]  # it may take less time than there is between two looks
    assert len(stages) >= 2, stages
    # First it is only shown that there is something going on, then how much of the whole is done.
    busy = [maximum == 0 for _text, _value, maximum in shown]
    assert busy == sorted(busy, reverse=True)
    counted = [value for _text, value, maximum in shown if maximum]
    assert counted == sorted(counted)
    # Many steps may pass between two looks of the timer.
    assert counted
    assert ui.progressPanel.isHidden()
    assert ui.runButton.text == "Update"
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


def test_a_second_run_fills_the_same_preview(finished_panel: Any) -> None:
    panel = finished_panel
    preview, before = panel.parameters.preview, node_ids(panel)
    shown = panel.widget.live.result
    panel.press("Ctrl+Shift+G")
    assert panel.ui.runButton.text == "Cancel"
    panel.waitFor(lambda: panel.ui.runButton.text == "Update")
    assert panel.widget.live.result is not shown
    assert panel.parameters.preview is preview
    assert node_ids(panel) == before


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


def test_closing_the_scene_in_a_run_ends_it_quietly(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    worker = panel.widget.logic.host.client
    panel.slicer.mrmlScene.Clear(0)
    panel.settle()
    assert worker.alive, "it has loaded the network, for the next scene"
    assert panel.ui.runButton.text == "Segment from examples"
    assert panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert panel.messages == []


def test_the_worker_serves_the_next_scene_and_ends_with_the_panel(ready_panel: Any) -> None:
    panel = ready_panel
    panel.ui.runButton.click()
    panel.waitFor(lambda: "of" in panel.ui.stageLabel.text)
    worker = panel.widget.logic.host.client
    panel.slicer.mrmlScene.Clear(0)
    panel.prepareScene()
    panel.ui.queryVolumeSelector.setCurrentNode(panel.volume)
    panel.ui.paintSegmentationSelector.setCurrentNode(panel.drawn)
    panel.ui.deviceSelector.currentIndex = 1
    panel.ui.addAllButton.click()
    panel.ui.runButton.click()
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    assert panel.widget.logic.host.client is worker
    assert panel.messages == []
    panel.widget.cleanup()
    assert not worker.alive


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


@pytest.fixture
def self_test(empty_panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module's self-test, with what it said."""
    from FewShotSegModule.self_test import cases
    from FewShotSegModule.self_test.self_test import FewShotSegTest

    def select(name: str) -> None:
        empty_panel.enter() if name == "FewShotSeg" else empty_panel.exit()

    addSliceViews(empty_panel.slicer)
    monkeypatch.setattr(empty_panel.slicer.util, "selectModule", select)
    monkeypatch.setattr(empty_panel.slicer.util, "getModuleWidget", lambda _name: empty_panel.widget)
    monkeypatch.setattr(cases, "STIR_S", 0.0)
    test = FewShotSegTest()
    test.said = []
    monkeypatch.setattr(test, "delayDisplay", lambda text, *_arguments: test.said.append(text), raising=False)
    return test


def test_the_self_test_says_what_it_skips_where_packages_are_missing(
    self_test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from FewShotSegModule.setup import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["torch>=2.3,<3"])
    self_test.runTest()
    skipped = [text for text in self_test.said if "torch>=2.3,<3" in text]
    assert len(self_test.said) == 16
    assert len(skipped) == 5
    assert any("examples and settings" in text for text in self_test.said), "what needs no packages is tested"


def test_the_self_test_that_runs_inside_slicer_passes_here(empty_panel: Any, self_test: Any) -> None:
    self_test.runTest()
    skipped = [text for text in self_test.said if "Skipped" in text]
    absent = "Segment Editor", "loads files"  # those of the application, which is not here
    assert all(any(part in text for part in absent) for text in skipped)
    assert empty_panel.messages == []
