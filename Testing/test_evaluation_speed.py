"""Speed runs: what they are measured on, their arithmetic, and a small one from end to end."""

import argparse
import json
import subprocess

import numpy as np
import pytest

from FewShotSegLib.evaluation import manifests, peers, plots, publish, speed, speed_busy, speed_cases, speed_worker
from FewShotSegLib.evaluation.command import add_arguments, run
from FewShotSegLib.evaluation.fillers import UNKNOWN, grow_filter, grow_from_seeds
from FewShotSegLib.evaluation.results import ResultsFile
from FewShotSegLib.evaluation.speed_cases import SpeedCase

SMALL = SpeedCase("small", 2, shape=(12, 32, 32), segments=2, curve="slices", at=12)


def test_a_made_up_volume_has_its_segments_on_most_slices():
    volume, labels = speed_cases.made_up((20, 64, 96), 5)
    assert volume.shape == labels.shape == (20, 64, 96)
    assert volume.array.dtype == np.int16
    for segment in range(1, 6):
        assert (labels == segment).any(axis=(1, 2)).sum() >= 14
        assert abs(float(volume.array[labels == segment].mean()) - (140 + 25 * ((segment - 1) % 5))) < 2
    assert (speed_cases.made_up((20, 64, 96), 5)[0].array == volume.array).all()


def test_one_more_example_is_the_slice_farthest_from_those_painted(tmp_path):
    volume, examples, more = speed_cases.load(SpeedCase("x", 2, shape=(20, 32, 32), segments=1), tmp_path)
    _, labels = speed_cases.made_up((20, 32, 32), 1)
    labelled = np.flatnonzero(labels.any(axis=(1, 2))).tolist()
    painted = [example.index for example in examples]
    distance = {k: min(abs(k - p) for p in painted) for k in labelled if k not in painted}
    assert distance[more.index] == max(distance.values())
    assert more.image is volume
    assert (more.mask == labels[more.index]).all()


def test_every_growth_curve_changes_one_thing_only():
    base = (speed_cases.SHAPE, speed_cases.SEGMENTS, speed_cases.EXAMPLES)
    for case in speed_cases.growth_cases():
        changed = [a != b for a, b in zip((case.shape, case.segments, case.examples), base, strict=True)]
        assert sum(changed) <= 1
    assert {case.curve for case in speed_cases.growth_cases()} == set(speed_cases.GROWTH)
    assert speed_cases.large_case().shape == (300, 512, 512)


def a_record(method, repeat, first, following, curve="", at=0):
    fixed = {"case": "c", "peak_mib": 100.0 * (repeat + 1), "curve": curve, "at": at}
    return fixed | {"method": method, "repeat": repeat, "first_s": first, "next_s": following}


def test_ratios_are_taken_in_each_repeat_and_their_median_is_told():
    ours = [a_record("model", 0, 1.0, 1.0), a_record("model", 1, 9.0, 1.0), a_record("model", 2, 2.0, 4.0)]
    theirs = [a_record("grow", 0, 2.0, 2.0), a_record("grow", 1, 3.0, 2.0), a_record("grow", 2, 2.0, 2.0)]
    assert speed.ratio(ours, theirs, "first_s") == 1.0  # of 0.5, 3 and 1
    assert speed.ratio(ours, theirs[1:], "next_s") == pytest.approx((0.5 + 2.0) / 2)
    assert speed.ratio(ours, [], "first_s") is None
    assert speed.middle(ours, "peak_mib") == 200.0
    text = speed.to_markdown([*ours, *theirs])
    assert "| c | – | 3 | 2.00 | – | 2.00 | – | – | – | – | – | 1.00 | – | 2.00 | – | 200 | – | 200 | – |" in text
    assert "| Case | first: model / grow | first: model / fill | first: model-fast / grow |" in text
    assert "| c | 1.00 | – | – | – | 0.50 | – | – | – |" in text


