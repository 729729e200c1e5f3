"""How long a run will still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Before so many seconds and such a part of the run, its pace is not known well enough to tell anything from it.
_LEAST_SECONDS = 2.0
_LEAST_PART = 0.02
#: Seconds within which the estimate follows a change of pace; in between it counts down.
_INERTIA = 4.0


class TimeEstimate:
    """Tells the time left of a whole run from the pace at which its parts were done so far.

    Example::

        estimate = TimeEstimate()
        secondsLeft = estimate(0.25)

    :param clock: Seconds; can be replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: tuple[float, float] | None = None
        self._before = 0.0
        self._left: float | None = None

    def __call__(self, part: float | None) -> float | None:
        """Seconds left of the run; None while there is nothing to tell it from.

        :param part: The part of the run that is done, 0 to 1; None while its work hasn't begun.
        """
        if part is None:
            return None
        now = self._clock()
        if self._began is None:
            self._began = now, part
        elapsed, done = now - self._began[0], part - self._began[1]
        if elapsed < _LEAST_SECONDS or done < _LEAST_PART:
            return None
        atThisPace = elapsed * (1 - part) / done
        if self._left is None:
            self._left = atThisPace
        else:
            # What was said before, less the time that has passed since, is corrected little by little.
            sinceThen = now - self._before
            expected = self._left - sinceThen
            self._left = max(0.0, expected + (1 - math.exp(-sinceThen / _INERTIA)) * (atThisPace - expected))
        self._before = now
        return self._left
