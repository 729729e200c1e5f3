"""The section Library and cohort: a library of the examples, a run in the background, cases reviewed and corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_results import add_result, use_loaders, write_record
from nodes import set_segment
from panel_actions import entries

from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.library import Library
from FewShotSegLib.volume import Volume


@pytest.fixture
def loading(painted_panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel, with files loaded by Slicer's storage nodes as its file dialogs do; they need the application."""
    use_loaders(painted_panel.slicer, monkeypatch)
    return painted_panel


def cells(panel: Any) -> list[str]:
    """The texts of the table's rows."""
    table = panel.ui.cohortTable
    return [table.item(row, 1).text() for row in range(table.rowCount)]


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


# Review


def results_in(output: Path) -> None:
    """Two cases with results, the first one doubtful."""
    for number, (name, doubts) in enumerate((("odd", ("liver is unsure",)), ("fine", ()))):
        array = np.random.default_rng(number).normal(0, 30, (6, 24, 24)).astype(np.int16)
        labels = np.zeros(array.shape, np.uint8)
        labels[1:5, 4:14, 4:14], labels[1:5, 16:20, 16:20] = 1, 2
        add_result(output, name, Volume.from_array(array, (1.0, 1.0, 3.0)), labels, doubts)


@pytest.fixture
def reviewing(loading: Any, tmp_path: Path) -> Any:
    """The panel with results, examples and a library that is not there yet."""
    results_in(tmp_path / "out")
    loading.ui.addAllButton.click()
    loading.ui.libraryPathEdit.text = str(tmp_path / "lib.zip")
    loading.ui.cohortOutputEdit.text = str(tmp_path / "out")
    loading.events()
    return loading


def click(panel: Any, row: int) -> None:
    panel.ui.cohortTable.selectRow(row)
    panel.ui.cohortTable.cellClicked.emit(row, 0)
    panel.events()


def shown(panel: Any, name: str) -> Any:
    """The segmentation of a case; None if it is not in the scene."""
    nodes = panel.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return next((node for node in nodes if node.GetName() == name), None)


def erase(panel: Any, name: str, k: int) -> None:
    node, volume = shown(panel, name), panel.parameters.paintVolume
    identifier = node.GetSegmentation().GetSegmentIdBySegmentName("liver")
    mask = panel.slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume)
    mask[k, 4:9] = 0
    set_segment(panel.slicer, node, "liver", mask, volume)
    panel.settle()


