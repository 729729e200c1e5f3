"""The benchmark command from end to end on small made-up cases, with and without Slicer's fillers."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import Example, Volume
from FewShotSegLib.evaluation import fillers, manifests, peers, publish, registry, report
from FewShotSegLib.evaluation.command import add_arguments, run
from FewShotSegLib.evaluation.datasets import open_dataset
from FewShotSegLib.evaluation.schedule import evenly_spread
from FewShotSegLib.evaluation.selection import parse_options
from FewShotSegLib.inference.steps import Steps

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def a_benchmark(tmp_path):
    """A folder with data of three cases (a bright box, label 1, on slices 2..9) and their manifest."""
    folder = tmp_path / "data" / "benchmark" / "CHAOS_T2"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text('{"labels": {"1": "box"}}')
    for number in range(3):
        label = np.zeros((12, 16, 16), np.uint8)
        label[2:10, 4 + number : 10, 4:10] = 1
        image = (label * 100 + np.arange(16) % 3).astype(np.int16)
        Volume(image, spacing=(1.0, 1.0, 3.0)).write(folder / f"case{number}_image.nii.gz")
        Volume(label, spacing=(1.0, 1.0, 3.0)).write(folder / f"case{number}_label.nii.gz")
    manifests.write(manifests.generate(open_dataset(tmp_path / "data", "CHAOS_T2"), 0), tmp_path / "manifests")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Query volumes that the peer "nearest" was given, in order; it answers with background and full confidence."""
    seen = []

    class Counting(peers.NearestSlice):
        def segment(self, query, examples):
            seen.append((query, examples))
            return np.zeros(query.shape, np.int32), np.ones(query.shape)

    monkeypatch.setitem(peers.PEERS, "nearest", Counting)
    return seen


def benchmark(folder, *more):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    fixed = ["--data", folder / "data", "--output", folder / "out", "--manifests", folder / "manifests"]
    options = ["--sets", "CHAOS_T2", "--methods", "nearest", "--protocol", "W-3", *more]
    return run(parser.parse_args([str(option) for option in [*fixed, *options]]))


def records(folder):
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]


def test_results_and_a_table_are_written(a_benchmark, capsys):
    pytest.importorskip("monai")
    assert benchmark(a_benchmark) == 0
    written = records(a_benchmark)
    assert [record["query"] for record in written] == ["case0", "case1", "case2"]
    # Painted are 3, 6, 8, and copies fill slices 0 to 11: two slices too many at each end, 5 of 9 right.
    assert written[0]["labels"]["1"]["dice"] == pytest.approx(2 * 5 / (9 + 5))
    table = (a_benchmark / "out" / "results.md").read_text()
    assert "| CHAOS_T2 | W-3 | nearest | 3 | 0.714 | 0.714 to 0.714 | 0.714 |" in table
    assert table in capsys.readouterr().out


def test_every_way_of_painting_goes_from_the_command_line_to_what_is_kept(a_benchmark, tmp_path):
    pytest.importorskip("monai")
    assert benchmark(a_benchmark, "--protocol", "painting", "--cases", "1") == 0
    found = {record["protocol"]: record for record in records(a_benchmark)}
    assert set(found) == {
        "S-1", "S-3", "S-5", "S-1-apart", "S-3-apart", "S-5-apart", "W-3-on-O", "J-3", "U-3-middle",
        "U-3-end", "C-spread",
    }  # fmt: skip
    assert found["S-1"]["labels"]["1"]["dice"] == found["S-1-apart"]["labels"]["1"]["dice"], "there is one label only"
    assert [entry["index"] for entry in found["C-spread"]["rounds"]][:3] == [6, 4, 8]
    assert publish.main([str(a_benchmark / "out"), "--output", str(tmp_path / "kept")]) == 0
    page = (tmp_path / "kept" / "README.md").read_text()
    assert "## Corrections" in page
    assert "| CHAOS_T2 | W-3-on-O | nearest | 1 |" in page
    assert (tmp_path / "kept" / "pictures" / "dice_against_corrections.png").is_file()


