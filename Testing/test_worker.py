"""The worker process, talked to as an application does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_talk import PAINTED, Liver, Worker, predict

from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.example import Example
from FewShotSegLib.stages import Stage
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.protocol import (
    Cancel,
    Cancelled,
    Failed,
    Finished,
    Forget,
    Load,
    Near,
    Open,
    ProtocolError,
    Put,
    Ready,
    Remove,
    Suggest,
    VersionError,
    decode_answer,
    decode_request,
    encode,
)

LONGEST_S = 600.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers, which end with the test."""
    started: list[Worker] = []

    def one(code: str | None = None) -> Worker:
        started.append(Worker(tmp_path / f"exchange{len(started)}", code))
        return started[-1]

    yield one
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    return start()


@pytest.fixture(scope="module")
def liver(sample_scan: SampleScan) -> Liver:
    return Liver(sample_scan)


def test_a_session_takes_what_changes_and_answers_with_arrays_notes_and_suggestions(
    worker: Worker, liver: Liver
) -> None:
    folder = worker.folder
    assert worker.hear() == Ready()
    began = time.monotonic()
    worker.say(*liver.opening(folder, 1), predict(1))
    answer, before = worker.hear_end(1)
    assert isinstance(answer, Finished), answer
    assert answer.device == "cpu"
    assert answer.suggestions == ()
    assert worker.files() == ["1-confidence.npy", "1-labels.npy"], "the worker removes what it has read"
    labels, confidence = folder.take(answer.labels), folder.take(answer.confidence)
    assert labels.shape == confidence.shape == liver.volume.shape
    assert np.array_equal(labels[1] > 0, liver.truth[1])
    assert liver.dice(labels, 2) > 0.8
    stages = list(dict.fromkeys(answer.stage for answer in before))
    assert stages[0] == "loading"
    assert "segmenting" in stages
    assert set(stages) <= set(Stage)
    assert before[-1].stage == "cleaning"
    parts = [answer.part for answer in before if answer.stage != "loading"]
    assert parts == sorted(parts)
    assert 0 <= parts[0] < parts[-1] <= 1
    # At most ten a second, and one for each new stage.
    assert len(before) <= 10 * (time.monotonic() - began) + 3 * len(stages)

    # One more slice, and nothing else, crosses; slices beside it come first, and what would help next comes along.
    worker.say(liver.put(folder, 2, 3), predict(2, near=True, suggest=2))
    answer, before = worker.hear_end(2)
    assert isinstance(answer, Finished), answer
    (near,) = [other for other in before if isinstance(other, Near)]
    assert near.axis == 0
    assert near.slices == [1, 2, 3, 4]
    first = folder.take(near.labels)
    assert folder.take(near.confidence).shape == first.shape == (4, *liver.volume.shape[1:])
    assert np.array_equal(first[2] > 0, liver.truth[3])
    labels = folder.take(answer.labels)
    assert np.array_equal(labels[3] > 0, liver.truth[3])
    assert 1 <= len(answer.suggestions) <= 2
    assert all(s.index not in (1, 3, 4) and s.segments == (1,) and "liver" in s.reason for s in answer.suggestions)
    worker.say(Suggest(run=3, session=1, count=1))
    assert worker.hear_end(3)[0].suggestions == answer.suggestions[:1]

    # Painted otherwise, and emptied, a slice is another one; taken out, it is none.
    empty = Example(liver.volume, 0, 3, np.zeros(liver.volume.shape[1:], np.uint8))
    worker.say(Put.of(4, 1, "3", 1, empty, folder), predict(4))
    answer, _before = worker.hear_end(4)
    assert [(note.axis, note.index, note.name) for note in answer.notes] == [(0, 3, "liver")]
    worker.say(Put.of(5, 1, "3", 1, liver.example(3, complete={1}), folder), Remove(run=5, session=1, key="3"))
    worker.say(Remove(run=5, session=1, key="no such key"), predict(5))
    answer, _before = worker.hear_end(5)
    assert isinstance(answer, Finished), answer
    assert worker.end() == 0
    assert not worker.folder.path.exists()


def test_what_is_known_of_a_slice_crosses_with_it(worker: Worker, liver: Liver) -> None:
    """Nothing is painted on a slice that is said to be complete: the liver is not there."""
    folder = worker.folder
    none = Example(liver.volume, 0, 3, np.zeros(liver.volume.shape[1:], np.uint8), complete={1}, background=7)
    put = Put.of(1, 1, "3", 1, none, folder)
    assert (put.complete, put.background) == ([1], 7)
    worker.say(*liver.opening(folder, 1), put, predict(1))
    answer, _before = worker.hear_end(1)
    assert answer.notes == ()
    assert not folder.take(answer.labels)[3].any()


