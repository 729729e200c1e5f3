"""A run in the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegLib.worker.protocol import Answer, Failed, Finished, Near, Progress
from FewShotSegModule.runs.errors import InvalidInputError, RunError
from FewShotSegModule.runs.run_input import RunInput
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.runs.time_estimate import TimeEstimate
from FewShotSegModule.runs.worker_host import WorkerHost

#: Stages before the worker is at the run; the others are the engine's, `FewShotSegLib.stages`.
STARTING, WAITING = "starting", "waiting"

#: Slicer's launcher says so of a Python that was killed; its own exit code is 1 then.
_LAUNCHER_SAYS = "exit abnormally"


def _nothing(*_arguments: Any) -> None:
    pass


class SegmentationRun:
    """One run: handed over from its construction on, and polled by a timer until it is no longer "running".

    It touches no node; what to do with its result is up to the callbacks.

    Example::

        run = SegmentationRun(host, runInput, onFinished=show, onFailed=print)
        while run.state == "running":
            run.poll()

    :param host: Has the worker.
    :param runInput: What is to be segmented, and how.
    :param onProgress: Called with (stage, done, total, seconds left of the whole run or None); the total is 0 where
        there are no steps to count.
    :param onFinished: Called with this run, which has a `result` then.
    :param onFailed: Called with a message for the user.
    :param onCancelled: Called when it is cancelled.
    :param onNear: Called, where a run before was about the same volume, with a first answer for slices next to what has
        changed since: the axis and the numbers of slices of the volume, their labels and confidence (slices, rows,
        columns) in the part of the volume in which the run may change something.
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
        onNear: Callable[[int, list[int], np.ndarray, np.ndarray], None] | None = None,
    ) -> None:
        self.onProgress = onProgress or _nothing
        self.onFinished = onFinished or _nothing
        self.onFailed = onFailed or _nothing
        self.onCancelled = onCancelled or _nothing
        self.onNear = onNear or _nothing
        #: "running", then "finished", "failed" or "cancelled".
        self.state = "running"
        self.result: RunResult | None = None
        #: Why the run failed, as an exception that a caller who waits can raise.
        self.error: Exception | None = None
        #: How much of the whole run is done, 0 to 1; None before the work has begun.
        self.part: float | None = None
        self._host, self._number = host, host.nextRun()
        self._estimate = TimeEstimate()
        self._stage = ""
        self._polling = False
        #: The reading of the result, once it is there.
        self._reading: Generator[None, None, RunResult] | None = None
        # Voxels are not kept longer than it takes to hand them over.
        self._structures, self._allowed, self._box, self._shape = (
            runInput.structures,
            runInput.allowed,
            runInput.box,
            runInput.query.shape,
        )
        host.submit(self._number, runInput, near=onNear is not None)

    def poll(self) -> None:
        """Takes in what the worker said meanwhile; returns at once. Called by a timer, on the main thread."""
        # A callback may let the application handle events, this timer's among them.
        if self.state != "running" or self._polling:
            return
        self._polling = True
        try:
            self._listen()
        finally:
            self._polling = False

    def cancel(self) -> None:
        """Ends the run at once; what the scene holds stays as it is. The worker stops it a moment later."""
        if self.state == "running":
            self.state = "cancelled"
            self._dismiss()
            self.onCancelled()

    def abandon(self, message: str) -> None:
        """Ends the run because it has become pointless, and tells why.

        :param message: For the user.
        """
        if self.state == "running":
            self.state = "failed"
            self._dismiss()
            self.error = RunError(message)
            self.onFailed(message)

    def fail(self, error: Exception) -> None:
        """Takes note that the run, or what was to be done with its result, went wrong."""
        self.state = "failed"
        self.error = error
        self._host.forget(self._number)
        self.onFailed(str(error))

    def _dismiss(self) -> None:
        if self._reading is None:
            self._host.dismiss(self._number, loading=self.part is None)
        else:  # the worker has nothing more to do with it
            self._reading.close()
            self._host.forget(self._number)

    def _listen(self) -> None:
        try:
            self._host.poll()
            alive = self._host.alive
            answers = self._host.receive(self._number)
        except RunError as error:
            self.fail(error)
            return
        for answer in answers:
            self._handle(answer)
            if self.state != "running":
                return
        if self._reading is not None:
            self._goOnReading()
        elif not alive:
            self.fail(RunError(self._causeOfDeath()))
        elif self.part is None and self._stage in ("", STARTING, WAITING):
            self._tell(WAITING if self._host.isWaiting(self._number) else STARTING)

    def _handle(self, answer: Answer) -> None:
        match answer:
            case Progress():
                if answer.part is not None:
                    self.part = max(answer.part, self.part or 0.0)
                self._stage = answer.stage
                self.onProgress(self._stage, answer.done, answer.total, self._estimate(self.part))
            case Near():
                try:
                    labels, confidence = self._take(answer.labels), self._take(answer.confidence)
                except (OSError, ValueError, MemoryError):
                    return  # the whole result follows
                self._tellNear(answer.axis, answer.slices, labels, confidence)
            case Finished():
                self._reading = self._read(answer)
            case Failed():
                isOfInput = answer.kind == "input"
                self.fail(InvalidInputError(answer.message) if isOfInput else RunError(answer.message))

    def _tell(self, stage: str) -> None:
        """Tells a stage that has no steps, once."""
        if stage != self._stage:
            self._stage = stage
            self.onProgress(stage, 0, 0, None)

    def _tellNear(self, axis: int, slices: list[int], labels: np.ndarray, confidence: np.ndarray) -> None:
        first, last = self._allowed[0][axis], self._allowed[1][axis]
        within = [n for n, index in enumerate(slices) if first <= index < last]
        plane = tuple(part for a, part in enumerate(self._cut()) if a != axis)
        self.onNear(axis, [slices[n] for n in within], labels[within][:, *plane], confidence[within][:, *plane])

    def _cut(self) -> tuple[slice, ...]:
        """Where in what was computed lies what may change."""
        return tuple(
            slice(first - start, last - start) for first, last, start in zip(*self._allowed, self._box[0], strict=True)
        )

    def _goOnReading(self) -> None:
        """Reads the result for a moment."""
        assert self._reading is not None
        end = time.monotonic() + self._host.turn
        try:
            next(self._reading)
            while time.monotonic() < end:
                next(self._reading)
            return
        except StopIteration as done:
            self.result = done.value
        except (OSError, ValueError, MemoryError) as error:
            self.fail(RunError(_("The result can't be read: {error}").format(error=error)))
            return
        self.state = "finished"
        self._host.forget(self._number)
        self.onFinished(self)

    def _read(self, answer: Finished) -> Generator[None, None, RunResult]:
        """Reads the result part by part."""
        client, cut = self._host.client, self._cut()
        if client is None:
            raise ValueError(_("the process that segments was ended"))
        labels = yield from client.arrays.take_in_parts(answer.labels, cut)
        confidence = yield from client.arrays.take_in_parts(answer.confidence, cut)
        return RunResult(
            labels,
            confidence,
            self._allowed,
            self._shape,
            self._structures,
            answer.device,
            answer.notes,
            answer.suggestions,
        )

    def _take(self, file: str) -> np.ndarray:
        client = self._host.client
        if client is None:
            raise ValueError(_("the process that segments was ended"))
        return client.arrays.take(file)

    def _causeOfDeath(self) -> str:
        """Why a worker that is gone is gone, as far as that can be told."""
        client = self._host.client
        code, said = (None, "") if client is None else (client.exitCode, client.logTail())
        self._host.kill()
        if code in (-9, 137) or _LAUNCHER_SAYS in said:
            message = _(
                "The process that segments was ended by the system, most likely because the computer ran out of memory."
                " Close other programs, restrict the slices or the region, or crop the volume."
            )
        else:
            message = _("The process that segments ended unexpectedly (exit code {code}).").format(code=code)
        message += " " + _("The scene is as it was; the next click starts a fresh process.")
        last = said.splitlines()[-1] if said else ""
        return f"{message}\n{last}" if last else message