def test_finished_episodes_are_not_run_again(a_benchmark, calls):
    assert benchmark(a_benchmark, "--cases", "2") == 0
    assert len(calls) == 2
    assert benchmark(a_benchmark) == 0
    assert len(calls) == 3
    assert benchmark(a_benchmark, "--fresh") == 0
    assert len(calls) == 6


def test_an_interrupted_line_is_passed_over_and_its_episode_run_again(a_benchmark, calls):
    benchmark(a_benchmark)
    path = a_benchmark / "out" / "results.jsonl"
    path.write_text(path.read_text()[:-40])
    assert benchmark(a_benchmark) == 0
    assert len(calls) == 4
    assert benchmark(a_benchmark) == 0
    assert len(calls) == 4


def test_a_failed_episode_is_reported_and_run_again(a_benchmark, monkeypatch, capsys):
    class Failing(peers.NearestSlice):
        def segment(self, query, examples):
            raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setitem(peers.PEERS, "nearest", Failing)
        assert benchmark(a_benchmark) == 1
    assert "no luck" in capsys.readouterr().err
    assert all("error" in record for record in records(a_benchmark))
    pytest.importorskip("monai")
    assert benchmark(a_benchmark) == 0


def test_methods_see_the_query_and_its_painted_slices_only(a_benchmark, calls):
    benchmark(a_benchmark, "--cases", "1")
    query, examples = calls[0]
    assert [(example.index, example.axis) for example in examples] == [(3, 0), (6, 0), (8, 0)]
    assert all(example.image is query and example.names == {1: "box"} for example in examples)


def test_data_that_differs_from_the_manifest_stops_the_run(a_benchmark, capsys):
    path = a_benchmark / "data" / "benchmark" / "CHAOS_T2" / "case1_image.nii.gz"
    image = Volume.read(path)
    image.with_array(image.array + 1).write(path)
    assert benchmark(a_benchmark) == 1
    assert "image_sha256 of case1" in capsys.readouterr().err


def test_missing_weights_stop_the_run(a_benchmark, capsys):
    assert benchmark(a_benchmark, "--weights", a_benchmark / "none.safetensors") == 1
    assert "none.safetensors" in capsys.readouterr().err


def test_a_missing_package_stops_the_run_and_is_named(a_benchmark, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "slicer", None)
    assert benchmark(a_benchmark, "--methods", "grow") == 1
    assert "slicer-core" in capsys.readouterr().err


def test_other_processes_give_the_same_results(a_benchmark):
    pytest.importorskip("monai")
    benchmark(a_benchmark, "--cases", "1")
    alone = {record["key"]: record["labels"] for record in records(a_benchmark)}
    (a_benchmark / "out" / "results.jsonl").unlink()
    assert benchmark(a_benchmark, "--cases", "1", "--jobs", "2", "--threads", "1") == 0
    assert {record["key"]: record["labels"] for record in records(a_benchmark)} == alone


def test_model_is_called_through_the_public_interface_with_the_options(a_benchmark, monkeypatch):
    seen = []

    class FakeSegmenter:
        def __init__(self, **options):
            seen.append(options)

        def segment(self, query, examples, progress, **options):
            seen.append(options)
            zeros = np.zeros(query.shape)
            return argparse.Namespace(labelmap=query.with_array(zeros), confidence=query.with_array(zeros + 0.5))

    module = argparse.Namespace(Segmenter=FakeSegmenter)
    monkeypatch.setitem(sys.modules, "FewShotSegLib.segmenter", module)
    weights = a_benchmark / "w.safetensors"
    weights.write_bytes(b"weights")
    options = [
        "--methods",
        "model,nearest",
        "--protocol",
        "EP1-blind",
        "--cases",
        "1",
        "--option",
        "refine=false,steps=3",
    ]
    assert benchmark(a_benchmark, "--weights", weights, *options) == 0
    # Segmented twice: once for the result, once to count the multiply-accumulates.
    made = {"device": "cpu", "steps": Steps(), "weights": weights}
    assert seen == [made, *[{"quality": "best", "refine": False, "steps": 3}] * 2]
    (record,) = records(a_benchmark)
    assert record["gigamacs"] == 0, "no torch in the stand-in"
    assert record["options"] == {"refine": False, "steps": 3}
    assert len(record["weights"]) == 64
    assert record["confidence"]["all"]["voxels"] == 8 * 16 * 16, "only slices inside the extent are scored"
    assert "(refine=False, steps=3)" in report.to_markdown([record])