def test_a_cancelled_or_failed_prediction_leaves_the_session_usable(worker: Worker, liver: Liver) -> None:
    folder = worker.folder
    worker.say(*liver.opening(folder, 1), predict(1), Cancel(run=1))
    assert worker.hear_end(1)[0] == Cancelled(run=1)
    worker.say(predict(2, quality="good"))
    answer, _before = worker.hear_end(2)
    assert (answer.kind, answer.request) == ("input", "predict")
    assert "'good', expected fast or best" in answer.message
    worker.say(predict(3))
    while "segmenting" not in getattr(worker.hear(), "stage", ""):
        pass
    worker.say(Cancel(run=3))
    assert worker.hear_end(3)[0] == Cancelled(run=3)
    worker.say(*(Remove(run=4, session=1, key=str(index)) for index in PAINTED), predict(4))
    answer, _before = worker.hear_end(4)
    assert "no examples" in answer.message
    worker.say(*(liver.put(folder, 5, index) for index in PAINTED), predict(5))
    answer, _before = worker.hear_end(5)
    assert isinstance(answer, Finished), answer
    assert liver.dice(folder.take(answer.labels), 2) > 0.8


def test_a_region_is_segmented_with_the_slices_around_it_and_counted_as_the_volume(
    worker: Worker, liver: Liver
) -> None:
    """Slices that pass by the region serve as those of another volume."""
    folder = worker.folder
    load, whole, *puts = liver.opening(folder, 1)
    assert isinstance(whole, Open)
    region = Open(run=1, session=1, volume=1, start=(2, 20, 0), stop=(6, *liver.volume.shape[1:]), device="cpu")
    worker.say(load, region, *puts, predict(1, suggest=1))
    answer, _before = worker.hear_end(1)
    assert isinstance(answer, Finished), answer
    labels = folder.take(answer.labels)
    assert labels.shape == (4, liver.volume.shape[1] - 20, liver.volume.shape[2])
    assert np.array_equal(labels[2] > 0, liver.truth[4, 20:])
    assert all(2 <= s.index < 6 for s in answer.suggestions if s.axis == 0)
    # Another region of the volume needs no voxels.
    puts = [liver.put(folder, 2, index) for index in PAINTED]
    worker.say(Open(run=2, session=1, volume=1, start=(0, 0, 0), stop=(9, 9, 9), device="cpu"), *puts, predict(2))
    answer, _before = worker.hear_end(2)
    assert (answer.request, answer.kind) == ("open", "input")
    assert "expected one within the" in answer.message


def test_what_is_no_request_is_ignored_or_told_and_a_missing_file_is_told(worker: Worker, liver: Liver) -> None:
    nested = b"[" * 100_000 + b"]" * 100_000  # more than Python's reader can take
    worker.write(*(line + b"\n" for line in (b"nonsense", b'{"a": 1}', b"[]", nested, b"\xff\xfe")))
    version = b'{"version": 2, "run": 7, '
    worker.write(version + b'"is": "dance"}\n', version.replace(b"7", b"8") + b'"is": "predict", "pace": 3}\n')
    for run, words in ((7, "of the kind 'dance', expected load, "), (8, "fields of a message predict are wrong")):
        answer, _before = worker.hear_end(run)
        assert answer.kind == "protocol"
        assert words in answer.message
    load, *others = liver.opening(worker.folder, 1)
    (worker.folder.path / "1-volume1.npy").unlink()
    worker.say(load, *others, predict(1), predict(2))
    answer, _before = worker.hear_end(1)
    assert (answer.request, answer.kind) == ("load", "crash")
    assert "1-volume1.npy" in answer.message
    answer, before = worker.hear_end(2)
    assert before == [], "the rest of a run of which something failed is skipped"
    assert (answer.kind, answer.message) == ("protocol", "There is no session 1; open it first.")
    worker.say(*liver.opening(worker.folder, 3, device="abacus"), predict(3))
    answer, _before = worker.hear_end(3)
    assert (answer.request, answer.kind) == ("open", "input")
    assert "'abacus', expected auto, cpu" in answer.message


def test_another_version_is_refused_with_what_to_do_about_it(worker: Worker) -> None:
    assert worker.hear() == Ready()
    worker.write(encode(predict(3)).replace(b'"version": 2', b'"version": 3'))
    worker.write(b'{"do": "segment", "run": 4, "volumes": []}\n')
    for run, version in ((3, 3), (4, 1)):
        answer, _before = worker.hear_end(run)
        assert answer.kind == "protocol"
        assert f"version {version} of their protocol and by version 2; restart" in answer.message
    with pytest.raises(VersionError, match="by version 1 of their protocol"):
        decode_answer(b'{"is": "ready"}')


