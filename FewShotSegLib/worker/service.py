"""Carries out requests with the engine."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.errors import Cancelled, FewShotSegError
from FewShotSegLib.stages import Stage
from FewShotSegLib.worker.request import SegmentRequest

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

Send = Callable[[dict[str, Any]], None]

_PROGRESS_INTERVAL = 0.1


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
        try:
            self._send(self._finished(run, message))
        except Cancelled:
            self._send({"is": "cancelled", "run": run})
        except Exception as error:
            # The traceback would keep what filled the memory.
            kind, text = explain(error)
            if kind == "crash":
                traceback.print_exc(file=sys.stderr)
            del error
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
        for name, array in (("labels", result.labelmap.array), ("confidence", result.confidence.array)):
            answer[name] = f"{run}-{name}.npy"
            np.save(self._folder / answer[name], array, allow_pickle=False)
        return answer

    def _segmenter(self, device: str) -> Segmenter:
        from FewShotSegLib.segmenter import Segmenter, choose_device

        name = str(choose_device(device))
        if name not in self._segmenters:
            self._segmenters[name] = Segmenter(name)
        return self._segmenters[name]

    @staticmethod
    def _free() -> None:
        """Gives back what a failed run took on a graphics card."""
        torch = sys.modules.get("torch")
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
    if isinstance(error, FewShotSegError):
        return "input", str(error)
    if isinstance(error, ImportError):
        return "packages", f"A Python package that the engine needs is missing or broken: {error}."
    torch = sys.modules.get("torch")
    text = str(error)
    on_card = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if on_card:
        return "memory", (
            "The graphics card has too little free memory for this volume. Close what else uses it, choose the CPU, or"
            " restrict the slices or the region."
        )
    # torch's allocator for the CPU has no type of its own.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "not enough memory" in text):
        return "memory", (
            "This computer has too little free memory for this volume. Close other programs, restrict the slices or the"
            " region, or crop the volume."
        )
    return "crash", f"{type(error).__name__}: {text}"