def test_option_values_become_what_they_look_like():
    parsed = dict(parse_options("refine=false,zoom=True,steps=3,rate=0.5,mode=fast"))
    assert parsed == {"refine": False, "zoom": True, "steps": 3, "rate": 0.5, "mode": "fast"}
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=VALUE"):
        parse_options("refine")


def test_cases_are_evenly_spread():
    assert evenly_spread(list("abcdefghij"), 3) == ["b", "f", "i"]
    assert evenly_spread(list("abc"), 5) == ["a", "b", "c"]


def test_mean_dice_by_case_and_by_label_differ_where_cases_hold_different_labels():
    def record(query, **dice):
        labels = {value.strip("_"): {"dice": figure} for value, figure in dice.items()}
        return {"query": query, "labels": labels}

    several = [record("a", _1=1.0, _2=0.0), record("b", _1=0.4, _2=None)]
    assert report.dice_by_case(several) == pytest.approx((0.5 + 0.4) / 2)
    assert report.dice_by_label(several) == pytest.approx((0.7 + 0.0) / 2)


def test_nearest_slice_copies_and_at_equal_distance_takes_the_lower():
    painted = np.full((5, 2, 2), fillers.UNKNOWN, np.int32)
    painted[1], painted[3] = 1, 2
    assert fillers.nearest_slice(painted)[:, 0, 0].tolist() == [1, 1, 1, 2, 2]
    assert fillers.nearest_slice(np.moveaxis(painted, 0, 2), axis=2)[0, 0].tolist() == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("method", ["fill", "grow"])
def test_slicers_fillers_complete_a_box_between_its_painted_slices(method):
    pytest.importorskip("slicer")
    label = np.zeros((9, 20, 24), np.int32)
    label[:, 5:15, 5:12], label[:, 5:15, 14:20] = 1, 2
    query = Volume((label * 50).astype(np.int16), spacing=(1.0, 1.0, 3.0))
    examples = Example.from_labelmap(query, query.with_array(label), slices=[1, 7])
    found, confidence = registry.make_method(method).segment(query, examples)
    assert confidence is None
    assert (found[1:8] == label[1:8]).mean() > 0.98
    assert (found[[1, 7]] == label[[1, 7]]).all()


def test_a_process_that_ran_slicers_fillers_ends_without_a_crash(a_benchmark):
    pytest.importorskip("slicer")
    pytest.importorskip("monai")
    folders = ["--data", a_benchmark / "data", "--output", a_benchmark / "out"]
    more = ["--manifests", a_benchmark / "manifests", "--sets", "CHAOS_T2", "--protocol", "W-3"]
    command = [sys.executable, "-m", "FewShotSegLib.evaluation", *folders, *more, "--methods", "nearest,fill"]
    done = subprocess.run([*map(str, command), "--threads", "2"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_peers_within_a_volume_refuse_examples_of_another():
    query, other = (Volume(np.zeros((3, 4, 4), np.int16)) for _ in range(2))
    examples = Example.from_labelmap(other, np.ones((3, 4, 4), np.uint8), slices=[1])
    with pytest.raises(ValueError, match="slices of the query itself"):
        peers.painted_labelmap(query, examples)
