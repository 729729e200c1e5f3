"""Carries out requests with the engine."""

from __future__ import annotations

import contextlib
import errno
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.errors import Cancelled, FewShotSegError
from FewShotSegLib.memory import give_back, is_out_of_memory
from FewShotSegLib.stages import Stage
from FewShotSegLib.worker.request import SegmentRequest

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

Send = Callable[[dict[str, Any]], None]

_PROGRESS_INTERVAL = 0.1

_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT")} - {None}

# How errors of a graphics card name what they come from.
_CARDS = ("cuda", "cudnn", "cublas", "cusolver", "cusparse", "hip ", "mps backend")
_ON_CARD = (
    "The graphics card has too little free memory for this volume. Close what else uses it, choose the CPU, or"
    " restrict the slices or the region."
)
_IN_COMPUTER = (
    "This computer has too little free memory for this volume. Close other programs, restrict the slices or the"
    " region, or crop the volume."
)


class Service:
    """Does one request after the other; keeps one segmenter for each device.

    Args:
        folder: where arrays are exchanged.
        send: sends an answer.
        is_cancelled: whether a run is to end.
    """

    def __init__(self, folder: Path, send: Send, is_cancelled: Callable[[int], bool]) -> None:
        self._folder, self._send, self._is_cancelled = folder, send, is_cancelled
        self._segmenters: dict[str, Segmenter] = {}

    def segment(self, message: dict[str, Any]) -> None:
        """Carries out a request to segment; whatever goes wrong is answered, too."""
        run = message["run"]
        kind = text = ""
        try:
            self._send(self._finished(run, message))
        except Cancelled:
            self._send({"is": "cancelled", "run": run})
        except Exception as error:
            kind, text = explain(error)
            if isinstance(error, OSError) and not self._folder.is_dir():
                kind, text = "disk", (
                    f"The folder for temporary files through which images and results pass, {self._folder}, was removed"
                    " while it was in use; run again."
                )
            if kind == "crash":
                with contextlib.suppress(OSError, ValueError):  # a log that can't be written stops no worker
                    traceback.print_exc(file=sys.stderr)
        # Not before the error is gone, whose traceback keeps what filled the memory.
        if kind:
            self._free()
            self._send({"is": "failed", "run": run, "kind": kind, "message": text})

    def _finished(self, run: int, message: dict[str, Any]) -> dict[str, Any]:
        report = _Progress(run, self._send, self._is_cancelled)
        report(Stage.LOADING, 0, 0)
        request = SegmentRequest.read(message, self._folder)
        segmenter = self._segmenter(request.device)
        report(Stage.LOADING, 1, 1)
        result = segmenter.segment(
            request.query,
            request.examples,
            progress=report,
            refine=request.refine,
            quality=request.quality,
            overall=report.overall,
        )
        report.check()
        answer: dict[str, Any] = {"is": "finished", "run": run, "device": str(segmenter.device)}
        try:
            for name, array in (("labels", result.labelmap.array), ("confidence", result.confidence.array)):
                answer[name] = f"{run}-{name}.npy"
                np.save(self._folder / answer[name], array, allow_pickle=False)
        except OSError:
            for name in ("labels", "confidence"):
                (self._folder / f"{run}-{name}.npy").unlink(missing_ok=True)
            raise
        return answer

    def _segmenter(self, device: str) -> Segmenter:
        from FewShotSegLib.segmenter import Segmenter, choose_device

        name = str(choose_device(device))
        if name not in self._segmenters:
            self._segmenters[name] = Segmenter(name)
        return self._segmenters[name]

    @staticmethod
    def _free() -> None:
        """Gives back what a failed run took."""
        give_back()
        torch = sys.modules.get("torch")
        with contextlib.suppress(Exception):  # a card that failed may refuse every further call
            if torch is not None and torch.cuda.is_available():
                torch.cuda.empty_cache()


class _Progress:
    """Tells progress, not too often, and stops a run that was cancelled."""

    def __init__(self, run: int, send: Send, is_cancelled: Callable[[int], bool]) -> None:
        self._run, self._send, self._is_cancelled = run, send, is_cancelled
        self._stage, self._told = "", 0.0
        self._part: float | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.check()
        now = time.monotonic()
        if stage != self._stage or now - self._told >= _PROGRESS_INTERVAL:
            self._stage, self._told = stage, now
            message = {"is": "progress", "run": self._run, "stage": stage, "done": done, "total": total}
            self._send({**message, "part": self._part})

    def overall(self, part: float) -> None:
        """Takes note of the part of the whole that is done."""
        self._part = part

    def check(self) -> None:
        """Stops a run that was cancelled."""
        if self._is_cancelled(self._run):
            raise Cancelled("The run was cancelled.")


def explain(error: Exception) -> tuple[str, str]:
    """The kind of an error, as answers name it, and what to tell a user."""
    if is_out_of_memory(error):
        return "memory", _ON_CARD if _is_of_card(error) else _IN_COMPUTER
    if isinstance(error, FewShotSegError):
        return "input", str(error)
    if isinstance(error, ImportError):
        return "packages", f"A Python package that the engine needs is missing or broken: {error}."
    if isinstance(error, OSError) and _is_of_full_disk(error):
        return "disk", (
            f"There is no room on the disk for temporary files ({tempfile.gettempdir()}), through which images and"
            " results pass. Make room there and run again."
        )
    return "crash", f"{type(error).__name__}: {error}"


def _is_of_full_disk(error: OSError) -> bool:
    """Whether there was no room for a file; numpy says only how much of an array went in."""
    return error.errno in _NO_ROOM or (error.errno is None and "requested and" in str(error))


def _is_of_card(error: BaseException) -> bool:
    """Whether memory ran out on the graphics card: the type that says so is not in all versions of torch."""
    named = f"{type(error).__name__} {error}".lower()
    return any(word in named for word in _CARDS) or (error.__cause__ is not None and _is_of_card(error.__cause__))
