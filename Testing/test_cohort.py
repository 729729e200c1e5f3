"""A library over many patients: resumable, every bad case reported, the doubtful ones first."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from small_cohort import SHAPE, a_library, results_of, some_cases, start_cohort
from two_balls import BRIGHT, NAMES, dice, painted, two_balls

from FewShotSegLib import Volume
from FewShotSegLib.cli import main
from FewShotSegLib.cohort.cases import find_cases
from FewShotSegLib.cohort.doubts import doubts_by_size
from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.cohort.report import write_report
from FewShotSegLib.cohort.run import run_cohort
from FewShotSegLib.cohort.store import Store
from FewShotSegLib.cohort.work import CaseWork, Settings
from FewShotSegLib.errors import Cancelled, SettingError
from FewShotSegLib.library import Library


def work_of(library: Path) -> CaseWork:
    opened = Library.open(library)
    return CaseWork(opened.examples(), Settings(device="cpu"), opened.fingerprint)


def run(library: Path, queries: Path, output: Path) -> tuple[list[Record], list[str]]:
    """Runs a cohort; records of all cases, and the names of those that were computed."""
    told: list[str] = []
    before = {path.parent.name: path.stat().st_mtime_ns for path in output.glob("cases/*/segmentation.seg.nrrd")}
    records, _ = run_cohort(
        find_cases(str(queries)), Store(output), work_of(library), told=lambda r: told.append(r.case)
    )
    after = {path.parent.name: path.stat().st_mtime_ns for path in output.glob("cases/*/segmentation.seg.nrrd")}
    return records, [case for case in told if after.get(case) != before.get(case)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library, queries and their results; read-only."""
    folder = tmp_path_factory.mktemp("cohort")
    a_library(folder / "lib", patients=2, slices=(5, 7))
    queries = some_cases(folder / "scans", 2)
    (queries / "broken.nii.gz").write_bytes(b"no volume")
    blank = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
    Volume.from_array(blank, spacing=(1.5, 1.5, 3.0)).write(queries / "unlike.nii.gz")
    assert (
        main(["cohort", "--library", str(folder / "lib"), "--queries", str(queries), "--output", str(folder / "out")])
        == 1
    )
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What comes of two cases if nothing happens."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(a_library(folder / "lib"), some_cases(folder / "scans", 2), folder / "out")
    return results_of(folder / "out")


def test_every_case_gets_its_segmentation_and_is_measured(finished: Path) -> None:
    truth = two_balls(SHAPE, seed=0)[1]
    found = Volume.read(finished / "out" / "cases" / "case0" / "segmentation.seg.nrrd")
    assert dice(found.array, truth.array, BRIGHT) > 0.9
    assert found.names == NAMES
    [row] = [r for r in rows(finished / "out" / "structures.csv") if (r["case"], r["structure"]) == ("case0", "bright")]
    assert int(row["voxels"]) == (found.array == BRIGHT).sum()
    assert float(row["volume_ml"]) == pytest.approx((found.array == BRIGHT).sum() * 1.5 * 1.5 * 3 / 1000, rel=1e-3)
    assert (row["spacing_i_mm"], row["spacing_k_mm"]) == ("1.5", "3")


def test_a_bad_case_is_reported_and_the_others_go_on(finished: Path) -> None:
    table = {row["case"]: row for row in rows(finished / "out" / "cases.csv")}
    assert {name: row["status"] for name, row in table.items()} == {
        "broken": FAILED,
        "case0": DONE,
        "case1": DONE,
        "unlike": DONE,
    }
    assert "can't be read" in table["broken"]["error"]


def test_a_scan_unlike_the_library_is_flagged_and_those_like_it_are_not(finished: Path) -> None:
    table = {row["case"]: row for row in rows(finished / "out" / "cases.csv")}
    assert "unlike those of the library" in table["unlike"]["doubts"]
    assert "unlike" not in table["case0"]["doubts"] + table["case1"]["doubts"]
    assert float(table["unlike"]["likeness"]) < float(table["case0"]["likeness"])


def test_the_page_shows_failed_and_doubtful_cases_first_with_pictures_that_are_there(finished: Path) -> None:
    page = (finished / "out" / "report.html").read_text(encoding="utf-8")
    places = [page.index(f"<h2>{name}</h2>") for name in ("broken", "unlike", "case0")]
    assert places == sorted(places)
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) == 3
    assert all((finished / "out" / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_a_second_run_repeats_no_finished_case_and_tries_failed_ones_again(
    uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    library, queries = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 2)
    (queries / "case1.nii.gz").rename(tmp_path / "kept.nii.gz")
    (queries / "case1.nii.gz").write_bytes(b"half a file")
    _, computed = run(library, queries, tmp_path / "out")
    assert computed == ["case0"]
    (tmp_path / "kept.nii.gz").replace(queries / "case1.nii.gz")
    records, computed = run(library, queries, tmp_path / "out")
    assert computed == ["case1"]
    assert [record.status for record in records] == [DONE, DONE]
    assert results_of(tmp_path / "out") == uninterrupted


def test_a_changed_volume_is_segmented_again_and_a_touched_one_is_not(tmp_path: Path) -> None:
    library, queries = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 2)
    run(library, queries, tmp_path / "out")
    two_balls(SHAPE, seed=9)[0].write(queries / "case0.nii.gz")
    os.utime(queries / "case1.nii.gz", (1, 1))
    assert run(library, queries, tmp_path / "out")[1] == ["case0"]


def test_what_a_corrected_slice_in_the_library_changes_is_run_again(tmp_path: Path) -> None:
    """And what differs in the library without a difference to the result is not."""
    path, queries = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 1)
    run(path, queries, tmp_path / "out")
    library = Library.open(path)
    library.entries[0].title = "another title"
    library.save(path)
    assert run(path, queries, tmp_path / "out")[1] == []
    image, labels = two_balls(SHAPE, seed=50)
    library.add([painted(image, labels, 6, complete="all")])
    library.save(path)
    assert run(path, queries, tmp_path / "out")[1] == ["case0"]


