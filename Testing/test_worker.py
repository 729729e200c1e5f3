"""The worker process, talked to as an application does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.errors import DeviceError, ExampleError
from FewShotSegLib.result import Result
from FewShotSegLib.segmenter import Segmenter
from FewShotSegLib.stages import Stage
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.service import Service, explain

PART = (slice(72, 84, 2), slice(0, None, 2), slice(0, None, 2))
PAINTED = (1, 4)
LONGEST_S = 600.0


class Worker:
    """A worker process and its folder."""

    def __init__(self, folder: Path, code: str | None = None) -> None:
        self.folder = folder
        start = ["-c", code] if code else ["-m", "FewShotSegLib.worker"]
        self.process = subprocess.Popen(
            [sys.executable, *start, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker has ended"
        return json.loads(line)

    def hear_end(self, run: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The answer that ends a run, and those before."""
        before: list[dict[str, Any]] = []
        while True:
            answer = self.hear()
            if answer.get("run") == run and answer["is"] != "progress":
                return answer, before
            before.append(answer)

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    folder = tmp_path / "exchange"
    folder.mkdir()
    started = Worker(folder)
    yield started
    started.process.kill()
    started.process.wait()


def request(folder: Path, scan: SampleScan, run: int, **changes: Any) -> dict[str, Any]:
    """A request to find the liver on six slices of the sample scan; files are written."""
    folder.mkdir(exist_ok=True)
    value = next(value for value, name in scan.labels.names.items() if name == "liver")
    np.save(folder / f"{run}.npy", scan.image.array[PART])
    labels = (scan.labels.array[PART] == value).astype(np.int32)
    examples = []
    for index in PAINTED:
        np.save(folder / f"{run}-{index}.npy", labels[index])
        examples.append({"volume": 0, "axis": 0, "index": index, "mask": f"{run}-{index}.npy", "names": {"1": "liver"}})
    volume = {
        "array": f"{run}.npy",
        "spacing": [2 * s for s in scan.image.spacing],
        "origin": scan.image.origin,
        "direction": scan.image.direction,
        "name": "CT",
    }
    settings = {"device": "cpu", "refine": True, "quality": "fast"}
    return {"do": "segment", "run": run, **settings, "volumes": [volume], "examples": examples, **changes}


def test_a_request_is_answered_with_progress_and_arrays(worker: Worker, sample_scan: SampleScan) -> None:
    assert worker.hear() == {"is": "ready"}
    began = time.monotonic()
    worker.say(**request(worker.folder, sample_scan, 1))
    answer, before = worker.hear_end(1)
    assert answer["is"] == "finished", answer
    assert answer["device"] == "cpu"
    labels = np.load(worker.folder / answer["labels"])
    confidence = np.load(worker.folder / answer["confidence"])
    assert labels.shape == confidence.shape == sample_scan.image.array[PART].shape
    value = next(value for value, name in sample_scan.labels.names.items() if name == "liver")
    truth = sample_scan.labels.array[PART] == value
    assert np.array_equal(labels[1] > 0, truth[1])
    found = labels[2] > 0
    assert 2 * (found & truth[2]).sum() / (found.sum() + truth[2].sum()) > 0.8
    stages = list(dict.fromkeys(answer["stage"] for answer in before))
    assert stages[0] == "loading"
    assert "segmenting" in stages
    assert set(stages) <= set(Stage)
    assert before[-1]["stage"] == "cleaning"
    parts = [answer["part"] for answer in before if answer["stage"] != "loading"]
    assert parts == sorted(parts)
    assert 0 <= parts[0] < parts[-1] <= 1
    # At most ten a second, and one for each new stage.
    assert len(before) <= 10 * (time.monotonic() - began) + 3 * len(stages)
    assert sorted(file.name for file in worker.folder.iterdir()) == ["1-confidence.npy", "1-labels.npy"]
    # The same process answers a bad request after a good one, and ends with its input, folder and all.
    worker.say(**request(worker.folder, sample_scan, 2, device="abacus"))
    answer, _before = worker.hear_end(2)
    assert (answer["is"], answer["kind"]) == ("failed", "input")
    assert "'abacus', expected auto, cpu" in answer["message"]
    assert worker.end() == 0
    assert not worker.folder.exists()


def test_a_cancelled_run_ends_at_its_next_step_and_the_next_one_is_not_affected(
    worker: Worker, sample_scan: SampleScan
) -> None:
    worker.say(**request(worker.folder, sample_scan, 1))
    worker.say(do="cancel", run=1)
    worker.say(**request(worker.folder, sample_scan, 2, examples=[]))
    answer, _before = worker.hear_end(1)
    assert answer == {"is": "cancelled", "run": 1}
    answer, _before = worker.hear_end(2)
    assert answer["kind"] == "input"
    assert "no examples" in answer["message"]


def test_what_is_no_request_is_ignored_and_a_missing_file_is_told(worker: Worker, sample_scan: SampleScan) -> None:
    assert worker.process.stdin is not None
    nested = b"[" * 100_000 + b"]" * 100_000  # more than Python's reader can take
    for line in (
        b"nonsense",
        b'{"a": 1}',
        b"[]",
        nested,
        b"\xff\xfe",
        b'{"do": "segment"}',
        b'{"do": "dance", "run": 7}',
    ):
        worker.process.stdin.write(line + b"\n")
    wanted = request(worker.folder, sample_scan, 1)
    (worker.folder / "1.npy").unlink()
    worker.say(**wanted)
    answer, _before = worker.hear_end(1)
    assert (answer["is"], answer["kind"]) == ("failed", "crash")
    assert "1.npy" in answer["message"]