def test_messages_come_out_of_a_line_as_they_went_in(tmp_path: Path, liver: Liver) -> None:
    folder = ArrayFolder(tmp_path)
    put = decode_request(encode(liver.put(folder, 1, 1, complete={1}, background=9)))
    assert isinstance(put, Put)
    example = put.read(liver.volume, folder)
    assert (example.axis, example.index, example.names) == (0, 1, {1: "liver"})
    assert (example.complete, example.background) == ({1}, 9)
    some = decode_request(encode(liver.put(folder, 1, 1, complete={1: True, 2: False})))
    assert isinstance(some, Put)
    assert some.read(liver.volume, folder).complete == {1: True, 2: False}
    assert np.array_equal(example.mask, liver.truth[1])
    with pytest.raises(ProtocolError, match="kind 'ready', expected load"):
        decode_request(encode(Ready()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells how much memory is used so easily")
def test_forgetting_gives_the_memory_back(worker: Worker) -> None:
    worker.hear()

    def used() -> int:
        return int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) * 4096

    def wait_for(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, used() - before
            time.sleep(0.01)

    before, size = used(), 64 * 2**20
    for number in range(2):
        volume = Volume.from_array(np.ones((16, 1024, size // 2**14), np.uint8))
        worker.say(Load.of(1, number, volume, worker.folder))
    wait_for(lambda: used() - before > 1.8 * size)
    worker.say(Forget())
    wait_for(lambda: used() - before < 0.3 * size)


def test_nothing_but_answers_reaches_standard_output(start: Callable[..., Worker]) -> None:
    code = (
        "import os, sys\n"
        "from FewShotSegLib.worker import process, protocol\n"
        "def handle(self, request):\n"
        "    print('printed'); os.write(1, b'written')\n"
        "    self._send(protocol.Cancelled(run=request.run))\n"
        "process.Service.handle = handle\n"
        "process.main(sys.argv[1:])\n"
    )
    worker = start(code)
    worker.say(predict(1))
    assert worker.hear() == Ready()
    assert worker.hear() == Cancelled(run=1)
    assert worker.process.stderr is not None
    assert worker.end() == 0
    assert b"written" in worker.process.stderr.read()


def test_without_a_folder_it_says_how_it_is_used() -> None:
    command = [sys.executable, "-m", "FewShotSegLib.worker"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode != 0
    assert "FOLDER" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps to a limit on memory")
def test_a_worker_that_runs_out_of_memory_says_so_and_serves_the_next_request(
    start: Callable[..., Worker], liver: Liver
) -> None:
    code = (
        "import resource, sys, FewShotSegLib.segmenter\n"
        "from pathlib import Path\n"
        "from FewShotSegLib.worker.process import main\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)\n"
        "main(sys.argv[1:])\n"
    )
    worker = start(code)
    worker.say(*liver.opening(worker.folder, 1), predict(1))
    answer, _before = worker.hear_end(1)
    assert (type(answer), answer.kind) == (Failed, "memory"), answer
    worker.say(Forget(), Load.of(2, 2, liver.volume, worker.folder))
    worker.say(Open(run=2, session=2, volume=2, start=(0, 0, 0), stop=liver.volume.shape, device="cpu"))
    worker.say(predict(2, session=2))
    assert "no examples" in worker.hear_end(2)[0].message
    assert worker.end() == 0


def test_importing_the_client_side_of_the_engine_needs_no_torch() -> None:
    names = ", ".join(f"FewShotSegLib.worker.{name}" for name in ("protocol", "process", "service"))
    code = f"import sys, {names}; sys.exit(bool({{'torch', 'SimpleITK', 'scipy'}} & set(sys.modules)))"
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=LONGEST_S).returncode == 0


def test_arrays_pass_in_parts_whole_or_cut_and_those_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    array = np.random.default_rng(0).integers(0, 99, (40, 500, 600)).astype(np.int16)

    def done(steps: Generator[None, None, Any]) -> tuple[int, Any]:
        count = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return count, end.value
            count += 1

    turned = array.transpose(2, 1, 0)
    parts, name = done(folder.put_in_parts(1, "turned", turned))
    assert parts >= turned.nbytes / 2**23
    assert np.array_equal(folder.take(name), turned)
    cut = (slice(3, 37), slice(10, 20), slice(None))
    for run, (what, expected) in enumerate((((), array), (cut, array[cut]))):
        parts, read = done(folder.take_in_parts(folder.put(run, "array", array), what))
        assert np.array_equal(read, expected)
        assert parts >= expected.nbytes / 2**23
    file = tmp_path / folder.put(5, "short", array)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"\w"):
        done(folder.take_in_parts(file.name))
    file.unlink()
    begun = folder.put_in_parts(6, "given-up", array)
    next(begun)
    begun.close()
    assert list(tmp_path.iterdir()) == []
