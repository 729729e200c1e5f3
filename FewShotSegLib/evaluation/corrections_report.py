"""What corrections cost: how many slices until the target, and how long a round takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median

from FewShotSegLib.evaluation.corrections import MOST_SLICES
from FewShotSegLib.evaluation.report import Group, grouped, number, table
from FewShotSegLib.evaluation.results import Record

AFTER = (1, 3, 5, 10, 15)
"""Numbers of painted slices after which tables give the Dice."""
NOTES = f"""\
Slices painted, one by one from the middle on, until the mean Dice over labels of all unpainted voxels reaches the
target, or all of the structures is painted; {MOST_SLICES} at most. C: slices that the method suggests; C-spread: evenly
spread ones; C-unsure: those with the least mean confidence. Slices: mean over cases; one that does not reach the target
counts as {MOST_SLICES + 1}. Whole: until the mean Dice of all voxels, the painted ones included, reaches it. Fewer:
than the same method needs on the same cases with evenly spread slices. Dice of all voxels after so many slices: mean
over cases, those that ended before with their last one. First, next: median seconds to the first answer, and to one
after a further slice.
"""


def is_correction(record: Record) -> bool:
    """Whether a record is of corrections, which have rounds, and figures of the last one only."""
    return "rounds" in record


def slices_needed(record: Record) -> int:
    """Slices painted until the target was reached on the unpainted voxels; one more than allowed where it was not."""
    last = record["rounds"][-1]["dice"]
    reached = last is None or last >= record["target"]
    return len(record["rounds"]) if reached else MOST_SLICES + 1


def slices_needed_for_all(record: Record) -> int:
    """Slices painted until the target was reached on all voxels; one more than allowed where it was not."""
    counts = (n for n, entry in enumerate(record["rounds"], start=1) if entry["whole"] >= record["target"])
    return next(counts, MOST_SLICES + 1)


def dice_after(records: Iterable[Record], count: int) -> float:
    """Mean Dice of all voxels over cases after so many slices; cases that ended before count with their last one."""
    return fmean(record["rounds"][:count][-1]["whole"] for record in records)


def corrections_section(records: Iterable[Record]) -> str:
    """Table of all corrections per data set, protocol and method; "" where there are none."""
    groups = grouped(record for record in records if is_correction(record))
    if not groups:
        return ""
    rows = [[*group[0], *_summary(group, groups)] for group in groups]
    header = (
        "Set", "Protocol", "Method", "Cases", "Target", "Reached", "Slices", "Fewer", "Whole", "Fewer",
        *(f"Dice after {count}" for count in AFTER), "First s", "Next s",
    )  # fmt: skip
    return f"## Corrections\n\n{NOTES}\n{table(header, rows)}"


def _summary(group: Group, groups: Sequence[Group]) -> list[str]:
    (dataset, _, method), records = group
    spread = next((other for key, other in groups if key == (dataset, "C-spread", method)), [])
    following = [entry["seconds"] for record in records for entry in record["rounds"][1:]]
    return [
        str(len(records)),
        number(records[0]["target"], 2),
        str(sum(slices_needed(record) <= MOST_SLICES for record in records)),
        *_count(records, spread, slices_needed),
        *_count(records, spread, slices_needed_for_all),
        *(number(dice_after(records, count)) for count in AFTER),
        number(median(record["rounds"][0]["seconds"] for record in records), 2),
        number(median(following) if following else None, 2),
    ]


def _count(records: Iterable[Record], spread: Iterable[Record], needed: Callable[[Record], int]) -> tuple[str, str]:
    """Cells with the mean number of slices, and with the share saved against evenly spread ones, on cases of both."""
    mine = {record["query"]: needed(record) for record in records}
    others = {record["query"]: needed(record) for record in spread if record["query"] in mine}
    saved = f"{100 * (1 - sum(mine[query] for query in others) / sum(others.values())):.0f} %" if others else "–"
    return number(fmean(mine.values()), 1), saved
