"""What runs tell the worker: each thing once, and nothing of a scene that is gone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import add_transform, set_segment
from run_case import Case, dice, poll_until, start

from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.protocol import Put

SHAPE = (4, 8, 6)


# What is sent


@dataclass
class Sent:
    """Asks for runs of a worker that does all it is told, and takes what was written."""

    memory: Any
    folder: ArrayFolder
    run: int = 0

    def __call__(self, runInput: Any) -> list[str]:
        self.run += 1
        requests = done(self.memory.prepare(self.run, runInput, self.folder))
        written = {file.name for file in self.folder.path.iterdir()}
        named = {getattr(r, "array", getattr(r, "mask", None)) for r in requests} - {None}
        assert written == named
        for name in written:
            self.folder.take(name)
        return [type(request).__name__ for request in requests]


def done(steps: Any) -> Any:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def sent(slicer: Any, tmp_path: Path) -> Sent:
    from FewShotSegModule.runs.worker_memory import WorkerMemory

    return Sent(WorkerMemory(), ArrayFolder(tmp_path))


def a_volume(seed: int = 0) -> Volume:
    return Volume.from_array(np.random.default_rng(seed).integers(0, 99, SHAPE).astype(np.int16))


def an_example(volume: Volume, index: int, *, axis: int = 0, width: int = 3, **more: Any) -> Example:
    mask = np.zeros(volume.array.take(index, axis).shape, np.uint8)
    mask[:width, :3] = 1
    return Example(volume, axis, index, mask, {1: "liver"}, **more)


def an_input(volume: Volume, examples: list[Example], **more: Any) -> Any:
    from FewShotSegModule.runs.run_input import RunInput

    box = more.pop("box", ((0, 0, 0), SHAPE))
    return RunInput(volume, box, box, examples, [], **more)


def test_a_run_of_the_same_volume_sends_only_what_changed(sent: Sent) -> None:
    query, other = a_volume(), a_volume(1)
    examples = [an_example(query, 0), an_example(query, 2), an_example(other, 1)]
    assert sent(an_input(query, examples)) == ["Load", "Load", "Open", "Put", "Put", "Put", "Predict"]
    assert sent(an_input(query, examples)) == ["Predict"]
    assert sent(an_input(query, examples, refine=0.5, quality="best")) == ["Predict"]
    assert sent(an_input(query, [*examples, an_example(query, 1, axis=2)])) == ["Put", "Predict"]
    assert sent(an_input(query, [an_example(query, 0, width=4), *examples[1:]])) == ["Remove", "Put", "Predict"]
    assert sent(an_input(query, examples[:2])) == ["Unload", "Remove", "Put", "Predict"]
    ways: tuple[dict[str, Any], ...] = (
        *({"complete": complete} for complete in ("all", {1}, set(), {1: True}, {1: False})),
        {"background": 2},
    )
    for known in ways:
        changed = [replace(examples[0], **known), examples[1]]
        assert sent(an_input(query, changed)) == ["Put", "Predict"], known


def test_a_volume_read_anew_is_the_same_and_a_changed_or_moved_one_is_another(sent: Sent) -> None:
    volume = a_volume()
    sent(an_input(volume, [an_example(volume, 0)]))
    again = replace(volume, array=volume.array.copy(), name="renamed")
    assert sent(an_input(again, [an_example(again, 0)])) == ["Predict"]
    anew = ["Close", "Unload", "Load", "Open", "Put", "Predict"]
    moved = replace(volume, origin=(1.0, 0.0, 0.0))
    assert sent(an_input(moved, [an_example(moved, 0)])) == anew
    moved.array[3, 4, 5] += 1
    assert sent(an_input(moved, [an_example(moved, 0)])) == anew, "in place, and nobody told"
    moved.array[:] = moved.array[::-1].copy()
    assert sent(an_input(moved, [an_example(moved, 0)])) == anew
    wider = replace(moved, array=moved.array.astype(np.int32))
    assert sent(an_input(wider, [an_example(wider, 0)])) == anew


def test_a_volume_with_a_stamp_is_read_again_only_where_that_is_another_one(sent: Sent) -> None:
    volume, stamp = a_volume(), [1]
    stamps = {volume: lambda: stamp[0]}
    assert sent(an_input(volume, [an_example(volume, 0)], stamps=stamps))[0] == "Load"
    volume.array[0, 0, 0] += 1
    assert sent(an_input(volume, [an_example(volume, 0)], stamps=stamps)) == ["Predict"], "nobody told"
    stamp[0] = 2
    assert "Load" in sent(an_input(volume, [an_example(volume, 0)], stamps=stamps))
    volume.array[0, 0, 0] += 1
    assert "Load" in sent(an_input(volume, [an_example(volume, 0)])), "without one, voxels are compared"


@pytest.mark.parametrize("what", ["the volume is modified", "the worker forgets"])
def test_what_changes_halfway_is_handed_over_anew(sent: Sent, what: str) -> None:
    volume, stamp = a_volume(), [1]
    examples = [an_example(volume, 0), an_example(volume, 2)]
    runInput = an_input(volume, examples, stamps={volume: lambda: stamp[0]})
    sent(runInput)
    stamp[0] = 2
    volume.array[0] += 1
    steps = sent.memory.prepare(9, runInput, sent.folder)
    next(steps)
    volume.array[:] += 1
    if what == "the worker forgets":
        sent.memory.forget()
    else:
        stamp[0] = 3
    requests = done(steps)
    (load,) = [request for request in requests if type(request).__name__ == "Load"]
    assert np.array_equal(sent.folder.take(load.array), volume.array)
    assert len([request for request in requests if type(request).__name__ == "Put"]) == 2


def test_large_volumes_are_written_step_by_step_and_those_given_up_leave_nothing(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.runs.worker_memory import WorkerMemory

    shape = (200, 512, 512)
    volume = Volume.from_array(np.zeros(shape, np.int16))
    examples = [Example(volume, 0, 3, np.ones(shape[1:], np.uint8), {1: "liver"})]
    runInput = an_input(volume, examples, box=((0, 0, 0), shape), stamps={volume: lambda: 1})
    memory, folder = WorkerMemory(), ArrayFolder(tmp_path)
    steps = memory.prepare(1, runInput, folder)
    assert len(list(zip(range(20), steps, strict=False))) == 20, "each is a small part"
    steps.close()
    assert list(tmp_path.iterdir()) == []
    requests = done(memory.prepare(2, runInput, folder))
    assert [type(request).__name__ for request in requests] == ["Load", "Open", "Put", "Predict"]
    assert np.load(tmp_path / requests[0].array, mmap_mode="r").shape == shape
    assert len(list(memory.prepare(3, runInput, folder))) == 0, "the next round writes and reads nothing"


def test_another_region_or_device_needs_no_voxels(sent: Sent) -> None:
    volume = a_volume()
    examples = [an_example(volume, 0)]
    sent(an_input(volume, examples))
    assert sent(an_input(volume, examples, box=((1, 0, 0), SHAPE))) == ["Close", "Open", "Put", "Predict"]
    assert sent(an_input(volume, examples, device="cpu")) == ["Close", "Open", "Put", "Predict"]


def test_a_slice_given_twice_otherwise_reaches_the_engine_twice_which_refuses_it(sent: Sent) -> None:
    volume = a_volume()
    copy = replace(volume, array=volume.array.copy())
    examples = [an_example(volume, 0), an_example(copy, 0, width=5)]
    assert sent(an_input(volume, examples)) == ["Load", "Open", "Put", "Put", "Predict"]


def test_what_could_not_be_written_is_sent_the_next_time(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = a_volume()

    def full(*_arguments: Any, **_named: Any) -> None:
        raise OSError("no room")

    with monkeypatch.context() as disk:
        disk.setattr(np, "save", full)
        with pytest.raises(OSError, match="no room"):
            sent(an_input(volume, [an_example(volume, 0)]))
    assert list(sent.folder.path.iterdir()) == []
    assert sent(an_input(volume, [an_example(volume, 0)])) == ["Load", "Open", "Put", "Predict"]
    sent.memory.forget()
    assert sent(an_input(volume, [an_example(volume, 0)])) == ["Load", "Open", "Put", "Predict"]


# With the real worker


@pytest.fixture(scope="module")
def host(installed_slicer: Any) -> Iterator[Any]:
    from FewShotSegModule.runs.worker_host import WorkerHost

    made = WorkerHost()
    yield made
    made.close()


@pytest.fixture
def logic(slicer: Any, host: Any) -> Iterator[Any]:
    from FewShotSegModule.logic import FewShotSegLogic

    made = FewShotSegLogic(host)
    yield made
    made.removeObservers()
    slicer.mrmlScene.Clear(0)
    host.forgetScene()


@pytest.fixture
def case(slicer: Any, sample_scan: SampleScan) -> Case:
    return Case(slicer, sample_scan)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the arrays that this process has written for the worker."""
    shapes: list[tuple[int, ...]] = []

    def note(way: str) -> None:
        put = getattr(ArrayFolder, way)

        def noted(self: ArrayFolder, run: int, name: str, array: np.ndarray) -> Any:
            shapes.append(array.shape)
            return put(self, run, name, array)

        monkeypatch.setattr(ArrayFolder, way, noted)

    note("put")
    note("put_in_parts")
    return shapes


