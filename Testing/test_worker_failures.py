"""What a worker tells of what goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worker_talk import Liver, predict

from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.errors import DeviceError, ExampleError
from FewShotSegLib.result import Result
from FewShotSegLib.session import Session
from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.failures import explain
from FewShotSegLib.worker.protocol import Failed, Finished, Request
from FewShotSegLib.worker.service import Service


@pytest.fixture(scope="module")
def liver(sample_scan: SampleScan) -> Liver:
    return Liver(sample_scan)


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


class Here:
    """A service in this process, with what it answers."""

    def __init__(self, folder: Path, liver: Liver) -> None:
        self.folder, self.answers = ArrayFolder(folder), list[Any]()
        self.service = Service(self.folder, self.answers.append, lambda run: False)
        self.do(*liver.opening(self.folder, 1))
        assert not any(isinstance(answer, Failed) for answer in self.answers), self.answers

    def do(self, *requests: Request) -> Any:
        for request in requests:
            self.service.handle(request)
        return self.answers[-1]


@pytest.fixture
def here(tmp_path: Path, liver: Liver) -> Here:
    return Here(tmp_path, liver)


def test_a_result_that_finds_no_room_leaves_no_part_of_it(
    here: Here, liver: Liver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(file: Path, array: np.ndarray, **_named: Any) -> None:
        file.write_bytes(b"part of it")
        if "confidence" in file.name:
            raise OSError("1000 requested and 10 written")

    monkeypatch.setattr(Session, "predict", lambda *_, **__: Result(liver.volume, liver.volume))
    monkeypatch.setattr(np, "save", save)
    assert here.do(predict(2)).kind == "disk"
    assert not list(here.folder.path.iterdir())


def test_running_out_of_memory_in_the_engine_is_answered_and_the_session_stays(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: Session, *_arguments: Any, **_named: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(Session, "predict", exhausted)
        assert here.do(predict(2)).kind == "memory"
    assert isinstance(here.do(predict(3)), Finished)


def test_strength_of_refinement_and_quality_reach_the_engine(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def remember(self: Session, progress: Any, quality: str, near: Any, refine: float, overall: Any) -> None:
        seen.append((refine, quality, near is not None))
        raise ExampleError("enough")

    monkeypatch.setattr(Session, "predict", remember)
    asked = [(1.0, "best", False), (0.0, "fast", True), (0.3, "best", False)]
    for run, (strength, quality, near) in enumerate(asked, start=2):
        here.do(predict(run, refine=strength, quality=quality, near=near))
    assert seen == asked
