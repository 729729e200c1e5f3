"""Polls what nobody waits for."""

from __future__ import annotations

from typing import Any

_MILLISECONDS = 100


class RunTimer:
    """Asks a run for news until it is done; keeps itself alive that long.

    Example::

        RunTimer(run).start()

    :param run: Has `poll()` and a `state` that is "running" until it is done, as a SegmentationRun and a SurfaceMaking.
    :param timer: A QTimer; made when it is started if None. Without Qt, the run's owner has to poll it.
    :param everyMs: Milliseconds between two times.
    """

    _active: set[RunTimer] = set()  # noqa: RUF012  # a registry on purpose: nobody else holds a timer

    def __init__(self, run: Any, timer: Any = None, everyMs: int = _MILLISECONDS) -> None:
        self._run, self._timer, self._everyMs = run, timer, everyMs

    def start(self) -> None:
        """Starts polling."""
        if self._timer is None:
            try:
                import qt
            except ImportError:
                return
            self._timer = qt.QTimer()
        self._timer.setInterval(self._everyMs)
        self._timer.connect("timeout()", self._poll)
        self._timer.start()
        RunTimer._active.add(self)

    def stop(self) -> None:
        """Stops polling before the run is done."""
        if self._timer is not None:
            self._timer.stop()
        RunTimer._active.discard(self)

    def _poll(self) -> None:
        try:
            self._run.poll()
        finally:
            if self._run.state != "running":
                self.stop()