def test_all_measurements_that_a_folder_holds_stand_in_its_published_table(tmp_path):
    file = ResultsFile(tmp_path, speed.FILE)
    old = a_record("model", 0, 99.0, 1.0, "slices", 20)
    file.append(old | {"key": "model|old|cpu|2|{20}|0", "case": "slices 20"})
    for number, repeats in ((40, 1), (20, 3)):
        for repeat in range(repeats):
            record = a_record("model", repeat, 2.0 + repeat, 1.0, "slices", number)
            file.append(record | {"key": f"model|new|cpu|2|{{{number}}}|{repeat}", "case": f"slices {number}"})
    file.append(a_record("grow", 0, 5.0, 1.0) | {"key": "grow||cpu|2|{real}|0", "case": "a real case"})
    publish.write_speed(tmp_path)
    text = (tmp_path / "speed.md").read_text()
    assert "| slices 40 | new | 1 | 2.00 |" in text
    assert "| slices 20 | new | 3 | 3.00 |" in text
    assert text.index("a real case") < text.index("slices 40")
    assert (tmp_path / "pictures" / "growth.png").read_bytes().startswith(b"\x89PNG")
    publish.write_speed(tmp_path / "nothing here")
    assert not (tmp_path / "nothing here" / "speed.md").exists()


def test_a_case_measured_again_replaces_what_was_kept_of_it_and_others_stay(tmp_path):
    def measured(folder, method, weights, case, seconds, repeats):
        for repeat in range(repeats):
            record = a_record(method, repeat, seconds, 1.0) | {"case": case}
            ResultsFile(folder, speed.FILE).append(record | {"key": f"{method}|{weights}|cpu|2|{{{case}}}|{repeat}"})

    kept, run = tmp_path / "kept", tmp_path / "run"
    for case in ("abdomen", "heart"):
        measured(kept, "model", "old", case, 9.0, 3)
        measured(kept, "grow", "", case, 3.0, 3)
    measured(run, "model", "new", "heart", 5.0, 1)
    measured(run, "grow", "", "heart", 1.0, 1)
    publish.gather_speed([run], kept)
    publish.write_speed(kept)
    text = (kept / "speed.md").read_text()
    assert "| abdomen | old | 3 | 9.00 | – | 3.00 |" in text
    assert "| heart | new | 1 | 5.00 | – | 1.00 |" in text
    assert "| heart | 5.00 |" in text, "the ratio is of one run"
    assert len((kept / "speed.jsonl").read_text().splitlines()) == 6 + 2


