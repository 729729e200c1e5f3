"""A run that nobody wants any more, until its worker has stopped it."""

from __future__ import annotations

import time
from collections.abc import Callable

from FewShotSegModule.runs.worker_client import WorkerClient

#: Answers that end a run.
_LAST = ("cancelled", "failed", "finished")


class DismissedRun:
    """Waits for a worker to stop a run, without keeping anybody waiting; kills the worker if that takes too long.

    Example::

        dismissed = DismissedRun(client, 3, patience=10.0)
        while not dismissed.isOver():
            ...  # anything else

    :param client: The worker.
    :param run: The run's number.
    :param patience: Seconds that the worker has. It reaches a point at which it can stop mostly within a fraction of a
        second, but longer things are done in one go, such as loading the network.
    :param clock: Seconds; can be replaced in tests.
    :raises RunError: The worker is gone.
    """

    def __init__(
        self, client: WorkerClient, run: int, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run = run
        self._client, self._clock = client, clock
        self._end = clock() + patience
        client.send({"do": "cancel", "run": run})

    def isOver(self) -> bool:
        """Whether the worker has stopped the run, or is gone."""
        if any(message["is"] in _LAST for message in self._client.receive(self.run)) or not self._client.alive:
            return True
        if self._clock() < self._end:
            return False
        self._client.stop()
        return True
