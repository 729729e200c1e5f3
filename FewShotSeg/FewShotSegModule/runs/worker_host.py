"""Keeps the worker process alive between runs."""

from __future__ import annotations

from collections.abc import Callable

from FewShotSegModule.runs.worker_client import WorkerClient


class WorkerHost:
    """Has one worker: started when first needed, kept for the next run, replaced when it is gone.

    :param start: Starts a worker.
    """

    def __init__(self, start: Callable[[], WorkerClient] = WorkerClient) -> None:
        self._start = start
        self._client: WorkerClient | None = None
        self._runs = 0

    @property
    def client(self) -> WorkerClient | None:
        """The worker, if one was started; it may be gone since."""
        return self._client

    def acquire(self) -> WorkerClient:
        """A worker that is alive.

        :raises RunError: It can't be started.
        """
        if self._client is not None and not self._client.alive:
            self.kill()
        if self._client is None:
            self._client = self._start()
        return self._client

    def nextRun(self) -> int:
        """A number for a run that no other run of this host has."""
        self._runs += 1
        return self._runs

    def kill(self) -> None:
        """Ends the worker at once."""
        if self._client is not None:
            self._client.kill()
            self._client = None

    def close(self) -> None:
        """Lets the worker end."""
        if self._client is not None:
            self._client.close()
            self._client = None
