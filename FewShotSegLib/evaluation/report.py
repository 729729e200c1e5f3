"""Tables in Markdown from raw results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from FewShotSegLib.evaluation.in_domain.trials import TRIALS
from FewShotSegLib.evaluation.measures import SURFACE_TOLERANCE_MM
from FewShotSegLib.evaluation.results import Record
from FewShotSegLib.evaluation.statistics import bootstrap_interval

HEADER = (
    "Set", "Protocol", "Method", "Cases", "Dice", "95 % interval", "By label", "Worst case", "HD95 mm", "Surface mm",
    "Surface Dice", "No surface", "Seconds", "MiB", "GMACs", "ECE", "AUROC", "ECE all", "AUROC all",
)  # fmt: skip
NOTES = f"""\
Dice: on what is scored, mean over labels, then over cases (draws of support cases count as one case), with the 95 %
bootstrap interval over cases. By label: mean over cases, then over labels, as EP1 has
it; the two differ where cases hold different labels. A label that neither the reference nor the method has on the
scored slices is left out. HD95 and mean surface distance (Surface) leave out labels whose
reference or result is empty; "No surface" counts those. Surface Dice: share of both surfaces within
{SURFACE_TOLERANCE_MM:g} mm of the other, 0 where only one is there. Seconds: mean wall time of a call. MiB: the most
by which a call raised the process's resident memory. GMACs: thousand millions of multiply-accumulates of a network in
the first episode's call. ECE and AUROC of error detection, per voxel: in the box around the structures (10 mm margin),
and over all of the scored slices.
"""
PROTOCOL = re.compile(r"(\D*)(\d*)(.*)")
"""Letters of a protocol's name, its number, and what follows: W-10 stands after W-3, S-1-apart after S-1."""
Group = tuple[tuple[str, str, str], list[Record]]
"""(data set, protocol, method's title) and its records."""


def to_markdown(records: Iterable[Record], title: str = "Benchmark", sections: Sequence[str] = ()) -> str:
    """One table of means per data set, protocol and method, further sections, and Dice per label for each data set."""
    groups = grouped(records)
    rows = [[*key, *_summary(members)] for key, members in groups]
    parts = [f"# {title}", NOTES, table(HEADER, rows), *_seen_weights(groups), *sections]
    for dataset, members_of_set in groupby(groups, key=lambda group: group[0][0]):
        parts += [f"## {dataset}: Dice per label", _label_table(list(members_of_set))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def mean_dice(record: Record) -> float | None:
    """Mean Dice over an episode's labels; None where none can be measured."""
    return _mean(figures["dice"] for figures in record["labels"].values())


def dice_by_case(records: Iterable[Record]) -> float | None:
    """Mean over labels, then over cases."""
    return _mean(case_dice(records).values())


def dice_by_label(records: Iterable[Record]) -> float | None:
    """Mean over cases, then over labels."""
    return _mean(_label_dice(records).values())


def method_title(record: Record) -> str:
    """How tables call a method: its name, with options and weights if any; in-domain weights of all sets are one."""
    options = ", ".join(f"{name}={value}" for name, value in sorted(record["options"].items()))
    if record["method"] in TRIALS:
        name = TRIALS[record["method"]].title
    else:
        name = record["method"] + (f" {record['weights'][:8]}" if record["weights"] else "")
    return name + (f" ({options})" if options else "")


def grouped(records: Iterable[Record]) -> list[Group]:
    """Records by data set, protocol and method, in that order."""

    def key(record: Record) -> tuple[str, str, str]:
        return record["dataset"], record["protocol"], method_title(record)

    def order(record: Record) -> tuple[str, str, int, str, str]:
        letters, count, rest = PROTOCOL.fullmatch(record["protocol"]).groups()  # type: ignore[union-attr]
        return record["dataset"], letters, int(count or 0), rest, method_title(record)

    return [(name, list(members)) for name, members in groupby(sorted(records, key=order), key=key)]


def _summary(records: Sequence[Record]) -> list[str]:
    figures = [entry for record in records for entry in record["labels"].values()]
    cases = case_dice(records)
    worst = min(cases, key=lambda case: cases[case]) if cases else None
    return [
        str(len({record["query"] for record in records})),
        number(dice_by_case(records)),
        interval(bootstrap_interval(list(cases.values()))),
        number(dice_by_label(records)),
        f"{number(cases[worst])} {worst}" if worst is not None else "–",
        number(_mean_over_cases(records, lambda entry: entry["hd95_mm"]), 1),
        number(_mean_over_cases(records, lambda entry: entry["mean_distance_mm"]), 2),
        number(_mean_over_cases(records, lambda entry: entry.get("surface_dice"))),
        str(sum(entry["hd95_mm"] is None for entry in figures)),
        number(_mean(record["seconds"] for record in records), 2),
        number(max(_extra_memory(records), default=None), 0),
        number(_mean(record.get("gigamacs") for record in records), 1),
        *(
            number(_mean(_confidence(record, region, what) for record in records))
            for region in ("box", "all")
            for what in ("ece", "auroc")
        ),
    ]


def _label_table(groups: Sequence[Group]) -> str:
    names: dict[int, str] = {}
    for _, members in groups:
        for record in members:
            names |= {int(value): entry["name"] for value, entry in record["labels"].items()}
    rows = []
    for (_, protocol, method), members in groups:
        found = _label_dice(members)
        rows.append([protocol, method, *(number(found.get(value)) for value in sorted(names))])
    return table(["Protocol", "Method", *(names[value] for value in sorted(names))], rows)


def _seen_weights(groups: Sequence[Group]) -> list[str]:
    methods: dict[str, set[str]] = {}
    for _, members in groups:
        for record in members:
            if record["weights"]:
                methods.setdefault(record["weights"], set()).add(record["method"])
    lines = [f"* `{checksum}`: {', '.join(sorted(names))}" for checksum, names in sorted(methods.items())]
    return ["Weights (SHA-256):\n\n" + "\n".join(lines)] if lines else []


def case_dice(records: Iterable[Record]) -> dict[str, float]:
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


def _extra_memory(records: Iterable[Record]) -> list[float]:
    """By how many MiB each call raised the process's resident memory at most."""
    pairs = [(record.get("before_mib"), record.get("peak_mib")) for record in records]
    return [peak - before for before, peak in pairs if before is not None and peak is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def interval(ends: tuple[float, float] | None) -> str:
    """A cell with an interval."""
    return "–" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """A cell with a number, a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
