"""A run in the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegLib.volume import Volume
from FewShotSegModule.runs.errors import InvalidInputError, RunError
from FewShotSegModule.runs.run_input import RunInput
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.runs.time_estimate import TimeEstimate
from FewShotSegModule.runs.worker_client import WorkerClient
from FewShotSegModule.runs.worker_host import WorkerHost

#: How long a worker may take to confirm a cancellation before it is killed; all in all half a second must do.
_PATIENCE = 0.15


def _nothing(*_arguments: Any) -> None:
    pass


class SegmentationRun:
    """One run: fed with copies on construction, then polled by a timer until it is no longer "running".

    It touches no node; what to do with its result is up to the callbacks.

    Example::

        run = SegmentationRun(host, runInput, onFinished=show, onFailed=print)
        while run.state == "running":
            run.poll()

    :param host: Has the worker.
    :param runInput: What is to be segmented, and how.
    :param onProgress: Called with (stage, done, total, seconds left or None).
    :param onFinished: Called with this run, which has a `result` then.
    :param onFailed: Called with a message for the user.
    :param onCancelled: Called when a cancellation is done.
    :raises RunError: The worker can't be started or fed.
    """

    def __init__(
        self,
        host: WorkerHost,
        runInput: RunInput,
        *,
        onProgress: Callable[[str, int, int, float | None], None] | None = None,
        onFinished: Callable[[SegmentationRun], None] | None = None,
        onFailed: Callable[[str], None] | None = None,
        onCancelled: Callable[[], None] | None = None,
    ) -> None:
        self.onProgress = onProgress or _nothing
        self.onFinished = onFinished or _nothing
        self.onFailed = onFailed or _nothing
        self.onCancelled = onCancelled or _nothing
        self.state = "running"
        self.result: RunResult | None = None
        #: Why the run failed, as an exception that a caller who waits can raise.
        self.error: Exception | None = None
        self._host, self._input = host, runInput
        self._number = host.nextRun()
        self._estimate = TimeEstimate()
        self._files: list[Path] = []
        self._client: WorkerClient = host.acquire()
        try:
            self._client.send(self._request())
        except OSError as error:
            self._tidy()
            raise RunError(_("The images can't be handed over to be segmented: {error}").format(error=error)) from error
        # What is handed over needs no second copy here.
        self._structures, self._allowed, self._box, self._shape = (
            runInput.structures,
            runInput.allowed,
            runInput.box,
            runInput.shape,
        )
        del self._input

    def poll(self) -> None:
        """Takes in what the worker said meanwhile; returns at once. Called by a timer, on the main thread."""
        if self.state != "running":
            return
        alive = self._client.alive
        for message in self._client.receive():
            self._handle(message)
            if self.state != "running":
                return
        if not alive:
            self._fail(RunError(self._causeOfDeath()))

    def cancel(self) -> None:
        """Stops the run within half a second; what the scene holds stays as it is."""
        if self.state == "running":
            self.state = "cancelled"
            self._stopWorker()
            self.onCancelled()

    def abandon(self, message: str) -> None:
        """Stops the run because it has become pointless, and tells why.

        :param message: For the user.
        """
        if self.state == "running":
            self.state = "failed"
            self._stopWorker()
            self.error = RunError(message)
            self.onFailed(message)

    # What the worker says

    def _handle(self, message: dict[str, Any]) -> None:
        if message.get("run") != self._number:
            return
        kind = message["is"]
        if kind == "progress":
            stage, done, total = message["stage"], message["done"], message["total"]
            self.onProgress(stage, done, total, self._estimate(stage, done, total))
        elif kind == "finished":
            try:
                self.result = self._load(message)
            except (OSError, ValueError, MemoryError) as error:
                self._fail(RunError(_("The result can't be read: {error}").format(error=error)))
                return
            self.state = "finished"
            self._tidy()
            self.onFinished(self)
        elif kind == "failed":
            text = message["message"]
            self._fail(InvalidInputError(text) if message["kind"] == "input" else RunError(text))

    def _load(self, message: dict[str, Any]) -> RunResult:
        cut = tuple(
            slice(first - start, last - start) for first, last, start in zip(*self._allowed, self._box[0], strict=True)
        )
        arrays = []
        for name in ("labels", "confidence"):
            file = self._client.folder / message[name]
            self._files.append(file)
            arrays.append(np.ascontiguousarray(np.load(file, allow_pickle=False)[cut]))
        return RunResult(arrays[0], arrays[1], self._allowed, self._shape, self._structures, message["device"])

    def _fail(self, error: Exception) -> None:
        self.state = "failed"
        self.error = error
        self._tidy()
        self.onFailed(str(error))

    def _causeOfDeath(self) -> str:
        """Why a worker that is gone is gone, as far as that can be told."""
        code, said = self._client.exitCode, self._client.logTail()
        self._host.kill()
        if code == -9 or code == 137:
            message = _(
                "The process that segments was ended by the system, most likely because the computer ran out of memory."
                " Close other programs, restrict the slices or the region, or crop the volume."
            )
        else:
            message = _("The process that segments ended unexpectedly (exit code {code}).").format(code=code)
        message += " " + _("The scene is as it was; the next click starts a fresh process.")
        last = said.splitlines()[-1] if said else ""
        return f"{message}\n{last}" if last else message

    # Talking to the worker

    def _stopWorker(self) -> None:
        end = time.monotonic() + _PATIENCE
        try:
            self._client.send({"do": "cancel", "run": self._number})
            while time.monotonic() < end and self._client.alive:
                for message in self._client.receive(0.02):
                    if message.get("run") == self._number and message["is"] in ("cancelled", "failed", "finished"):
                        self._files += [
                            self._client.folder / message[name] for name in ("labels", "confidence") if name in message
                        ]
                        self._tidy()
                        return
        except RunError:
            pass  # it is gone, which is fine
        self._host.kill()

    def _request(self) -> dict[str, Any]:
        runInput = self._input
        volumes: list[Volume] = [runInput.query]
        for example in runInput.examples:
            if not any(example.image is volume for volume in volumes):
                volumes.append(example.image)
        return {
            "do": "segment",
            "run": self._number,
            "device": runInput.device,
            "refine": runInput.refine,
            "volumes": [
                {
                    "array": self._save(f"volume{n}", volume.array),
                    "spacing": volume.spacing,
                    "origin": volume.origin,
                    "direction": volume.direction,
                    "name": volume.name,
                }
                for n, volume in enumerate(volumes)
            ],
            "examples": [
                {
                    "volume": next(n for n, volume in enumerate(volumes) if volume is example.image),
                    "axis": example.axis,
                    "index": example.index,
                    "mask": self._save(f"mask{n}", example.mask),
                    "names": example.names,
                }
                for n, example in enumerate(runInput.examples)
            ],
        }

    def _save(self, name: str, array: np.ndarray) -> str:
        file = self._client.folder / f"{self._number}-{name}.npy"
        self._files.append(file)
        np.save(file, array, allow_pickle=False)
        return file.name

    def _tidy(self) -> None:
        """Removes the run's files; the worker removes those that it has read."""
        for file in self._files:
            file.unlink(missing_ok=True)
        self._files = []