def run_of(logic: Any, case: Case, **more: Any) -> Any:
    run = logic.segmentFromExamples(case.volume, case.segmentation, device="cpu", wait=False, **more)
    poll_until(run, lambda: run.state != "running")
    return run


def liver_of(run: Any) -> np.ndarray:
    (value,) = [s.value for s in run.result.structures if s.name == "liver"]
    return run.result.labels == value


def test_the_querys_voxels_are_written_once_however_often_it_is_run(
    slicer: Any, logic: Any, case: Case, host: Any, written: list[tuple[int, ...]]
) -> None:
    first = run_of(logic, case)
    assert first.state == "finished", first.error
    volume, plane = case.array.shape, case.array.shape[1:]
    assert sorted(written) == sorted([volume, plane, plane])
    written.clear()

    # One more slice: it alone is written, slices beside it come first, and the result is as that of a fresh session.
    case.painted[3] = True
    for name, truth in case.truth.items():
        set_segment(slicer, case.segmentation, name, truth & case.painted, case.volume)
    run = run_of(logic, case, sliceIndices=[1, 3, 4], axis=0)
    assert written == [plane]
    assert run.state == "finished", run.error
    assert np.array_equal(liver_of(run)[3], case.truth["liver"][3])
    assert all(s.index not in (1, 3, 4) for s in run.result.suggestions if s.axis == 0)
    written.clear()
    host.forgetScene()
    fresh = run_of(logic, case, sliceIndices=[1, 3, 4], axis=0)
    assert len(written) == 4
    assert dice(liver_of(run), liver_of(fresh)) > 0.999

    # Only where the voxels or their place changed, they are written again.
    written.clear()
    case.volume.SetName("renamed")
    again = run_of(logic, case, sliceIndices=[1, 3, 4], axis=0, sliceRange=(2, 2))
    assert volume not in written, "a range needs no voxels"
    assert again.result.labels.shape == (1, *plane)
    assert dice(liver_of(again)[0], case.truth["liver"][2]) > 0.8
    case.volume.SetAndObserveTransformNodeID(add_transform(slicer, np.diag([1.0, 1.0, 1.0, 1.0])).GetID())
    written.clear()
    slicer.util.arrayFromVolume(case.volume)[0, 0, 0] += 1
    run_of(logic, case, sliceIndices=[1, 3, 4], axis=0)
    assert written.count(volume) == 1


