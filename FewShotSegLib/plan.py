"""How far a run has got: in steps of its stage, and as a part of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from FewShotSegLib.stages import Stage

Tick = Callable[[int], None]
"""Is told how many steps were done since it was called last, 0 for none yet; raises what cancels the run."""


def no_tick(_steps: int) -> None:
    """A tick that nobody listens to."""


@dataclass(frozen=True)
class Leg:
    """A stage that lies ahead.

    Attributes:
        stage: which.
        work: about how long it takes; in any unit, since only ratios count.
    """

    stage: Stage
    work: float


class Plan:
    """The way of a run through its stages.

    What lies ahead is only expected, and may be told anew when more is known. So the part of the whole that is done is
    not recomputed but moves on: a step takes as much of the part that is left as of the work that is left. It never
    goes back, and is 1 after the last step, however wrong the expectations were.

    Example:
        >>> plan = Plan(print)
        >>> plan.expect([Leg(Stage.SEGMENTING, 3.0), Leg(Stage.JOINING, 1.0)])
        >>> tick = plan.begin(Stage.SEGMENTING, 40)
        >>> tick(8)

    Args:
        report: called with (stage, steps done, steps of the stage).
        overall: called before that, with the part of the whole that is done, 0 to 1.
    """

    def __init__(
        self, report: Callable[[str, int, int], None] | None = None, overall: Callable[[float], None] | None = None
    ) -> None:
        self._report, self._overall = report, overall
        self._ahead: list[Leg] = []
        self._part = 0.0

    def expect(self, legs: Iterable[Leg]) -> None:
        """Says what lies ahead from here on, in its order."""
        self._ahead = list(legs)

    def begin(self, stage: Stage, steps: int, work: float | None = None) -> Tick:
        """Begins a stage; what was expected before it is not expected any more.

        Args:
            stage: which.
            steps: how many steps it has.
            work: what it takes, now that it is known; what was expected if None.

        Returns:
            what to tell of its steps.
        """
        expected = self._reach(stage)
        whole = expected if work is None else work
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            if count:
                left = whole * (1 - done / steps) + sum(leg.work for leg in self._ahead)
                self._move(whole * count / steps, left)
                done += count
            self._tell(stage, done, steps)

        self._tell(stage, 0, steps)
        return tick

    def _reach(self, stage: Stage) -> float:
        """Drops what is expected up to a stage; the work expected for it, 0 for a stage that was not expected."""
        for n, leg in enumerate(self._ahead):
            if leg.stage == stage:
                self._ahead = self._ahead[n + 1 :]
                return leg.work
        return 0.0

    def _move(self, work: float, left: float) -> None:
        if left > 0:
            self._part += (1 - self._part) * min(work / left, 1.0)

    def _tell(self, stage: Stage, done: int, steps: int) -> None:
        if self._overall is not None:
            self._overall(self._part)
        if self._report is not None:
            self._report(stage, done, steps)
