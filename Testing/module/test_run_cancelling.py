"""Runs that end before they are done, with processes that only talk like the engine's worker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import add_segmentation, add_volume, box

from FewShotSegLib.example import Example
from FewShotSegLib.stages import Stage
from FewShotSegLib.volume import Volume

#: Answers requests like the engine; how it takes a cancellation is put in.
WORKER = """
import os, sys, time
from pathlib import Path
import numpy as np
from FewShotSegLib.worker.protocol import *
folder = ArrayFolder(Path(sys.argv[1]))
loaded, devices, shapes = set(), {}, {}
def say(answer):
    print(encode(answer).decode(), end="", flush=True)
def finish(run):
    folder.discard(run)
    result = {name: folder.put(run, name, np.ones(shapes[max(shapes)], "float32")) for name in ("labels", "confidence")}
    say(Finished(run=run, device="cpu", **result))
say(Ready())
for line in sys.stdin.buffer:
    request = decode_request(line)
    match request:
        case Load():
            folder.take(request.array)
            loaded.add(request.volume)
        case Open():
            assert request.volume in loaded
            devices[request.session], shapes[request.session] = request.device, request.stop
        case Predict(run=run):
            say(Progress(run=run, stage="segmenting", done=1, total=2, part=0.5))
            if devices[request.session] == "quick":
                finish(run)
        case Cancel(run=run):
            CANCELLED