def test_a_run_killed_at_any_moment_loses_and_repeats_nothing_that_was_finished(
    uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    library, queries, output = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 2), tmp_path / "out"
    process = start_cohort(library, queries, output)
    deadline = time.monotonic() + 90
    while not (output / "cases" / "case0").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = (output / "cases" / "case0" / "segmentation.seg.nrrd").stat().st_mtime_ns
    _, computed = run(library, queries, output)
    assert "case0" not in computed
    assert (output / "cases" / "case0" / "segmentation.seg.nrrd").stat().st_mtime_ns == first
    assert results_of(output) == uninterrupted
    assert not [path for path in (output / "cases").iterdir() if path.name.startswith(".")]


def test_a_cancelled_run_tells_what_it_has_done(tmp_path: Path) -> None:
    def stop(what: str, done: float, total: int, left: str) -> None:
        if done > 1:
            raise Cancelled("enough")

    library, queries = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 2)
    with pytest.raises(Cancelled):
        run_cohort(find_cases(str(queries)), Store(tmp_path / "out"), work_of(library), progress=stop)
    assert [row["case"] for row in rows(tmp_path / "out" / "cases.csv")] == ["case0"]


def test_a_scan_of_the_library_itself_is_segmented_from_its_own_slices(tmp_path: Path) -> None:
    library, queries = a_library(tmp_path / "lib"), tmp_path / "scans"
    queries.mkdir()
    image, labels = two_balls(SHAPE, seed=100)
    image.write(queries / "own.nrrd")
    [record], _ = run(library, queries, tmp_path / "out")
    assert (record.status, record.likeness, record.doubts) == (DONE, 1.0, ())
    found = Volume.read(tmp_path / "out" / "cases" / "own" / "segmentation.seg.nrrd")
    np.testing.assert_array_equal(found.array[6], labels.array[6])


def test_two_runs_into_one_folder_at_a_time_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path).locked(), pytest.raises(SettingError, match="Another run"), Store(tmp_path).locked():
        pass


def test_a_case_whose_files_are_not_all_there_is_not_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(Record("a", "a.nii", DONE), lambda folder: (folder / "confidence.nrrd").touch())
    assert store.record("a") is None
    store.write(Record("b", "b.nii", FAILED, error="no"))
    assert store.record("b") == Record("b", "b.nii", FAILED, error="no")
    (tmp_path / "cases" / "b" / "record.json").write_text('{"case": ', encoding="utf-8")
    assert store.record("b") is None


def test_a_record_comes_back_as_it_was_written_and_newer_ones_are_understood() -> None:
    structure = Structure(3, "Märchen <b>", (0.1, 0.5, 1.0), 12, 0.4, 2.0, 0.75)
    record = Record(
        "a", "/x y/ä.nii", DONE, doubts=("x",), likeness=0.5, spacing=(1.0, 2.0, 3.0), structures=(structure,)
    )
    assert Record.from_json(record.to_json()) == record
    newer = json.loads(record.to_json()) | {"something": [1]}
    assert Record.from_json(json.dumps(newer)) == record
    assert math.isnan(Record.from_json(Record("a", "b", FAILED).to_json()).likeness)


def test_a_structure_far_larger_than_in_the_other_cases_is_doubted() -> None:
    sizes = [100, 110, 95, 105, 102, 98, 400]
    records = [
        Record(f"c{n}", "", DONE, structures=(Structure(1, "liver", (1, 0, 0), 10, float(size), 1.0, 0.9),))
        for n, size in enumerate(sizes)
    ]
    assert list(doubts_by_size(records)) == ["c6"]
    assert "much larger" in doubts_by_size(records)["c6"][0]


def test_names_in_the_page_are_text_and_never_markup(tmp_path: Path) -> None:
    structure = Structure(1, "<script>x</script>", (1, 0, 0), 1, 1.0, 1.0, 0.9)
    records = [
        Record("a", "a", DONE, doubts=("<i>odd</i>",), structures=(structure,)),
        Record("b", "b", FAILED, error="<img>"),
    ]
    write_report(Store(tmp_path), records)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search("<script|<i>|<img>", page)


def test_the_command_tells_of_a_library_and_queries_that_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert main(["cohort", "--library", str(tmp_path / "none"), "--queries", str(tmp_path / "no"), *out]) == 1
    assert "expected a folder of volumes" in capsys.readouterr().err
    queries = some_cases(tmp_path / "scans", 1)
    assert main(["cohort", "--library", str(tmp_path / "none"), "--queries", str(queries), *out]) == 1
    assert "none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
