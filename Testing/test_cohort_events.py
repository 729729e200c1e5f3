"""What a cohort's run tells a program that started it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from small_cohort import a_library, some_cases, start_cohort

from FewShotSegLib import Cancelled
from FewShotSegLib.cohort.events import Events
from FewShotSegLib.cohort.record import FAILED, Record


def test_progress_is_told_by_the_hundredth_of_a_case_and_each_case_once() -> None:
    stream = io.StringIO()
    events = Events(stream)
    for part in (0.0, 0.001, 0.004, 0.011, 0.011):
        events("segmenting", 2 + part, 6, "2 min left")
    events.case(Record("a", "a.nii", FAILED, error="no file"))
    events.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [
        {"event": "progress", "what": "segmenting", "done": 2.0, "total": 6, "left": "2 min left"},
        {"event": "progress", "what": "segmenting", "done": 2.01, "total": 6, "left": "2 min left"},
        {"event": "case", "case": "a", "status": FAILED},
    ]


def test_a_run_ends_when_its_reader_is_gone_and_the_next_one_goes_on(tmp_path: Path) -> None:
    library, cases, output = a_library(tmp_path / "lib"), some_cases(tmp_path / "cases", 3), tmp_path / "out"
    run = start_cohort(library, cases, output, "--progress", "json")
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line)["event"] == "case":
            break
    run.stdout.close()
    assert run.wait(60) == 130
    done = {path.parent.name for path in output.glob("cases/*/record.json")}
    assert "case0" in done
    assert len(done) < 3
    again = start_cohort(library, cases, output, "--progress", "json")
    said, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    told = [json.loads(line) for line in said.splitlines()]
    assert {event["case"] for event in told if event["event"] == "case"} == {"case0", "case1", "case2"} - done
    assert [event["done"] for event in told if event["event"] == "progress"][-1] == 3


def test_a_closed_stream_is_told_as_a_run_that_was_stopped() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(Cancelled, match="start it again"):
        Events(stream)("segmenting", 0.0, 3)