os._exit(0)
"""
OBEYS = "say(Cancelled(run=run))"
OBEYS_LATE = "time.sleep(1.0); " + OBEYS
IGNORES = "pass"
CRASHES = "os._exit(3)"
CRASHES_LATE = "time.sleep(1.0); " + CRASHES
FINISHES = "finish(run)"


class Workers:
    """Starts one such process after the other, each with manners of its own; the last manners go on."""

    def __init__(self, *manners: str) -> None:
        self.manners = list(manners)
        self.started: list[Any] = []

    def __call__(self) -> Any:
        from FewShotSegModule.runs.worker_client import WorkerClient

        manner = self.manners[min(len(self.started), len(self.manners) - 1)]
        self.started.append(WorkerClient([sys.executable, "-c", WORKER.replace("CANCELLED", manner)]))
        return self.started[-1]


@pytest.fixture
def make_host(slicer: Any) -> Iterator[Callable[..., Any]]:
    from FewShotSegModule.runs.worker_host import WorkerHost

    made: list[Any] = []

    def make(*manners: str, patience: float = 30.0, turn: float = 0.05) -> Any:
        made.append(WorkerHost(Workers(*manners), patience, turn))
        return made[-1]

    yield make
    for host in made:
        host.close()


def start(host: Any, device: str = "", shape: tuple[int, int, int] = (2, 4, 4), **callbacks: Any) -> Any:
    from FewShotSegModule.runs.run_input import RunInput
    from FewShotSegModule.runs.segmentation_run import SegmentationRun

    query = Volume.from_array(np.zeros(shape, np.int16))
    examples = [Example(query, 0, 0, np.ones(shape[1:], np.uint8), {1: "liver"})]
    box = ((0, 0, 0), shape)
    return SegmentationRun(host, RunInput(query, box, box, examples, [], device), **callbacks)


def wait(thing: Any, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "that took too long"
        thing.poll()
        time.sleep(0.01)


def cancel_at_work(host: Any) -> None:
    """Starts a run and cancels it while the worker is at it."""
    run = start(host)
    wait(run, lambda: run.part)
    run.cancel()


def files_in(client: Any) -> list[str]:
    return sorted(file.name for file in client.folder.glob("*.npy"))


def test_cancelling_keeps_nobody_waiting_and_the_worker_alive(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS_LATE)
    ended: list[str] = []
    run = start(host, onCancelled=lambda: ended.append("cancelled"), onFinished=ended.append)
    wait(run, lambda: run.part)
    worker = host.client
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 0.3
    assert (run.state, ended) == ("cancelled", ["cancelled"])
    assert host.state == "running", "the worker has not stopped yet"
    wait(host, lambda: host.state == "idle")
    assert host.client is worker
    assert worker.alive
    assert files_in(worker) == []


def test_a_run_in_the_background_makes_way_for_another_and_one_in_the_foreground_does_not(
    slicer: Any, make_host: Callable[..., Any]
) -> None:
    from FewShotSegModule.logic import FewShotSegLogic
    from FewShotSegModule.runs.errors import RunError
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.example_slice import ExampleSlice

    volume = add_volume(slicer)
    segmentation = add_segmentation(slicer, volume, {"liver": box(2, slice(4, 9), slice(4, 9))})
    rows, settings, ended = [ExampleSlice(volume, segmentation, 0, 2)], RunSettings(), []
    logic = FewShotSegLogic(make_host(OBEYS))
    first = logic.startRun(volume, rows, settings, background=True, onCancelled=lambda: ended.append("first"))
    busy = [logic.isBusy]
    with pytest.raises(ValueError, match="no examples"):
        logic.startRun(volume, [], settings)
    assert first.state == "running", "what can't start ends nothing"
    second = logic.startRun(volume, rows, settings)
    assert ended == ["first"]
    busy.append(logic.isBusy)
    for background in (False, True):
        with pytest.raises(RunError, match="A run is going on"):
            logic.startRun(volume, rows, settings, background=background)
    second.cancel()
    assert [*busy, logic.isBusy] == [False, True, False]
    logic.removeObservers()


LARGE = (60, 512, 512)


def test_large_images_are_handed_over_and_read_in_turns(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS, turn=0.0)
    run = start(host, "quick", LARGE)
    turns = 1
    while run.state == "running":
        run.poll()
        turns += 1
        time.sleep(0.01)
    # 30 MB of the volume, read and written, and twice 60 MB of the result, in parts of 8 MB at most.
    assert turns > 20
    assert run.result.labels.shape == run.result.confidence.shape == LARGE
    assert files_in(host.client) == []


@pytest.mark.parametrize("when", ["handed over", "read"])
def test_a_run_that_is_cancelled_while_large_images_pass_leaves_nothing(
    make_host: Callable[..., Any], when: str
) -> None:
    host = make_host(OBEYS, turn=0.0)
    run = start(host, "quick", LARGE)
    worker = host.client
    if when == "read":
        wait(run, lambda: "1-confidence.npy" in files_in(worker))
        for _turn in range(3):
            time.sleep(0.2)
            run.poll()
    assert run.state == "running"
    run.cancel()
    again = start(host, "quick")
    wait(again, lambda: again.state != "running")
    assert again.state == "finished"
    assert files_in(worker) == []
    assert host.client is worker


def test_a_run_that_is_started_meanwhile_waits_for_the_same_worker(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS_LATE)
    cancel_at_work(host)
    worker = host.client
    stages: list[str] = []
    again = start(host, "quick", onProgress=lambda stage, *_: stages.append(stage))
    wait(again, lambda: again.state != "running")
    assert again.state == "finished", again.error
    assert host.client is worker
    assert stages == ["waiting", "starting", "segmenting"] or stages == ["waiting", "segmenting"]
    assert again.result.labels.shape == (2, 4, 4)
    assert files_in(worker) == []


def test_a_worker_that_does_not_stop_is_killed_and_the_next_run_gets_a_fresh_one(
    make_host: Callable[..., Any],
) -> None:
    host = make_host(IGNORES, OBEYS, patience=0.5)
    cancel_at_work(host)
    stubborn = host.client
    again = start(host, "quick")
    wait(again, lambda: again.state != "running")
    assert again.state == "finished", again.error
    assert host.client is not stubborn
    assert not stubborn.alive
    assert not stubborn.folder.exists()
    assert files_in(host.client) == []


def test_a_worker_that_does_not_stop_is_killed_when_nothing_follows_too(make_host: Callable[..., Any]) -> None:
    host = make_host(IGNORES, patience=0.2)
    cancel_at_work(host)
    stubborn = host.client
    wait(host, lambda: host.state == "idle")
    assert not stubborn.alive
    assert not stubborn.folder.exists()
    assert host.client is None


def test_a_worker_that_still_loads_has_more_time(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS_LATE, patience=0.3)
    run = start(host)
    run.cancel()
    worker = host.client
    wait(host, lambda: host.state == "idle")
    assert worker.alive
    assert host.client is worker


def test_a_worker_that_crashes_while_it_stops_is_replaced(make_host: Callable[..., Any]) -> None:
    host = make_host(CRASHES, OBEYS)
    cancel_at_work(host)
    crashed = host.client
    again = start(host, "quick")
    wait(again, lambda: again.state != "running")
    assert again.state == "finished", again.error
    assert not crashed.folder.exists()


def test_a_result_that_comes_after_all_is_thrown_away(make_host: Callable[..., Any]) -> None:
    host = make_host(FINISHES)
    cancel_at_work(host)
    wait(host, lambda: host.state == "idle")
    assert host.client.alive
    assert files_in(host.client) == []


def test_a_run_can_be_cancelled_while_it_waits(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS_LATE)
    cancel_at_work(host)
    waiting = start(host, "quick")
    waiting.cancel()
    assert waiting.state == "cancelled"
    third = start(host, "quick")
    wait(third, lambda: third.state != "running")
    assert third.state == "finished", third.error
    assert len(host._start.started) == 1
    assert files_in(host.client) == []


def test_closing_while_a_run_stops_leaves_neither_process_nor_folder(make_host: Callable[..., Any]) -> None:
    host = make_host(IGNORES)
    cancel_at_work(host)
    start(host, "quick")
    worker = host.client
    host.close()
    assert host.state == "idle"
    assert not worker.alive
    assert not worker.folder.exists()


def test_a_fresh_worker_that_can_not_be_started_is_told(make_host: Callable[..., Any]) -> None:
    from FewShotSegModule.runs.errors import RunError

    host = make_host(CRASHES_LATE)
    cancel_at_work(host)
    messages: list[str] = []
    again = start(host, "quick", onFailed=messages.append)

    def refuse() -> Any:
        raise RunError("no more processes")

    host._start = refuse
    wait(again, lambda: again.state != "running")
    assert messages == ["no more processes"]
    assert isinstance(again.error, RunError)


def test_a_callback_that_lets_the_application_go_on_is_not_called_within_itself(make_host: Callable[..., Any]) -> None:
    host = make_host(OBEYS)
    depth: list[int] = []
    inside = 0

    def progress(*_arguments: Any) -> None:
        nonlocal inside
        inside += 1
        depth.append(inside)
        run.poll()
        inside -= 1

    run = start(host, "quick", onProgress=progress)
    wait(run, lambda: run.state != "running")
    assert run.state == "finished"
    assert set(depth) == {1}


def test_no_stage_is_without_a_title(slicer: Any) -> None:
    from FewShotSegModule.panel.progress_text import stageText, titles
    from FewShotSegModule.runs.segmentation_run import STARTING, WAITING

    told = titles()
    assert set(told) == {*Stage, STARTING, WAITING}
    assert len(set(told.values())) == len(told)
    assert all(text and text != stage for stage, text in told.items())
    assert stageText("segmenting", 3, 40) == "Segmenting: slice 3 of 40"
    assert stageText("measuring", 3, 40) == "Comparing with the painted slices"
    assert stageText("loading", 0, 0) == "Loading the network"


class AClock:
    """Tells the time that it is given."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_that_of_the_whole_run() -> None:
    from FewShotSegModule.runs.time_estimate import TimeEstimate

    clock = AClock()
    estimate = TimeEstimate(clock)
    assert estimate(None) is None, "loading is no part of it"
    clock.now += 30
    assert estimate(0.0) is None
    clock.now += 1
    assert estimate(0.025) is None, "too early to tell"
    clock.now += 9
    assert estimate(0.25) == pytest.approx(30)
    clock.now += 10
    assert estimate(0.5) == pytest.approx(20)
    clock.now += 20
    assert estimate(1.0) == pytest.approx(0)


