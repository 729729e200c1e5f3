"""Keeps the worker process alive between runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegModule.runs.dismissed_run import DismissedRun
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.runs.worker_client import Message, WorkerClient

#: Seconds that a worker has to stop a run before it is killed, with all that it has loaded.
_PATIENCE = 10.0
#: How many times longer it has where it has only begun to load the network: a fresh one would have to do the same.
_LOADING = 6


class WorkerHost:
    """Has one worker: started when first needed, kept for the next run, replaced when it is gone.

    One run is done at a time. A run that nobody wants any more is given some seconds to stop, so that the worker keeps
    the network and the features of the query. The next run waits for that; it gets a fresh worker if the old one had to
    be killed.

    Example::

        host = WorkerHost()
        run = host.nextRun()
        host.submit({"do": "segment", "run": run, ...}, arrays)
        while ...:
            host.poll()
            for message in host.receive(run):
                ...

    :param start: Starts a worker.
    :param patience: Seconds that a worker has to stop a run.
    """

    def __init__(self, start: Callable[[], WorkerClient] = WorkerClient, patience: float = _PATIENCE) -> None:
        self._start, self._patience = start, patience
        self._client: WorkerClient | None = None
        self._runs = 0
        self._waiting: Message | None = None
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

    def submit(self, request: Message, arrays: Mapping[str, np.ndarray]) -> None:
        """Hands a request over to the worker, at once or as soon as it has stopped the run before.

        :param request: The message, with the run's number.
        :param arrays: What belongs to it, by the names of files, which begin with the run's number and a dash. They are
            written at once, so they may be changed afterwards.
        :raises RunError: The worker can't be started, or has just ended.
        :raises OSError: The arrays can't be written.
        """
        folder = self._acquire().folder
        try:
            for name, array in arrays.items():
                np.save(folder / name, array, allow_pickle=False)
        except OSError:
            self.forget(request["run"])
            raise
        self._waiting = request
        self.poll()

    def isWaiting(self, run: int) -> bool:
        """Whether a run waits for the one before to stop."""
        return self._waiting is not None and self._waiting["run"] == run

    def poll(self) -> None:
        """Sees whether a dismissed run has stopped, and goes on with the one that waits; returns at once.

        :raises RunError: A fresh worker was needed and can't be started, or it has just ended.
        """
        if self._dismissed is not None:
            if not self._dismissed.isOver():
                return
            self.forget(self._dismissed.run)
            self._dismissed = None
            if self._waiting is None and not self.alive:
                self.kill()
        if self._waiting is not None:
            client = self._acquire()
            request, self._waiting = self._waiting, None
            client.send(request)

    def receive(self, run: int) -> list[Message]:
        """What the worker has said of a run since this was asked last."""
        return [] if self._client is None else self._client.receive(run)

    def dismiss(self, run: int, loading: bool = False) -> None:
        """Lets a run stop that nobody wants any more; returns at once, and a timer looks after it.

        :param loading: Whether the worker may still be starting or loading the network.
        """
        if self.isWaiting(run):
            self._waiting = None
            self.forget(run)
        elif self._client is not None:
            try:
                self._dismissed = DismissedRun(self._client, run, self._patience * (_LOADING if loading else 1))
            except RunError:  # it is gone, which is as good
                self.kill()
            else:
                self._timer = RunTimer(self)
                self._timer.start()

    def forget(self, run: int) -> None:
        """Removes a run's files; the worker removes those that it has read."""
        for file in self._filesOf(run):
            # Where the worker has one open, Windows refuses; the folder goes with the worker in any case.
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the worker at once."""
        self._end(lambda client: client.kill())

    def close(self) -> None:
        """Lets the worker end, whatever it is at."""
        self._end(lambda client: client.close())

    def _end(self, how: Callable[[WorkerClient], Any]) -> None:
        client, self._client = self._client, None
        self._waiting = self._dismissed = None
        if self._timer is not None:
            self._timer.stop()
        if client is not None:
            how(client)

    def _acquire(self) -> WorkerClient:
        """A worker that is alive; a fresh one gets the files of the run that waits."""
        before = self._client
        # Systems tidy up their temporary folders, also beneath a worker that has long been idle.
        if before is not None and before.alive and before.folder.is_dir():
            return before
        fresh = self._client = self._start()
        if before is not None:
            if self._waiting is not None:
                for file in before.folder.glob(f"{self._waiting['run']}-*"):
                    file.replace(fresh.folder / file.name)
            before.kill()
        return fresh

    def _filesOf(self, run: int) -> list[Path]:
        return [] if self._client is None else list(self._client.folder.glob(f"{run}-*"))
