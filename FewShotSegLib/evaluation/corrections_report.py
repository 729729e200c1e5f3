"""What corrections cost: how many slices until the target, and how long a round takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from FewShotSegLib.evaluation.corrections import MOST_SLICES
from FewShotSegLib.evaluation.report import Group, grouped, number, table
from FewShotSegLib.evaluation.results import Record

AFTER = (1, 3, 5, 10, 15)
"""Numbers of painted slices after which tables give the Dice."""
NOTES = f"""\
Slices painted, one by one from the middle on, until the mean Dice over labels of all unpainted voxels reaches the
target (or all of the structures is painted); {MOST_SLICES} at most. C: slices that the method suggests; C-spread:
evenly spread ones; C-unsure: those with the least mean confidence. Slices: mean over cases; one that does not reach the
target counts as {MOST_SLICES + 1}. Fewer: than the same method needs on the same cases with evenly spread slices. Dice
after so many slices: mean over cases, those that ended before with their last one. First, next: median seconds to the
first answer, and to one after a further slice.
"""


def is_correction(record: Record) -> bool:
    """Whether a record is of corrections, which have rounds, and figures of the last one only."""
    return "rounds" in record


def slices_needed(record: Record) -> int:
    """How many slices were painted until the target was reached; one more than allowed where it was not."""
    last = record["rounds"][-1]["dice"]
    reached = last is None or last >= record["target"]
    return len(record["rounds"]) if reached else MOST_SLICES + 1


def dice_after(records: Iterable[Record], count: int) -> float | None:
    """Mean Dice over cases after so many slices; cases that ended before count with their last Dice."""
    last = []
    for record in records:
        known = [entry["dice"] for entry in record["rounds"][:count] if entry["dice"] is not None]
        last += known[-1:]
    return fmean(last) if last else None


def corrections_section(records: Iterable[Record]) -> str:
    """Table of all corrections per data set, protocol and method; "" where there are none."""
    groups = grouped(record for record in records if is_correction(record))
    if not groups:
        return ""
    rows = [[*group[0], *_summary(group, groups)] for group in groups]
    after = (f"Dice after {count}" for count in AFTER)
    header = ("Set", "Protocol", "Method", "Cases", "Target", "Reached", "Slices", "Fewer", *after, "First s", "Next s")
    return f"## Corrections\n\n{NOTES}\n{table(header, rows)}"


def _summary(group: Group, groups: Sequence[Group]) -> list[str]:
    (dataset, _, method), records = group
    needed = {record["query"]: slices_needed(record) for record in records}
    following = [entry["seconds"] for record in records for entry in record["rounds"][1:]]
    return [
        str(len(records)),
        number(records[0]["target"], 2),
        str(sum(count <= MOST_SLICES for count in needed.values())),
        number(fmean(needed.values()), 1),
        _fewer(needed, next((other for key, other in groups if key == (dataset, "C-spread", method)), [])),
        *(number(dice_after(records, count)) for count in AFTER),
        number(median(record["rounds"][0]["seconds"] for record in records), 2),
        number(median(following) if following else None, 2),
    ]


def _fewer(needed: dict[str, int], spread: Sequence[Record]) -> str:
    """A cell with the share of slices that are saved against evenly spread ones, on the cases of both."""
    others = {record["query"]: slices_needed(record) for record in spread if record["query"] in needed}
    if not others:
        return "–"
    return f"{100 * (1 - sum(needed[query] for query in others) / sum(others.values())):.0f} %"
