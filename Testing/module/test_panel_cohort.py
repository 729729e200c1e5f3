"""The section Library and cohort: a library of the examples, a run in the background, cases reviewed and corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import set_segment

from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.library import Library


@pytest.fixture
def loading(painted_panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel, with files loaded by Slicer's storage nodes as its file dialogs do; they need the application."""
    slicer = painted_panel.slicer

    def load(kind: str, storage: str, path: str, properties: dict[str, str]) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass(kind, properties["name"])
        reader = slicer.mrmlScene.AddNewNodeByClass(storage)
        reader.SetFileName(path)
        if not reader.ReadData(node):
            raise RuntimeError(path)
        return node

    def load_volume(path: str, properties: dict[str, str]) -> Any:
        return load("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", path, properties)

    def load_segmentation(path: str, properties: dict[str, str]) -> Any:
        return load("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", path, properties)

    monkeypatch.setattr(slicer.util, "loadVolume", load_volume, raising=False)
    monkeypatch.setattr(slicer.util, "loadSegmentation", load_segmentation, raising=False)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **_: None, raising=False)
    return painted_panel


def cells(panel: Any) -> list[str]:
    """The texts of the table's rows."""
    table = panel.ui.cohortTable
    return [table.item(row, 1).text() for row in range(table.rowCount)]


def write_record(output: Path, record: Record) -> None:
    folder = output / "cases" / record.case
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record.to_json(), encoding="utf-8")


def test_a_folder_of_results_is_shown_with_failed_and_doubtful_cases_first(painted_panel: Any, tmp_path: Path) -> None:
    panel = painted_panel
    liver = Structure(1, "liver", (1, 0, 0), 10, 1.0, 1.0, 0.9)
    write_record(tmp_path, Record("a fine one", "a.nii", DONE, structures=(liver,)))
    write_record(tmp_path, Record("an odd one", "b.nii", DONE, doubts=("liver is unsure",), structures=(liver,)))
    write_record(tmp_path, Record("a bad one", "c.nii", FAILED, error="can't be read"))
    (tmp_path / "cases" / "half").mkdir()
    (tmp_path / "cases" / "half" / "record.json").write_text("{", encoding="utf-8")
    panel.ui.cohortOutputEdit.text = str(tmp_path)
    panel.events()
    assert cells(panel) == ["a bad one: failed\ncan't be read", "an odd one\nliver is unsure", "a fine one"]
    assert not panel.ui.showCaseButton.enabled
    panel.ui.cohortTable.selectRow(1)
    assert panel.ui.showCaseButton.enabled


def test_what_a_run_still_needs_is_said(painted_panel: Any, tmp_path: Path) -> None:
    panel = painted_panel
    for edit, missing in (
        (panel.ui.libraryPathEdit, "library"),
        (panel.ui.casesPathEdit, "volumes"),
        (panel.ui.cohortOutputEdit, "results"),
    ):
        assert not panel.ui.cohortRunButton.enabled
        assert missing in panel.ui.cohortRunButton.toolTip
        edit.text = str(tmp_path / "x.zip")
        panel.events()
    assert panel.ui.cohortRunButton.enabled


def test_a_run_that_can_not_start_says_why_and_the_panel_stays_usable(painted_panel: Any, tmp_path: Path) -> None:
    panel = painted_panel
    panel.ui.libraryPathEdit.text = str(tmp_path / "none.zip")
    panel.ui.casesPathEdit.text = str(tmp_path)
    panel.ui.cohortOutputEdit.text = str(tmp_path / "out")
    panel.events()
    panel.ui.cohortRunButton.click()
    assert panel.ui.cohortRunButton.text == "Stop"
    panel.waitFor(lambda: panel.ui.cohortRunButton.text != "Stop", 60)
    assert "no volume in" in panel.ui.cohortStateLabel.text
    assert panel.ui.cohortRunButton.enabled


def test_from_examples_to_a_corrected_case_whose_slices_the_library_has(loading: Any, tmp_path: Path) -> None:
    """All of it once: keep, segment the scene's other volume in the background, open, correct, keep, run again."""
    panel, slicer = loading, loading.slicer
    panel.ui.addAllButton.click()
    other = panel.addVolume("second patient")
    scan = panel.scan + np.random.default_rng(1).integers(-9, 9, panel.scan.shape, np.int16)
    slicer.util.updateVolumeFromArray(other, scan)
    panel.ui.libraryPathEdit.text = str(tmp_path / "lib.zip")
    panel.ui.cohortOutputEdit.text = str(tmp_path / "out")
    panel.ui.sceneCasesCheckBox.checked = True
    panel.events()
    panel.ui.keepExamplesButton.click()
    assert panel.messages == []
    assert [len(entry.slices) for entry in Library.open(tmp_path / "lib.zip").entries] == [3]

    panel.ui.cohortRunButton.click()
    panel.waitFor(lambda: panel.ui.cohortRunButton.text != "Stop", 120)
    assert cells(panel)[0].startswith("second_patient"), panel.ui.cohortStateLabel.text
    record = json.loads((tmp_path / "out" / "cases" / "second_patient" / "record.json").read_text(encoding="utf-8"))
    assert record["status"] == DONE

    slicer.mrmlScene.RemoveNode(other)
    panel.ui.cohortTable.selectRow(0)
    panel.ui.showCaseButton.click()
    assert panel.messages == []
    [volume] = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetName() == "second_patient"]
    [result] = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetName() == "second_patient"]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), scan)
    panel.ui.learnButton.click()
    assert "Nothing was changed" in panel.messages.pop()

    identifier = result.GetSegmentation().GetSegmentIdBySegmentName("large")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, identifier, volume)
    mask[4, 20:30, 20:26] = 0
    set_segment(slicer, result, "large", mask, volume)
    panel.ui.learnButton.click()
    assert panel.messages == []
    first, second = Library.open(tmp_path / "lib.zip").entries
    assert [(s.axis, s.index, s.complete) for s in second.slices] == [(0, 4, "all")]
    assert len(first.slices) == 3


def test_a_run_can_be_stopped_and_ends_with_the_scene(painted_panel: Any, tmp_path: Path) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.ui.libraryPathEdit.text = str(tmp_path / "lib")
    panel.ui.cohortOutputEdit.text = str(tmp_path / "out")
    panel.addVolume("other")
    panel.ui.sceneCasesCheckBox.checked = True
    panel.events()
    panel.ui.keepExamplesButton.click()
    for end in (panel.ui.cohortRunButton.click, lambda: panel.slicer.mrmlScene.Clear(0)):
        panel.ui.cohortRunButton.click()
        assert panel.ui.cohortRunButton.text == "Stop"
        end()
        panel.events()
        assert not list((tmp_path / "out" / "cases").glob("*/record.json")) if (tmp_path / "out").exists() else True
    assert panel.messages == []


def test_a_case_whose_volume_is_gone_is_told(loading: Any, tmp_path: Path) -> None:
    panel = loading
    write_record(tmp_path, Record("gone", str(tmp_path / "gone.nii"), DONE))
    panel.ui.cohortOutputEdit.text = str(tmp_path)
    panel.events()
    panel.ui.cohortTable.selectRow(0)
    panel.swallow(panel.ui.showCaseButton.click)
    assert "not there any more" in panel.messages.pop()
