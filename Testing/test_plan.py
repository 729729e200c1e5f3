"""How far a run has got: steps of its stages, and the part of the whole."""

from __future__ import annotations

from itertools import pairwise

import pytest

from FewShotSegLib.plan import Leg, Plan
from FewShotSegLib.stages import Stage


class ARun:
    """A plan, and what it told."""

    def __init__(self, *ahead: tuple[Stage, float]) -> None:
        self.parts: list[float] = []
        self.told: list[tuple[str, int, int]] = []
        self.plan = Plan(lambda *call: self.told.append(call), self.parts.append)
        self.plan.expect([Leg(*leg) for leg in ahead])

    def go_through(self, stage: Stage, steps: int, work: float | None = None) -> None:
        tick = self.plan.begin(stage, steps, work)
        for _ in range(steps):
            tick(1)


def test_each_stage_takes_the_part_of_the_whole_that_was_expected_of_it() -> None:
    run = ARun((Stage.ADAPTING, 1.0), (Stage.SEGMENTING, 2.0), (Stage.JOINING, 1.0))
    run.go_through(Stage.ADAPTING, 4)
    assert run.parts == pytest.approx([0, 1 / 16, 2 / 16, 3 / 16, 4 / 16])
    run.go_through(Stage.SEGMENTING, 2)
    assert run.parts[-2:] == pytest.approx([0.5, 0.75])
    run.go_through(Stage.JOINING, 10)
    assert run.parts[-1] == pytest.approx(1)
    assert run.told[0] == ("adapting", 0, 4)
    assert run.told[-1] == ("joining", 10, 10)


def test_what_comes_otherwise_than_expected_never_takes_the_whole_back() -> None:
    run = ARun((Stage.SEARCHING, 1.0), (Stage.LOOKING_CLOSER, 5.0), (Stage.SEGMENTING, 2.0), (Stage.JOINING, 1.0))
    run.go_through(Stage.REGISTERING, 3)  # not expected
    assert run.parts[-1] == 0
    run.go_through(Stage.SEARCHING, 5)
    run.go_through(Stage.SEGMENTING, 5, work=4.0)  # more than expected, and no closer look before it
    run.plan.expect([Leg(Stage.SEGMENTING, 20.0), Leg(Stage.JOINING, 1.0)])
    run.go_through(Stage.SEGMENTING, 5)
    run.go_through(Stage.JOINING, 3)
    assert all(before <= after for before, after in pairwise(run.parts))
    assert run.parts[-1] == pytest.approx(1)
    assert max(run.parts) <= 1


def test_a_tick_without_a_step_only_gives_a_chance_to_cancel() -> None:
    run = ARun((Stage.SEGMENTING, 1.0))
    tick = run.plan.begin(Stage.SEGMENTING, 8)
    tick(0)
    tick(8)
    tick(0)
    assert run.parts == [0, 0, 1, 1]
    assert [done for _, done, _ in run.told] == [0, 0, 8, 8]
    run.plan.begin(Stage.LOOKING_CLOSER, 0)(0)  # nothing to look at
