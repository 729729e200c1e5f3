"""How long a stage of a run will still take."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Earlier than this, the pace is not known well enough to tell anything from it.
_LEAST_SECONDS = 1.0


class TimeEstimate:
    """Tells the time left of the present stage from the pace of its steps so far.

    Which stages will follow depends on what is found, so the time of the whole run is not known ahead.

    Example::

        estimate = TimeEstimate()
        secondsLeft = estimate("segmenting", 8, 40)

    :param clock: Seconds; can be replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage, self._before = "", 0
        self._began = clock()

    def __call__(self, stage: str, done: int, total: int) -> float | None:
        """Seconds left of a stage; None while there is nothing to tell it from."""
        now = self._clock()
        if stage != self._stage or done < self._before:  # stages may come again, for a second look
            self._stage, self._began = stage, now
        self._before = done
        elapsed = now - self._began
        if done <= 0 or total <= 0 or elapsed < _LEAST_SECONDS:
            return None
        return max(0.0, elapsed * (total - done) / done)
