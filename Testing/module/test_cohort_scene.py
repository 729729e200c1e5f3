"""A cohort of the scene's volumes, its results in the scene, and what was corrected there in a library."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_results import add_result, failed, use_loaders, write_record
from nodes import SHAPE, add_segmentation, add_volume, box, names_of, set_segment

from FewShotSegLib import FewShotSegError, Volume
from FewShotSegLib.cohort.cases import find_cases
from FewShotSegLib.cohort.record import DONE, Record
from FewShotSegLib.library import Library

LIVER, SPLEEN = box(slice(1, 6), slice(4, 12), slice(4, 9)), box(slice(2, 5), slice(14, 20), slice(10, 15))


@pytest.fixture
def loading(slicer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    use_loaders(slicer, monkeypatch)
    return slicer


@pytest.fixture
def logic(slicer: Any) -> Any:
    from FewShotSegModule.logic import FewShotSegLogic

    made = FewShotSegLogic()
    yield made
    made.removeObservers()
    made.shutdown()


def a_scan(seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).normal(0, 30, SHAPE).astype(np.int16)
    return Volume.from_array(array, (1.5, 2.0, 4.0), (-10.0, 5.0, 30.0), name="scan")


def labels() -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    found[LIVER], found[SPLEEN] = 1, 2
    return found


def all_of(writing: Any) -> tuple[list[tuple[int, int]], str]:
    """What a generator gives, and returns in the end."""
    given = []
    while True:
        try:
            given.append(next(writing))
        except StopIteration as done:
            return given, done.value


def until(condition: Callable[[], object], run: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it took too long"
        run.poll()


def case_in(output: Path, number: int = 0) -> Any:
    from FewShotSegModule.cohort.review import CaseInScene, CaseReader

    return CaseInScene(CaseReader().read(output)[number])


# Volumes of the scene


def test_volumes_of_one_name_become_cases_of_their_own(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.scene_cases import writing

    nodes = [add_volume(slicer, name, np.full(SHAPE, n, np.int16)) for n, name in enumerate(("CT", "ct", "Å/B", "CT"))]
    given, table = all_of(writing(str(tmp_path), nodes))
    assert given == [(n, 4) for n in range(5)], "one at a time"
    cases = find_cases(table)
    assert [case.name for case in cases] == ["CT", "ct_2", "B", "CT_3"]
    for node, case in zip(nodes, cases, strict=True):
        volume = Volume.read(case.path)
        np.testing.assert_array_equal(volume.array, slicer.util.arrayFromVolume(node))
        assert volume.spacing == pytest.approx((1.5, 2.0, 4.0))


def test_only_volumes_that_changed_are_written_again(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.scene_cases import writing

    nodes = [add_volume(slicer, name) for name in ("a", "b")]
    files = [tmp_path / "volumes" / f"{name}.nrrd" for name in ("a", "b")]
    all_of(writing(str(tmp_path), nodes))
    for file in files:
        os.utime(file, (1, 1))
    slicer.util.arrayFromVolume(nodes[1])[0, 0, 0] += 1
    all_of(writing(str(tmp_path), nodes))
    assert files[0].stat().st_mtime == 1
    assert files[1].stat().st_mtime > 1
    assert sorted(path.name for path in (tmp_path / "volumes").iterdir()) == ["a.nrrd", "b.nrrd", "queries.csv"]


def test_volumes_with_examples_or_under_review_are_no_cases(loading: Any, logic: Any, tmp_path: Path) -> None:
    from FewShotSegModule.scene.example_slice import ExampleSlice

    plain, painted = add_volume(loading, "plain"), add_volume(loading, "painted")
    add_volume(loading, "flat", np.zeros((1, 9, 9), np.int16))
    add_result(tmp_path, "reviewed", a_scan(), labels())
    case = case_in(tmp_path)
    row = ExampleSlice(painted, add_segmentation(loading, painted, {"liver": LIVER}), 0, 3)
    assert logic.casesOf([row]) == [plain]
    assert logic.casesOf() == [plain, painted]
    case.remove()


def test_a_case_of_the_scene_is_reviewed_in_place_and_stays(loading: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.scene_cases import writing

    node = add_volume(loading, "mine")
    _given, table = all_of(writing(str(tmp_path), [node]))
    [case] = find_cases(table)
    add_result(tmp_path, "mine", Volume.read(case.path), labels())
    write_record(tmp_path, Record("mine", case.path, DONE))
    shown = case_in(tmp_path)
    assert shown.volume is node
    shown.remove()
    assert loading.mrmlScene.IsNodePresent(node)
    assert not loading.mrmlScene.IsNodePresent(shown.segmentation)


# The run


def test_a_run_writes_a_volume_a_turn_and_can_be_stopped_in_between(slicer: Any, logic: Any, tmp_path: Path) -> None:
    nodes = [add_volume(slicer, name) for name in ("a", "b", "c")]
    told: list[tuple[str, float, int]] = []

    def tell(what: str, done: float, total: int, _left: float | None) -> None:
        told.append((what, done, total))

    run = logic.startCohort("none.zip", nodes, str(tmp_path), onProgress=tell)
    run.poll()
    run.poll()
    assert told == [("writing", 0, 3), ("writing", 1, 3)]
    with pytest.raises(FewShotSegError, match="stop it first"):
        logic.startCohort("none.zip", nodes, str(tmp_path))
    run.cancel()
    run.poll()
    assert run.state == "cancelled"
    assert [path.name for path in (tmp_path / "volumes").iterdir()] == ["a.nrrd"]


@pytest.mark.parametrize("trouble", ["library", "folder", "volume"])
def test_a_run_that_fails_says_why(slicer: Any, logic: Any, tmp_path: Path, trouble: str) -> None:
    node, output = add_volume(slicer, "a"), tmp_path / "out"
    if trouble == "folder":
        output.write_text("a file", encoding="utf-8")
    said: list[str] = []
    run = logic.startCohort(str(tmp_path / "none.zip"), [node], str(output), onEnd=said.append)
    if trouble == "volume":
        slicer.mrmlScene.RemoveNode(node)
    until(lambda: run.state != "running", run)
    assert run.state == "failed"
    expected = {"library": "none.zip", "folder": "can't be written", "volume": "not in the scene"}
    assert len(said) == 1
    assert expected[trouble] in said[0]


def test_a_closed_scene_ends_a_run(slicer: Any, logic: Any, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    add_result(tmp_path / "scans", "a", a_scan(), labels())
    run = logic.startCohort("none.zip", str(tmp_path / "scans"), str(tmp_path / "out"))
    process = run._process
    slicer.mrmlScene.Clear(0)
    assert run.state == "cancelled"
    assert process.wait(5) != 0


# Results


def test_results_are_read_once_as_long_as_they_stay_the_same(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.review import CaseReader

    file = write_record(tmp_path, failed("a", "a.nii", "no file"))
    os.utime(file, ns=(1, 1))
    reader = CaseReader()
    before = reader.read(tmp_path)
    assert [(case.doubts, case.failed) for case in before] == [(("no file",), True)]
    write_record(tmp_path, Record("a", "a.nii", DONE))
    os.utime(file, ns=(1, 1))
    assert reader.read(tmp_path) == before, "not read again"
    os.utime(file, ns=(2, 2))
    [case] = reader.read(tmp_path)
    assert case != before[0]
    assert not case.failed


def test_a_case_is_shown_with_names_and_colours(loading: Any, tmp_path: Path) -> None:
    from FewShotSegModule.scene.painted import Painted

    add_result(tmp_path, "one", a_scan(), labels())
    case = case_in(tmp_path)
    painted = Painted(case.volume, case.segmentation)
    np.testing.assert_array_equal(painted.whole(), labels())
    assert [info.name for info in painted.segments()] == ["liver", "spleen"]
    assert painted.segments()[0].color == pytest.approx((0.5, 0.25, 0.0), abs=0.01)
    assert case.correctedSlices() == []
    case.remove()
    assert not loading.util.getNodesByClass("vtkMRMLVolumeNode")
    assert not loading.util.getNodesByClass("vtkMRMLStorageNode")


# Corrections


def correct(slicer: Any, case: Any, name: str, k: int | slice, mask: Any) -> None:
    """Makes a structure something else on slices."""
    identifier = case.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(case.segmentation, identifier, case.volume) > 0
    found[k] = mask
    set_segment(slicer, case.segmentation, name, found, case.volume)


def test_corrected_slices_join_the_library_as_complete_also_where_all_was_erased(
    loading: Any, logic: Any, tmp_path: Path
) -> None:
    add_result(tmp_path, "one", a_scan(), labels())
    case = case_in(tmp_path)
    tag = loading.vtkSegment.GetTerminologyEntryTagName()
    case.segmentation.GetSegmentation().GetNthSegment(1).SetTag(tag, "a~b~c")
    correct(loading, case, "liver", 5, 0)  # nothing is left on slice 5
    correct(loading, case, "spleen", 3, 0)
    correct(loading, case, "liver", 3, LIVER[3] & (np.arange(SHAPE[2]) > 5))
    assert logic.keepCorrections(case, str(tmp_path / "lib.zip")) == (2, 2)
    library = Library.open(tmp_path / "lib.zip")
    [entry] = library.entries
    assert [(s.axis, s.index, s.complete) for s in entry.slices] == [(0, 3, "all"), (0, 5, "all")]
    assert {s.name: s.terminology for s in library.segments} == {"liver": "", "spleen": "a~b~c"}
    assert entry.structures == {s.value for s in library.segments}, "the erased ones are known to be absent"
    masks = [example.mask for example in library.examples()]
    np.testing.assert_array_equal(masks[0] == 1, LIVER[3] & (np.arange(SHAPE[2]) > 5))
    assert not masks[1].any()
    with pytest.raises(FewShotSegError, match="Nothing was changed"):
        logic.keepCorrections(case, str(tmp_path / "lib.zip"))


def test_a_slice_that_is_corrected_again_takes_the_place_of_the_first_correction(
    loading: Any, logic: Any, tmp_path: Path
) -> None:
    add_result(tmp_path, "one", a_scan(), labels())
    case, path = case_in(tmp_path), str(tmp_path / "lib")
    for mask in (LIVER[3] & (np.arange(SHAPE[2]) > 5), LIVER[4]):
        correct(loading, case, "liver", 2, mask & (np.arange(SHAPE[2]) > 4))
        logic.keepCorrections(case, path)
    [example] = Library.open(path).examples()
    assert example.index == 2
    np.testing.assert_array_equal(example.mask == 1, LIVER[4] & (np.arange(SHAPE[2]) > 4))


def test_slices_are_found_along_the_axis_that_was_painted_and_of_new_and_sorted_segments(
    loading: Any, logic: Any, tmp_path: Path
) -> None:
    add_result(tmp_path, "one", a_scan(), labels())
    case = case_in(tmp_path)
    content = case.segmentation.GetSegmentation()
    content.AddEmptySegment("vessel", "vessel")
    content.ReorderSegments(["vessel"], content.GetNthSegmentID(0))
    assert names_of(case.segmentation) == ["vessel", "liver", "spleen"]
    assert case.correctedSlices() == []
    set_segment(loading, case.segmentation, "vessel", box(slice(2, 7), 1, slice(3, 8)), case.volume)
    assert case.correctedSlices() == [(1, 1)]
    logic.keepCorrections(case, str(tmp_path / "lib"))
    library = Library.open(tmp_path / "lib")
    assert {segment.name for segment in library.segments} == {"vessel", "liver", "spleen"}
    [example] = library.examples()
    assert [example.names[value] for value in example.values] == ["vessel"]


def test_of_very_many_corrected_slices_some_are_kept(loading: Any, logic: Any, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(0, 30, (60, 64, 64)).astype(np.int16)
    found = np.zeros(array.shape, np.uint8)
    found[:, 20:40, 20:40] = 1
    add_result(tmp_path, "long", Volume.from_array(array), found)
    case = case_in(tmp_path)
    correct(loading, case, "liver", slice(0, 60, 2), np.eye(64) > 0)
    assert logic.keepCorrections(case, str(tmp_path / "lib")) == (24, 30)
    kept = [painted.index for painted in Library.open(tmp_path / "lib").entries[0].slices]
    assert len(kept) == 24
    assert (min(kept), max(kept)) == (0, 58)


def test_a_case_that_was_deleted_in_the_scene_is_told(loading: Any, logic: Any, tmp_path: Path) -> None:
    add_result(tmp_path, "one", a_scan(), labels())
    case = case_in(tmp_path)
    loading.mrmlScene.RemoveNode(case.segmentation)
    assert not case.isThere
    with pytest.raises(FewShotSegError, match="open it again"):
        logic.keepCorrections(case, str(tmp_path / "lib"))
    assert not (tmp_path / "lib").exists()


def test_a_table_of_the_scenes_volumes_has_names_and_paths(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.scene_cases import writing

    _given, table = all_of(writing(str(tmp_path), [add_volume(slicer, "a, b")]))
    with open(table, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["case", "query"], ["a_b", str(tmp_path / "volumes" / "a_b.nrrd")]]