def test_nothing_but_answers_reaches_standard_output(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from FewShotSegLib.worker import process\n"
        "def segment(self, message):\n"
        "    print('printed'); os.write(1, b'written')\n"
        "    self._send({'is': 'done'})\n"
        "process.Service.segment = segment\n"
        "process.main(sys.argv[1:])\n"
    )
    worker = Worker(tmp_path / "exchange", code)
    worker.folder.mkdir()
    worker.say(do="segment", run=1)
    assert worker.hear() == {"is": "ready"}
    assert worker.hear() == {"is": "done"}
    assert worker.process.stderr is not None
    assert worker.end() == 0
    assert b"written" in worker.process.stderr.read()


def test_without_a_folder_it_says_how_it_is_used() -> None:
    command = [sys.executable, "-m", "FewShotSegLib.worker"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode != 0
    assert "FOLDER" in done.stderr


# Errors, told by kind


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ExampleError("no examples"), "input", "no examples"),
        (DeviceError("no such device"), "input", "no such device"),
        (MemoryError(), "memory", "computer has too little free memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk", "no room on the disk"),
        (OSError("1000000 requested and 503 written"), "disk", "no room on the disk"),
        (OSError(errno.EIO, "Input/output error"), "crash", "Input/output error"),
        (ImportError("No module named 'skimage'"), "packages", "skimage"),
        (ZeroDivisionError("division by zero"), "crash", "ZeroDivisionError: division by zero"),
    ],
)
def test_errors_are_told_by_kind(error: Exception, kind: str, words: str) -> None:
    told, message = explain(error)
    assert told == kind
    assert words in message


@pytest.mark.parametrize("exhaust", [lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50)], ids=["torch", "numpy"])
def test_what_libraries_really_raise_when_memory_runs_out_is_explained(exhaust: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        exhaust()
    kind, message = explain(caught.value)
    assert kind == "memory"
    assert "This computer has too little free memory" in message


class OutOfMemoryError(RuntimeError):
    """As torch's, which has another place in torch 2.3."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which"
        ),
        RuntimeError(
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=["allocator", "driver", "cublas", "rocm"],
)
def test_a_full_graphics_card_is_told_apart_from_a_full_computer(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    kind, message = explain(error)
    assert kind == "memory"
    assert "graphics card" in message
    assert "CPU" in message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps to a limit on memory")
def test_a_worker_that_runs_out_of_memory_says_so_and_serves_the_next_request(
    sample_scan: SampleScan, tmp_path: Path
) -> None:
    code = (
        "import resource, sys, FewShotSegLib.segmenter\n"
        "from pathlib import Path\n"
        "from FewShotSegLib.worker.process import main\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)\n"
        "main(sys.argv[1:])\n"
    )
    worker = Worker(tmp_path / "exchange", code)
    worker.say(**request(worker.folder, sample_scan, 1))
    answer, _before = worker.hear_end(1)
    assert (answer["is"], answer.get("kind")) == ("failed", "memory"), answer
    worker.say(**request(worker.folder, sample_scan, 2, examples=[]))
    assert worker.hear_end(2)[0]["kind"] == "input"
    assert worker.end() == 0


def test_a_result_that_finds_no_room_leaves_no_part_of_it(
    sample_scan: SampleScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Volume.from_array(sample_scan.image.array[PART])

    def found(self: Segmenter, *_arguments: Any, **_named: Any) -> Result:
        return Result(query, query)

    def save(file: Path, array: np.ndarray, **_named: Any) -> None:
        file.write_bytes(b"part of it")
        if "confidence" in file.name:
            raise OSError("1000 requested and 10 written")

    answers: list[dict[str, Any]] = []
    message = request(tmp_path, sample_scan, 1)
    monkeypatch.setattr(Segmenter, "segment", found)
    monkeypatch.setattr(np, "save", save)
    Service(tmp_path, answers.append, lambda run: False).segment(message)
    assert (answers[-1]["is"], answers[-1]["kind"]) == ("failed", "disk")
    assert not list(tmp_path.iterdir())


def test_running_out_of_memory_in_the_engine_is_answered_and_the_service_goes_on(
    sample_scan: SampleScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: Segmenter, *_arguments: Any, **_named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Segmenter, "segment", exhausted)
    answers: list[dict[str, Any]] = []
    service = Service(tmp_path, answers.append, lambda run: False)
    for run in (1, 2):
        service.segment(request(tmp_path, sample_scan, run))
        assert answers[-1]["kind"] == "memory"
    assert len(service._segmenters) == 1, "the network is loaded once"


def test_strength_of_refinement_and_quality_reach_the_engine(
    sample_scan: SampleScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def remember(self: Segmenter, *_arguments: Any, refine: Any, quality: Any, **_named: Any) -> None:
        seen.append((refine, quality))
        raise ExampleError("enough")

    monkeypatch.setattr(Segmenter, "segment", remember)
    service = Service(tmp_path, lambda answer: None, lambda run: False)
    asked = [(True, "best"), (False, "fast"), (0.3, "best")]
    for run, (strength, quality) in enumerate(asked):
        service.segment(request(tmp_path, sample_scan, run, refine=strength, quality=quality))
    assert seen == asked


def test_importing_the_client_side_of_the_engine_needs_no_torch() -> None:
    code = "import sys, FewShotSegLib.worker, FewShotSegLib.worker.process; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=LONGEST_S).returncode == 0
