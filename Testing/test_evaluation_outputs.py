"""What a run leaves behind: its conditions, plots and picture sheets."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import Volume
from FewShotSegLib.evaluation import comparison, manifests, plots, publish, run_info, sheets
from FewShotSegLib.evaluation.command import add_arguments, run
from FewShotSegLib.evaluation.datasets import open_dataset
from FewShotSegLib.evaluation.results import ResultsFile

PNG = b"\x89PNG"


@pytest.fixture
def a_finished_run(tmp_path):
    """The output folder of a run of the nearest-slice peer on four made-up cases, with pictures."""
    pytest.importorskip("monai")
    folder = tmp_path / "data" / "benchmark" / "CHAOS_T2"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text('{"labels": {"1": "box"}}')
    for number in range(4):
        label = np.zeros((14, 24, 24), np.uint8)
        label[2:12, 4 : 10 + 2 * number, 4:12] = 1
        label[2:7, 10:14, 4:12] = 1
        Volume((label * 100).astype(np.int16)).write(folder / f"case{number}_image.nii.gz")
        Volume(label).write(folder / f"case{number}_label.nii.gz")
    manifests.write(manifests.generate(open_dataset(tmp_path / "data", "CHAOS_T2"), 0), tmp_path / "manifests")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = ["--data", tmp_path / "data", "--output", tmp_path / "out", "--manifests", tmp_path / "manifests"]
    options += ["--sets", "chaos_t2", "--methods", "nearest", "--protocol", "w-1,w-3", "--pictures"]
    options += ["--reference", "nearest", "--threads", "1"]
    assert run(parser.parse_args([str(option) for option in options])) == 0
    return tmp_path / "out"


def test_a_run_tells_under_what_conditions_it_was_made(a_finished_run):
    (line,) = (a_finished_run / "runs.jsonl").read_text().splitlines()
    info = json.loads(line)
    assert info["versions"]["numpy"] == np.__version__
    assert (info["threads"], info["jobs"], info["protocols"]) == (1, 1, ["W-1", "W-3"])
    assert len(info["manifests"]["CHAOS_T2"]) == 64
    records = [json.loads(line) for line in (a_finished_run / "results.jsonl").read_text().splitlines()]
    assert {record["run"] for record in records} == {info["run"]}


def test_conditions_name_no_place_of_the_machine(tmp_path):
    (tmp_path / "CHAOS_T2.json").write_text("{}")
    info = run_info.describe_run(tmp_path, ["CHAOS_T2", "SABS_CT"], {"model": "abc"}, {"threads": 2})
    assert str(tmp_path) not in json.dumps(info)
    assert info["manifests"]["SABS_CT"] is None
    assert info["weights"] == {"model": "abc"}
    assert info["engine"] == run_info.engine_checksum()
    other = run_info.describe_run(tmp_path, [], {}, {})
    assert other["run"] != info["run"]


def test_a_run_draws_its_plots_and_the_worst_and_median_case(a_finished_run):
    names = {file.name for file in a_finished_run.glob("*.png")}
    sheet_names = {f"sheet_CHAOS_T2_W-{k}_{which}.png" for k in (1, 3) for which in ("worst", "median")}
    assert names == sheet_names | {"dice_against_slices.png", "dice_against_time.png"}
    for name in names:
        assert (a_finished_run / name).read_bytes().startswith(PNG)


def test_kept_labelmaps_are_the_answers(a_finished_run):
    files = list((a_finished_run / "labelmaps").glob("*.npz"))
    assert len(files) == 8
    with np.load(files[0]) as stored:
        assert stored["labels"].shape == (14, 24, 24)
        assert set(np.unique(stored["labels"])) == {0, 1}


def test_there_is_no_curve_of_a_single_number_of_slices(tmp_path):
    labels = {"1": {"name": "liver", "dice": 0.5}}
    record: dict = {"dataset": "CHAOS_T2", "protocol": "W-3", "method": "m", "query": "a", "options": {}, "weights": ""}
    record |= {"labels": labels, "seconds": 1.0}
    assert not plots.draw_against_slices([record], tmp_path / "none.png")
    assert plots.draw_against_slices([record, record | {"protocol": "W-5"}], tmp_path / "some.png")
    assert (tmp_path / "some.png").read_bytes().startswith(PNG)
    assert not (tmp_path / "none.png").exists()


def test_a_sheet_shows_scored_slices_that_hold_something():
    reference, found = np.zeros((30, 4, 4), int), np.zeros((30, 4, 4), int)
    reference[5:15], found[12:18] = 1, 1
    shown = sheets.slices_to_show(reference, found, [k for k in range(30) if k != 9])
    assert len(shown) == 10
    assert set(shown) <= set(range(5, 18)) - {9}
    assert sheets.slices_to_show(reference * 0, found * 0, [3, 4]) == [3, 4]


def test_the_engines_checksum_is_of_the_code_that_segments(tmp_path):
    for folder in ("inference", "evaluation"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("x = 1\n")
    before = run_info.engine_checksum(tmp_path)
    (tmp_path / "evaluation" / "a.py").write_text("x = 2\n")
    assert run_info.engine_checksum(tmp_path) == before
    (tmp_path / "inference" / "a.py").write_text("x = 2\n")
    assert run_info.engine_checksum(tmp_path) != before


def test_runs_of_an_engine_with_other_code_are_known(tmp_path):
    assert run_info.runs_of_other_engines(tmp_path) == set()
    now = run_info.describe_run(tmp_path, [], {}, {})
    for info in (now, now | {"run": "older", "engine": "other"}, {"run": "oldest"}):
        run_info.append_run(tmp_path, info)
    assert run_info.runs_of_other_engines(tmp_path) == {"older", "oldest"}


def test_runs_are_gathered_into_one_folder_that_is_kept(a_finished_run, tmp_path, capsys):
    kept = tmp_path / "kept"
    assert publish.main([str(a_finished_run), "--output", str(kept)]) == 0
    made = {file.relative_to(kept).as_posix() for file in kept.rglob("*")}
    plots = {"pictures/dice_against_slices.png", "pictures/dice_against_time.png"}
    assert {"README.md", "results.jsonl.xz", "runs.jsonl", "pictures/sheet_CHAOS_T2_W-1_worst.png"} | plots <= made
    text = (kept / "README.md").read_text()
    assert "| CHAOS_T2 | W-3 | nearest | 4 |" in text
    (run_id,) = (json.loads(line)["run"] for line in (kept / "runs.jsonl").read_text().splitlines())
    assert f"`{run_id}`" in text
    before = (kept / "results.jsonl.xz").read_bytes()
    assert ResultsFile(kept).finished().keys() == ResultsFile(a_finished_run).finished().keys()
    # From what is kept alone, everything is made again as it was.
    assert publish.main(["--output", str(kept)]) == 0
    assert publish.main([str(kept), "--output", str(kept)]) == 0, "the folder itself may be named as a run"
    assert (kept / "results.jsonl.xz").read_bytes() == before
    assert (kept / "README.md").read_text() == text


def test_results_kept_before_they_were_packed_are_packed_with_the_next(tmp_path):
    write_records(tmp_path, [a_record("grow", "x", 0.3)])
    assert publish.main(["--output", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.glob("results.jsonl*")} == {"results.jsonl.xz"}
    write_records(tmp_path, [a_record("grow", "y", 0.4)])
    assert [record["episode"] for record in ResultsFile(tmp_path).finished().values()] == ["x", "y"]


def test_gathering_without_results_or_folder_is_refused(tmp_path, capsys):
    assert publish.main(["--output", str(tmp_path / "none")]) == 1
    assert "no results" in capsys.readouterr().err
    assert publish.main([str(tmp_path / "none"), "--output", str(tmp_path)]) == 1
    assert "no folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def a_record(method: str, episode: str, dice: float, weights: str = "", run: str = "r", protocol: str = "W-3") -> dict:
    labels = {"1": {"name": "liver", "dice": dice, "hd95_mm": 1.0, "mean_distance_mm": 1 / 3}}
    record: dict = {"dataset": "CHAOS_T2", "protocol": protocol, "method": method, "query": episode, "episode": episode}
    record |= {"options": {}, "weights": weights, "labels": labels, "seconds": 1.0, "confidence": None, "run": run}
    return record | {"key": "|".join([method, weights, protocol, episode])}


def write_records(folder: Path, records: list) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_of_a_network_only_the_last_weights_are_kept_on_each_set_and_protocol(tmp_path):
    elsewhere = a_record("model", "x", 0.5, "old", protocol="A-1")
    write_records(tmp_path / "a", [elsewhere, a_record("model", "x", 0.1, "old"), a_record("grow", "x", 0.3)])
    write_records(tmp_path / "b", [a_record("model", "x", 0.2, "new"), a_record("model-without-zoom", "x", 0.1, "old")])
    records, _ = publish.gather([tmp_path / "a", tmp_path / "b"])
    assert [(r["method"], r["labels"]["1"]["dice"]) for r in records] == [("model", 0.5), ("model", 0.2), ("grow", 0.3)]
    assert records[1]["labels"]["1"]["mean_distance_mm"] == 0.33333


def test_the_ablation_compares_on_the_same_episodes(tmp_path):
    model = [a_record("model", case, dice, "w") for case, dice in zip("abc", (0.5, 0.6, 0.9), strict=True)]
    model.append(a_record("model", "a", 0.4, "w", protocol="A-1"))
    variant = [a_record("model-without-zoom", case, dice, "w") for case, dice in zip("ab", (0.4, 0.4), strict=True)]
    section = comparison.matrix_section([*model, *variant], "model", "Parts")
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == "| Method | CHAOS_T2, W-3 |"
    assert lines[2:] == ["| cases | 2 |", "| model w | 0.550 |", "| model-without-zoom w | -0.150 |"]
    assert comparison.matrix_section(model, "model", "Parts") == ""
    write_records(tmp_path / "run", [*model, *variant])
    assert publish.main([str(tmp_path / "run"), "--output", str(tmp_path / "kept")]) == 0
    assert {"ablation.md", "ablation.jsonl.xz"} <= {file.name for file in (tmp_path / "kept").iterdir()}
    assert "| model-without-zoom w | -0.150 |" in (tmp_path / "kept" / "ablation.md").read_text()
    assert "without-zoom" not in (tmp_path / "kept" / "README.md").read_text()


def test_a_difference_that_all_cases_share_is_marked():
    cases = "abcdefgh"
    records = [a_record("model", case, 0.5, "w") for case in cases]
    records += [a_record("model-without-zoom", case, 0.4 - n / 100, "w") for n, case in enumerate(cases)]
    assert "| model-without-zoom w | **-0.135** |" in comparison.matrix_section(records, "model", "Parts")
