"""A run that nobody wants any more, until its worker has stopped it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from FewShotSegLib.worker.protocol import Answer, Cancel, Cancelled, Failed, Finished
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.worker_client import WorkerClient


class DismissedRun:
    """Waits for a worker to stop a run, without keeping anybody waiting; kills the worker if that takes too long.

    Example::

        dismissed = DismissedRun(client, 3, patience=10.0, receive=client.receive)
        while not dismissed.isOver():
            ...  # anything else

    :param client: The worker.
    :param run: The run's number.
    :param patience: Seconds that the worker has. It reaches a point at which it can stop mostly within a fraction of a
        second, but longer things are done in one go, such as loading the network.
    :param receive: Gives the answers of a run that have come since.
    :param clock: Seconds; can be replaced in tests.
    :raises RunError: The worker is gone.
    """

    def __init__(
        self,
        client: WorkerClient,
        run: int,
        patience: float,
        receive: Callable[[int], Iterable[Answer]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self._client, self._receive, self._clock = client, receive, clock
        self._end = clock() + patience
        client.send(Cancel(run=run))

    def isOver(self) -> bool:
        """Whether the worker has stopped the run, or is gone."""
        try:
            answers = self._receive(self.run)
        except RunError:  # it can't be talked to
            answers = []
        if any(isinstance(answer, Finished | Failed | Cancelled) for answer in answers) or not self._client.alive:
            return True
        if self._clock() < self._end:
            return False
        self._client.stop()
        return True
