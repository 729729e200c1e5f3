"""Keeps the worker process alive between runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import Any

from slicer.i18n import tr as _

from FewShotSegLib.worker.protocol import Answer, Failed, Forget, Predict, Request, kind_of
from FewShotSegModule.runs.dismissed_run import DismissedRun
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.run_input import RunInput
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.runs.worker_client import WorkerClient
from FewShotSegModule.runs.worker_memory import WorkerMemory

#: Seconds that a worker has to stop a run before it is killed, with all that it has loaded.
_PATIENCE = 10.0
#: How many times longer it has where it has only begun to load the network: a fresh one would have to do the same.
_LOADING = 6
#: Seconds of writing or reading arrays before the application has its turn.
_TURN = 0.05


class WorkerHost:
    """Has one worker: started when first needed, kept for the next run, replaced when it is gone.

    One run is done at a time. It is handed over as what it changes of the one before, which the worker remembers. A run
    that nobody wants any more is given some seconds to stop, so that the worker keeps the network and what it knows of
    the query. The next run waits for that; it gets a fresh worker if the old one had to be killed.

    Example::

        host = WorkerHost()
        run = host.nextRun()
        host.submit(run, runInput)
        while ...:
            host.poll()
            for answer in host.receive(run):
                ...

    :param start: Starts a worker.
    :param patience: Seconds that a worker has to stop a run.
    :param turn: Seconds of writing or reading arrays before the application has its turn.
    """

    def __init__(
        self, start: Callable[[], WorkerClient] = WorkerClient, patience: float = _PATIENCE, turn: float = _TURN
    ) -> None:
        self._start, self._patience, self.turn = start, patience, turn
        self._client: WorkerClient | None = None
        self._memory = WorkerMemory()
        self._runs = 0
        self._waiting: tuple[int, RunInput, bool] | None = None
        #: The handing over of the run that waits, once it has begun.
        self._preparing: Generator[None, None, list[Request]] | None = None
        self._dismissed: DismissedRun | None = None
        self._timer: RunTimer | None = None

    @property
    def client(self) -> WorkerClient | None:
        """The worker, if one was started; it may be gone since."""
        return self._client

    @property
    def alive(self) -> bool:
        """Whether there is a worker that runs."""
        return self._client is not None and self._client.alive

    @property
    def state(self) -> str:
        """What a timer goes by: "running" while a dismissed run has not stopped yet, else "idle"."""
        return "running" if self._dismissed is not None else "idle"

    def nextRun(self) -> int:
        """A number for a run that no other run of this host has."""
        self._runs += 1
        return self._runs

    def submit(self, run: int, runInput: RunInput, near: bool = False) -> None:
        """Hands a run over to the worker, as soon as that has stopped the one before.

        A run of small images is handed over when this returns; of large ones it takes several calls of `poll`.

        :param run: The run's number.
        :param runInput: What is to be done. Until it is handed over, its arrays may change only where its stamps do.
        :param near: Whether slices next to what changed are wanted as soon as they are there.
        :raises RunError: The worker can't be started or given the arrays, or has just ended.
        """
        self._waiting = run, runInput, near
        try:
            self.poll()
        except RunError:
            self.forget(run)
            raise

    def isWaiting(self, run: int) -> bool:
        """Whether a run waits for the one before to stop."""
        return self._isToCome(run) and self._dismissed is not None

    def poll(self) -> None:
        """Sees whether a dismissed run has stopped, and hands over the one that waits; takes a moment at most.

        :raises RunError: The one that waits can't be handed over. It waits on, until it is forgotten.
        """
        dismissed = self._dismissed
        if dismissed is not None:
            if not dismissed.isOver():
                return
            self._removeFiles(dismissed.run)
            self._dismissed = None
            if self._waiting is None and not self.alive:
                self.kill()
        if self._waiting is not None:
            self._handOver(*self._waiting)

    def receive(self, run: int) -> list[Answer]:
        """What the worker has said of a run since this was asked last.

        :raises RunError: The worker is of another version; it was ended.
        """
        if self._client is None:
            return []
        try:
            answers = self._client.receive(run)
        except RunError:
            self.kill()
            raise
        if any(isinstance(answer, Failed) and answer.request != kind_of(Predict) for answer in answers):
            # Nobody knows what it holds now.
            self.forgetScene()
        return answers

    def dismiss(self, run: int, loading: bool = False) -> None:
        """Lets a run stop that nobody wants any more; returns at once, and a timer looks after it.

        :param loading: Whether the worker may still be starting or loading the network.
        """
        if self._isToCome(run):
            self.forget(run)
        elif self._client is not None:
            patience = self._patience * (_LOADING if loading else 1)
            try:
                self._dismissed = DismissedRun(self._client, run, patience, self.receive)
            except RunError:  # it is gone, which is as good
                self.kill()
            else:
                self._timer = RunTimer(self)
                self._timer.start()

    def forget(self, run: int) -> None:
        """Drops a run that has ended or still waits, with its files; the worker removes those that it has read."""
        if self._isToCome(run):
            self._stopHandingOver()
        self._removeFiles(run)

    def forgetScene(self) -> None:
        """Lets the worker give up all but the network that it has loaded, and the memory that this takes."""
        self._memory.forget()
        if self._client is not None:
            with contextlib.suppress(RunError):  # it is gone, and its memory with it
                self._client.send(Forget())

    def kill(self) -> None:
        """Ends the worker at once."""
        self._end(lambda client: client.kill())

    def close(self) -> None:
        """Lets the worker end, whatever it is at."""
        self._end(lambda client: client.close())

    def _end(self, how: Callable[[WorkerClient], Any]) -> None:
        client, self._client = self._client, None
        self._memory.forget()
        self._stopHandingOver()
        self._dismissed = None
        if self._timer is not None:
            self._timer.stop()
        if client is not None:
            how(client)

    def _isToCome(self, run: int) -> bool:
        """Whether a run was not handed over yet."""
        return self._waiting is not None and self._waiting[0] == run

    def _stopHandingOver(self) -> None:
        self._waiting = None
        if self._preparing is not None:
            self._preparing.close()
            self._preparing = None

    def _handOver(self, run: int, runInput: RunInput, near: bool) -> None:
        """Goes on with handing a run over."""
        before, client = self._client, self._acquire()
        if self._preparing is None or client is not before:
            self._preparing = self._memory.prepare(run, runInput, client.arrays, near)
        end = time.monotonic() + self.turn
        try:
            next(self._preparing)
            while time.monotonic() < end:
                next(self._preparing)
        except StopIteration as done:
            self._stopHandingOver()
            for request in done.value:
                client.send(request)
        except OSError as error:
            raise RunError(_("The images can't be handed over to be segmented: {error}").format(error=error)) from error

    def _acquire(self) -> WorkerClient:
        """A worker that is alive."""
        before = self._client
        # Systems tidy up their temporary folders, also beneath a worker that has long been idle.
        if before is not None and before.alive and before.folder.is_dir():
            return before
        self._client = self._start()
        self._memory.forget()
        if before is not None:
            before.kill()
        return self._client

    def _removeFiles(self, run: int) -> None:
        if self._client is not None:
            self._client.arrays.discard(run)
