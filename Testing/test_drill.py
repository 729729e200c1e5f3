"""The short part of the drill; `make drill` carries out all of it."""

from __future__ import annotations

import sys

import pytest
from drill import bad_input, shell_faults
from drill.__main__ import LEAST, RESULTS, groups
from drill.row import Row

SHORT = [row for row in (*bad_input.ROWS, *shell_faults.WEIGHTS) if row.short]
LINUX = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="signals, limits and processes as Linux has them"
)


@pytest.mark.parametrize("row", SHORT, ids=lambda row: row.did.replace(" ", "-"))
def test_bad_input_ends_in_a_clear_message_and_changes_nothing(row: Row) -> None:
    good, got = row.carry_out()
    assert good, f"expected {row.expected}, got {got}"


@LINUX
@pytest.mark.parametrize(
    "row",
    [bad_input.GOOD_BUT_ODD[-1], shell_faults.KILLED[5], shell_faults.LIMITED[2], shell_faults.LIMITED[5]],
    ids=lambda row: row.did.replace(" ", "-"),
)
def test_a_fault_ends_in_a_right_result_or_a_clear_message_and_leaves_nothing(row: Row) -> None:
    good, got = row.carry_out()
    assert good, f"expected {row.expected}, got {got}"


def test_the_drill_is_large_enough_and_its_results_are_kept() -> None:
    kept = RESULTS.read_text(encoding="utf-8")
    for title, rows in groups().items():
        assert len(rows) >= LEAST[title]
        names = [row.did for row in rows]
        assert len(set(zip(names, [row.expected for row in rows], strict=True))) == len(names), "each row once"
        assert f"## {title}: " in kept
    assert "**" not in kept, "something else was got than expected when the drill was carried out last"