def test_what_is_next_to_a_change_comes_before_the_rest(slicer: Any, logic: Any, case: Case, host: Any) -> None:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.given_examples import givenExamples

    rows = givenExamples(case.volume, case.segmentation)
    settings = RunSettings("cpu", sliceRange=(1, 5))
    came: list[Any] = []

    def run_with(rows: list[Any]) -> None:
        run = logic.startRun(
            case.volume,
            rows,
            settings,
            onProgress=lambda stage, *_: came.append(stage),
            onNear=lambda *what: came.append(what),
        )
        poll_until(run, lambda: run.state != "running")
        assert run.state == "finished", run.error

    run_with(rows[:1])
    assert "cleaning" in came
    came.clear()
    run_with(rows)
    ((axis, slices, labels, confidence),) = [what for what in came if isinstance(what, tuple)]
    assert came.index("cleaning") > next(n for n, what in enumerate(came) if isinstance(what, tuple))
    assert axis == 0
    assert slices == [1, 2, 3, 4, 5], "numbers of the volume's slices"
    assert labels.shape == confidence.shape == (5, *case.array.shape[1:])
    assert list(host.client.folder.glob("*.npy")) == []


@pytest.mark.parametrize("gone", ["the scene", "the volume"])
def test_what_is_gone_from_the_scene_is_forgotten_and_the_same_worker_goes_on(
    slicer: Any,
    logic: Any,
    case: Case,
    host: Any,
    written: list[tuple[int, ...]],
    sample_scan: SampleScan,
    gone: str,
) -> None:
    run_of(logic, case)
    worker = host.client
    written.clear()
    if gone == "the scene":
        slicer.mrmlScene.Clear(0)
    else:
        slicer.mrmlScene.RemoveNode(case.volume)
    run = run_of(logic, Case(slicer, sample_scan))
    assert run.state == "finished", run.error
    assert host.client is worker
    assert len(written) == 3