def test_a_click_shows_a_case_with_the_tools_in_it_and_the_next_one_takes_its_place(reviewing: Any) -> None:
    panel, ui = reviewing, reviewing.ui
    before = panel.parameters.paintVolume, panel.parameters.paintSegmentation
    click(panel, 0)
    assert panel.messages == []
    odd = shown(panel, "odd")
    assert ui.segmentEditorWidget.segmentationNode() is odd
    assert ui.segmentEditorWidget.sourceVolumeNode().GetName() == "odd"
    click(panel, 0)
    assert shown(panel, "odd") is odd, "a double click opens it once"
    click(panel, 1)
    assert shown(panel, "odd") is None
    assert ui.segmentEditorWidget.segmentationNode() is shown(panel, "fine")
    panel.widget._cohort._close()
    panel.events()
    assert (panel.parameters.paintVolume, panel.parameters.paintSegmentation) == before
    assert shown(panel, "fine") is None
    names = [node.GetName() for node in panel.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    assert names == ["painted"], "and nothing was made on the way"


def test_corrections_are_no_examples_and_join_the_library_and_the_run_starts_again(
    reviewing: Any, tmp_path: Path
) -> None:
    panel, ui = reviewing, reviewing.ui
    rows = ui.exampleTable.rowCount
    click(panel, 0)
    erase(panel, "odd", 3)
    panel.widget.live.notice()
    panel.settle()
    assert ui.exampleTable.rowCount == rows
    ui.learnButton.click()
    assert panel.messages == []
    assert ui.cohortStateLabel.text.startswith("1 corrected slices")
    [entry] = Library.open(tmp_path / "lib.zip").entries
    assert [(s.axis, s.index, s.complete) for s in entry.slices] == [(0, 3, "all")]
    click(panel, 1)
    assert shown(panel, "fine") is not None, "what is in the library is no reason to ask"


@pytest.mark.parametrize("agreed", [True, False])
def test_corrections_that_are_not_in_the_library_go_only_after_a_question(
    reviewing: Any, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    panel = reviewing
    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return agreed

    monkeypatch.setattr(panel.slicer.util, "confirmOkCancelDisplay", confirm, raising=False)
    click(panel, 0)
    erase(panel, "odd", 3)
    click(panel, 1)
    assert len(asked) == 1
    assert "odd has 1 corrected" in asked[0]
    assert (shown(panel, "odd") is None) is agreed
    assert (shown(panel, "fine") is not None) is agreed


def test_a_case_that_was_computed_again_is_loaded_again(reviewing: Any, tmp_path: Path) -> None:
    panel = reviewing
    click(panel, 0)
    old = shown(panel, "odd")
    results_in(tmp_path / "out")
    panel.widget._cohort._showCases()
    click(panel, 0)
    assert shown(panel, "odd") is not old


def test_volumes_of_the_scene_are_chosen_by_check_marks(painted_panel: Any, tmp_path: Path) -> None:
    import qt

    panel, ui = painted_panel, painted_panel.ui
    ui.addAllButton.click()
    for name in ("first", "second"):
        panel.addVolume(name)
    ui.libraryPathEdit.text, ui.cohortOutputEdit.text = str(tmp_path / "lib"), str(tmp_path / "out")
    assert not ui.sceneCaseList.isVisibleTo(ui.cohortSection)
    ui.sceneCasesCheckBox.checked = True
    panel.events()
    listed = [ui.sceneCaseList.item(n) for n in range(ui.sceneCaseList.count)]
    assert [item.text() for item in listed] == ["first", "second"], "none that is an example"
    listed[0].setCheckState(qt.Qt.Unchecked)
    assert ui.cohortRunButton.enabled
    ui.cohortRunButton.click()
    panel.waitFor(lambda: ui.cohortRunButton.text != "Stop", 60)
    assert [path.name for path in sorted((tmp_path / "out" / "volumes").iterdir())] == ["queries.csv", "second.nrrd"]
    panel.slicer.mrmlScene.RemoveNode(panel.slicer.util.getNode("first"))
    panel.addVolume("third")
    panel.waitFor(lambda: ui.sceneCaseList.item(1).text() == "third", 5)
    for number in range(ui.sceneCaseList.count):
        ui.sceneCaseList.item(number).setCheckState(qt.Qt.Unchecked)
    assert not ui.cohortRunButton.enabled
    assert "check volumes" in ui.cohortRunButton.toolTip


def test_progress_tells_cases_and_time_left(painted_panel: Any) -> None:
    section, label = painted_panel.widget._cohort, painted_panel.ui.cohortStateLabel
    for told, said in (
        (("writing", 1, 4, None), "Writing the scene's volumes: 1 of 4"),
        (("comparing the scans", 40.0, 100, None), "Comparing the library's scans with each other"),
        (("segmenting", 2.6, 12, 1800.0), "2 of 12 cases, about 30 min left"),
        (("segmenting", 2.6, 900, 40000.0), "2 of 900 cases, about 11 h left"),
    ):
        section._onProgress(*told)
        assert label.text == said


# The library


def test_what_the_library_holds_is_said(painted_panel: Any, tmp_path: Path) -> None:
    panel, ui = painted_panel, painted_panel.ui
    ui.addAllButton.click()
    ui.libraryPathEdit.text = str(tmp_path / "lib.zip")
    assert ui.libraryInfoLabel.text == ""
    ui.keepExamplesButton.click()
    assert ui.libraryInfoLabel.text == "Scans: 1, painted slices: 3; large, small"
    (tmp_path / "other.zip").write_bytes(b"nothing")
    ui.libraryPathEdit.text = str(tmp_path / "other.zip")
    assert "other.zip" in ui.libraryInfoLabel.text
    assert panel.messages == []


def test_folders_and_files_are_chosen_by_a_menu(painted_panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    ui = painted_panel.ui
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: "/a/folder")
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: ("/a/livers", "Libraries (*.zip)"))
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    for button, entry, edit, expected in (
        (ui.libraryBrowseButton, "Folder...", ui.libraryPathEdit, "/a/folder"),
        (ui.libraryBrowseButton, "File (.zip)...", ui.libraryPathEdit, "/a/livers.zip"),
        (ui.casesBrowseButton, "Folder...", ui.casesPathEdit, "/a/folder"),
        (ui.casesBrowseButton, "Table (.csv)...", ui.casesPathEdit, "/a/folder"),  # cancelled
    ):
        entries(button.menu())[entry].trigger()
        assert edit.text == expected