@pytest.mark.parametrize("slower", [1, 20])
def test_a_slow_start_is_not_taken_for_the_pace_of_the_whole(slower: int) -> None:
    """Times and parts of a real run, whose first step came after a sixth of it with a thirtieth of the work done."""
    from FewShotSegModule.runs.time_estimate import TimeEstimate

    run = [(0.0, 0.0), (1.4, 0.03), (1.5, 0.09), (1.6, 0.15), (2.2, 0.22), (3.0, 0.31), (3.8, 0.41), (4.6, 0.5)]
    run += [(5.7, 0.55), (6.1, 0.64), (6.6, 0.78), (7.1, 0.85), (7.6, 0.9), (8.2, 0.95), (8.3, 1.0)]
    clock = AClock()
    began, whole = clock.now, run[-1][0] * slower
    estimate = TimeEstimate(clock)
    told = []
    for seconds, part in run:
        clock.now = began + seconds * slower
        left = estimate(part)
        if left is not None:
            told.append((left, whole - seconds * slower))
    assert len(told) >= 8, "something is told for more than half of the run"
    for left, really in told:
        assert left < 1.8 * really + 0.05 * whole
        assert left > really / 1.8 - 0.05 * whole


def test_the_time_left_counts_down_and_follows_another_pace_without_jumping() -> None:
    from FewShotSegModule.runs.time_estimate import TimeEstimate

    clock = AClock()
    estimate = TimeEstimate(clock)
    part, told = 0.0, []
    for step in range(600):
        told.append(estimate(min(part, 1.0)))
        clock.now += 0.1
        part += 0.002 if step < 200 else 0.004  # twice as fast after 20 seconds
    known = [seconds for seconds in told if seconds is not None]
    assert known[0] == pytest.approx(48, abs=1)
    assert all(abs(after - before) < 0.5 for before, after in pairwise(known))
    assert known[-1] == 0


def test_files_of_one_run_are_told_from_those_of_another(make_host: Callable[..., Any], tmp_path: Path) -> None:
    host = make_host(OBEYS)
    start(host)
    for name in ("11-labels.npy", "1-labels.npy"):
        (host.client.folder / name).touch()
    host.forget(1)
    assert files_in(host.client) == ["11-labels.npy"]
