"""How long a run will still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Before so many seconds and such a part of the run, its pace is not known well enough to tell anything from it.
_LEAST_SECONDS = 2.0
_LEAST_PART = 0.02
#: A run begins with what is counted as no step: reading, warming up, the features of the first slices. Until the pace
#: with and without that differ less than by this factor, nothing is told: three minutes would be called ten.
_AGREEMENT = 1.6
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
        #: Time and part at the beginning, and after the first step.
        self._began: tuple[float, float] | None = None
        self._stepped: tuple[float, float] | None = None
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
        if self._stepped is None and part > self._began[1]:
            self._stepped = now, part
        atThisPace = self._atThisPace(now, part)
        if atThisPace is None:
            return None
        if self._left is None:
            self._left = atThisPace
        else:
            # What was said before, less the time that has passed since, is corrected little by little.
            sinceThen = now - self._before
            expected = self._left - sinceThen
            self._left = max(0.0, expected + (1 - math.exp(-sinceThen / _INERTIA)) * (atThisPace - expected))
        self._before = now
        return self._left

    def _atThisPace(self, now: float, part: float) -> float | None:
        """Seconds left if it goes on as so far; None where nothing was told yet and it is too early to tell."""
        if self._began is None or self._stepped is None:
            return None
        paces = []
        for then, doneThen in (self._began, self._stepped):
            elapsed, done = now - then, part - doneThen
            if elapsed < _LEAST_SECONDS or done < _LEAST_PART:
                return None
            paces.append(elapsed / done)
        if self._left is None and max(paces) > _AGREEMENT * min(paces):
            return None
        return math.sqrt(paces[0] * paces[1]) * (1 - part)
