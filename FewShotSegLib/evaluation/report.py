"""Tables in Markdown from raw results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from FewShotSegLib.evaluation.results import Record

HEADER = (
    "Set", "Protocol", "Method", "Cases", "Dice", "By label", "Worst case", "HD95 mm", "Surface mm", "No surface",
    "Seconds", "ECE", "AUROC", "ECE all", "AUROC all",
)  # fmt: skip
NOTES = """\
Dice: on the scored slices, mean over labels, then over cases. By label: mean over cases, then over labels, as EP1 has
it; the two differ where cases hold different labels. A label that neither the reference nor the method has on the
scored slices is left out. HD95 and mean surface distance (Surface) leave out labels whose
reference or result is empty; "No surface" counts those. Seconds: mean wall time of a call. ECE and AUROC of error
detection, per voxel: in the box around the structures (10 mm margin), and over all of the scored slices.
"""


def to_markdown(records: Iterable[Record], title: str = "Benchmark") -> str:
    """One table of means per data set, protocol and method, and one of Dice per label for each data set."""
    groups = _grouped(records)
    rows = [[*key, *_summary(members)] for key, members in groups]
    parts = [f"# {title}", NOTES, _table(HEADER, rows), *_seen_weights(groups)]
    for dataset, members_of_set in groupby(groups, key=lambda group: group[0][0]):
        parts += [f"## {dataset}: Dice per label", _label_table(list(members_of_set))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def mean_dice(record: Record) -> float | None:
    """Mean Dice over an episode's labels; None where none can be measured."""
    return _mean(figures["dice"] for figures in record["labels"].values())


def dice_by_case(records: Iterable[Record]) -> float | None:
    """Mean over labels, then over cases."""
    return _mean(_case_dice(records).values())


def dice_by_label(records: Iterable[Record]) -> float | None:
    """Mean over cases, then over labels."""
    return _mean(_label_dice(records).values())


def method_title(record: Record) -> str:
    """How tables call a method: its name, with options and weights if any."""
    options = ", ".join(f"{name}={value}" for name, value in sorted(record["options"].items()))
    weights = f" {record['weights'][:8]}" if record["weights"] else ""
    return record["method"] + weights + (f" ({options})" if options else "")


def _grouped(records: Iterable[Record]) -> list[tuple[tuple[str, str, str], list[Record]]]:
    def key(record: Record) -> tuple[str, str, str]:
        return record["dataset"], record["protocol"], method_title(record)

    def order(record: Record) -> tuple[str, str, int, str]:
        letters, _, number = record["protocol"].partition("-")
        return record["dataset"], letters, int(number) if number.isdigit() else 0, method_title(record)

    return [(name, list(members)) for name, members in groupby(sorted(records, key=order), key=key)]


def _summary(records: Sequence[Record]) -> list[str]:
    figures = [entry for record in records for entry in record["labels"].values()]
    cases = _case_dice(records)
    worst = min(cases, key=lambda case: cases[case]) if cases else None
    return [
        str(len({record["query"] for record in records})),
        _format(dice_by_case(records)),
        _format(dice_by_label(records)),
        f"{_format(cases[worst])} {worst}" if worst is not None else "–",
        _format(_mean_over_cases(records, lambda entry: entry["hd95_mm"]), 1),
        _format(_mean_over_cases(records, lambda entry: entry["mean_distance_mm"]), 2),
        str(sum(entry["hd95_mm"] is None for entry in figures)),
        _format(_mean(record["seconds"] for record in records), 2),
        *(
            _format(_mean(_confidence(record, region, what) for record in records))
            for region in ("box", "all")
            for what in ("ece", "auroc")
        ),
    ]


def _label_table(groups: Sequence[tuple[tuple[str, str, str], list[Record]]]) -> str:
    names: dict[int, str] = {}
    for _, members in groups:
        for record in members:
            names |= {int(value): entry["name"] for value, entry in record["labels"].items()}
    rows = []
    for (_, protocol, method), members in groups:
        found = _label_dice(members)
        rows.append([protocol, method, *(_format(found.get(value)) for value in sorted(names))])
    return _table(["Protocol", "Method", *(names[value] for value in sorted(names))], rows)


def _seen_weights(groups: Sequence[tuple[tuple[str, str, str], list[Record]]]) -> list[str]:
    sums = {record["weights"] for _, members in groups for record in members if record["weights"]}
    return [f"Weights (SHA-256): {', '.join(f'`{checksum}`' for checksum in sorted(sums))}"] if sums else []


def _case_dice(records: Iterable[Record]) -> dict[str, float]:
    """Dice of each query case: the mean of its episodes."""
    episodes: dict[str, list[float | None]] = {}
    for record in records:
        episodes.setdefault(record["query"], []).append(mean_dice(record))
    means = {case: _mean(values) for case, values in episodes.items()}
    return {case: value for case, value in means.items() if value is not None}


def _label_dice(records: Iterable[Record]) -> dict[int, float]:
    """Dice of each label: the mean over all episodes that measured it."""
    found: dict[int, list[float]] = {}
    for record in records:
        for value, entry in record["labels"].items():
            if entry["dice"] is not None:
                found.setdefault(int(value), []).append(entry["dice"])
    return {value: fmean(members) for value, members in found.items()}


def _mean_over_cases(records: Iterable[Record], get: Callable[[dict[str, Any]], float | None]) -> float | None:
    return _mean(_mean(get(entry) for entry in record["labels"].values()) for record in records)


def _confidence(record: Record, region: str, what: str) -> float | None:
    measured = (record["confidence"] or {}).get(region)
    return measured[what] if measured else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _format(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