def test_a_cancelled_run_has_handed_over_its_voxels_and_a_refused_one_spoils_nothing(
    slicer: Any, logic: Any, case: Case, host: Any, written: list[tuple[int, ...]]
) -> None:
    stages: list[str] = []
    run = start(logic, case, stages)
    poll_until(run, lambda: "segmenting" in stages)
    run.cancel()
    again = run_of(logic, case)
    assert again.state == "finished", again.error
    assert written.count(case.array.shape) == 1
    worker = host.client
    with pytest.raises(ValueError, match="'cuda:7'"):
        logic.segmentFromExamples(case.volume, case.segmentation, device="cuda:7")
    refused = logic.segmentFromExamples(case.volume, case.segmentation, device="cuda:7", wait=False)
    refused.cancel()
    again = run_of(logic, case)
    assert again.state == "finished", again.error
    assert host.client is worker


def test_a_slice_on_which_something_is_not_painted_yet_is_noted(slicer: Any, logic: Any, case: Case) -> None:
    from FewShotSegModule.scene.preview import notesOf

    case.painted[[2, 3]] = True
    mine = {"liver": [1, 2, 4], "left kidney": [1, 3, 4]}
    for name, truth in case.truth.items():
        only = np.zeros_like(truth)
        only[mine[name]] = truth[mine[name]]
        set_segment(slicer, case.segmentation, name, only, case.volume)
    run = run_of(logic, case, sliceIndices=[1, 2, 3, 4], axis=0)
    assert run.state == "finished", run.error
    assert {(note.index, note.name) for note in run.result.notes} == {(2, "left kidney"), (3, "liver")}
    assert sorted(notesOf(logic.previewOf(run))) == [(0, 2, "left kidney"), (0, 3, "liver")]


def test_a_worker_of_another_version_is_told_and_ended(slicer: Any, case: Case) -> None:
    from FewShotSegModule.logic import FewShotSegLogic
    from FewShotSegModule.runs.worker_client import WorkerClient
    from FewShotSegModule.runs.worker_host import WorkerHost

    code = 'import sys; print(\'{"is": "ready"}\', flush=True); sys.stdin.read()'
    started: list[Any] = []

    def old() -> Any:
        started.append(WorkerClient([sys.executable, "-c", code]))
        return started[-1]

    logic = FewShotSegLogic(WorkerHost(old))
    messages: list[str] = []
    run = run_of(logic, case, onFailed=messages.append)
    logic.removeObservers()
    assert run.state == "failed"
    assert "by version 1 of their protocol and by version 2; restart the application" in messages[0]
    assert not started[0].alive
    assert not started[0].folder.exists()


def test_labels_survive_in_any_type_of_mask(tmp_path: Path) -> None:
    volume, folder = a_volume(), ArrayFolder(tmp_path)
    for value in (1, 255, 256, 32768):
        example = Example(volume, 0, 1, np.full(SHAPE[1:], value), {value: "x"})
        put = Put.of(1, 1, "k", 1, example, folder)
        assert np.array_equal(put.read(volume, folder).mask, example.mask)