def test_growth_points_are_medians_in_the_order_of_the_curve(tmp_path):
    records = [a_record("model", r, seconds, 1.0, "slices", at) for at, times in ((40, (4, 6, 5)), (20, (2, 1, 3)))
               for r, seconds in enumerate(times)]  # fmt: skip
    assert speed.growth_points(records) == {("slices", "model"): [(20, 2, 200.0), (40, 5, 200.0)]}
    assert plots.draw_growth(records, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert not plots.draw_growth([a_record("model", 0, 1.0, 1.0)], tmp_path / "none.png")


def test_a_measurement_has_both_results_and_the_memory(tmp_path):
    request = {"method": "nearest", "case": SMALL.__dict__, "data": str(tmp_path), "weights": None}
    found = speed_worker.measure(request | {"device": "cpu", "threads": 1})
    assert found["first_s"] > 0
    assert found["next_s"] > 0
    if found["peak_mib"] is not None:
        assert found["peak_mib"] >= found["loaded_mib"] > 20


def test_finished_measurements_are_not_made_again(tmp_path, monkeypatch):
    made = []

    def stand_in(plan, method, case):
        made.append(method)
        return {"error": "no luck"} if len(made) == 2 else {"first_s": 1.0, "next_s": 0.5, "peak_mib": None}

    monkeypatch.setattr(speed, "in_a_process", stand_in)
    plan = speed.SpeedPlan(tmp_path, tmp_path, [SMALL], repeats=2)
    records, failed = speed.measure_all(plan)
    assert made == ["model", "model-fast", "grow", "fill"] * 2, "side by side, so that ratios compare like with like"
    assert (len(records), failed) == (7, 1)
    records, failed = speed.measure_all(plan)
    assert made[8:] == ["model-fast"], "only what failed"
    assert (len(records), failed) == (8, 0)


def test_a_speed_run_writes_raw_figures_and_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed_cases, "growth_cases", lambda: [SMALL])
    (tmp_path / "manifests").mkdir()
    manifests.write(manifests.Manifest("CHAOS_T2", 0, {}), tmp_path / "manifests")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    fixed = ["--data", tmp_path, "--output", tmp_path / "out", "--manifests", tmp_path / "manifests"]
    options = [*fixed, "--sets", "CHAOS_T2", "--speed", "--growth", "--repeat", "1", "--threads", "1"]
    options += ["--methods", "nearest"]
    assert run(parser.parse_args([str(option) for option in options])) == 0
    (line,) = (tmp_path / "out" / "speed.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["method"], record["case"], record["threads"]) == ("nearest", "small", 1)
    assert record["first_s"] > 0
    assert "| small | – | 1 |" in (tmp_path / "out" / "speed.md").read_text()
    assert "small, nearest" in capsys.readouterr().err


def test_grow_from_seeds_updates_its_result_with_one_more_slice():
    pytest.importorskip("slicer")
    volume, labels = speed_cases.made_up((10, 40, 40), 2)

    def painted(slices):
        return np.where(np.isin(np.arange(10), slices)[:, None, None], labels, UNKNOWN).astype(np.int32)

    kept = grow_filter(volume.array, volume.spacing)
    grow_from_seeds(volume.array, painted([3, 7]), volume.spacing, kept)
    updated = grow_from_seeds(volume.array, painted([3, 5, 7]), volume.spacing, kept)
    anew = grow_from_seeds(volume.array, painted([3, 5, 7]), volume.spacing)
    assert (updated == anew).mean() > 0.99
    assert (updated[5] == labels[5]).all()
    assert peers.GrowFromSeeds().scope == "within"


def test_a_run_beside_a_busy_program_is_compared_with_one_quiet_thread(tmp_path, monkeypatch):
    seconds, made = {1: 4.0, 2: 6.0}, []

    def stand_in(plan, method, case):
        made.append((method, case.name, plan.threads))
        return {"first_s": seconds[plan.threads] + (2.0 if len(made) % 3 == 0 else 0.0)}

    monkeypatch.setattr(speed_busy, "in_a_process", stand_in)
    monkeypatch.setattr(speed_busy.threads, "cores", lambda: 2)
    real = SpeedCase("real", 2, dataset="CHAOS_T2", case="case01")
    plan = speed.SpeedPlan(tmp_path, tmp_path, [real, SMALL], threads=2, repeats=2)
    records, failed = speed_busy.measure_beside(plan)
    assert made == [("model-fast", "real", 1), ("model-fast", "real", 2), ("model-fast", "real", 1)] * 2
    assert (failed, [record["busy"] for record in records[:3]]) == (0, [0, 1, 1])
    assert "| real | 2 | 4.00 | 6.00 | 6.00 | 2, 1 | 1.50 | 1.50 |" in speed_busy.to_markdown(records)
    assert len(speed_busy.measure_beside(plan)[0]) == 6
    assert len(made) == 6, "what is measured is not measured again"
    publish.gather_speed([tmp_path], tmp_path / "kept")
    assert len((tmp_path / "kept" / "speed_busy.jsonl").read_text().splitlines()) == 6
    assert speed_busy.to_markdown([]) == ""


def test_busy_programs_are_busy_and_gone_afterwards(monkeypatch):
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with speed_busy.busy_programs(2):
        assert [program.poll() for program in started] == [None, None]
    assert all(program.poll() is not None for program in started)
