"""Report sections that compare: methods and ways of painting on the same cases, and EP1 with published figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from FewShotSegLib.evaluation.protocols import BLIND, HINTED, PAINTED_OTHERWISE
from FewShotSegLib.evaluation.published import EP1, SET_COLUMNS
from FewShotSegLib.evaluation.report import (
    Group,
    case_dice,
    dice_by_case,
    dice_by_label,
    grouped,
    interval,
    number,
    table,
)
from FewShotSegLib.evaluation.results import Record
from FewShotSegLib.evaluation.statistics import PairedDifference, paired_difference

DIFFERENCE_NOTES = """\
Mean over cases of the first method's Dice minus the other's on the same cases, its 95 % bootstrap interval over cases,
and the two-sided p of Wilcoxon's signed-rank test; p is not corrected for the number of comparisons.
"""
MATRIX_NOTES = """\
Mean Dice over cases of the first method; below it what each other has more or less on the same cases. In bold where
Wilcoxon's signed-rank test over cases has p < 0.05 (two-sided, not corrected for the number of comparisons).
"""
PAINTING_NOTES = """\
Mean over cases of a method's Dice under a protocol minus its Dice under the other one, on those labels of each case
that both score, with the 95 % bootstrap interval over cases and the two-sided p of Wilcoxon's signed-rank test. Both
score the same voxels, but for U: its slices are others than W-3's. HD95: mean over the same labels, where both have a
surface.
"""
SIGNIFICANT = 0.05
PUBLISHED_NOTES = """\
Mean Dice in percent, over cases, then over labels. Published figures are quoted from their papers, not measured here;
those methods were trained on images of the same data set, and tested on all of its cases in turn. EP1 tells which third
of the structure each slice belongs to, as the published runs do; EP1-blind does not. Measured on the cases of this
project's manifests (their number in brackets), with weights that saw no image of these sets unless the method's name
says otherwise: "in-domain, S1" or "S2" were trained as the published ones, on the other cases of the set. S2 here
leaves out every slice with any tested organ; published runs test upper and lower organs apart, which leaves them more
slices, and several drop a slice only if it holds all tested organs.
"""


def difference_section(records: Iterable[Record], reference: str) -> str:
    """Table of paired differences of one method to every other, per data set and protocol.

    Args:
        records: Results of any methods.
        reference: Name of the method that the others are compared with.

    Returns:
        Markdown, "" where there is nothing to compare.
    """
    rows = []
    for (dataset, protocol), members in groupby(grouped(records), key=lambda group: group[0][:2]):
        groups = list(members)
        first = next((group for group in groups if group[1][0]["method"] == reference), None)
        for other in groups if first else ():
            if first is not None and other is not first:
                rows.append([dataset, protocol, *_difference(first, other)])
    if not rows:
        return ""
    header = ("Set", "Protocol", "Method", "minus", "Cases", "Dice", "95 % interval", "p")
    return f"## Paired differences\n\n{DIFFERENCE_NOTES}\n{table(header, rows)}"


def _difference(first: Group, other: Group) -> list[str]:
    found = paired_difference(case_dice(first[1]), case_dice(other[1]))
    names = [first[0][2], other[0][2]]
    return [*names, *(["0", "–", "–", "–"] if found is None else _difference_cells(found))]


def _difference_cells(found: PairedDifference) -> list[str]:
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    p = "–" if found.p is None else "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return [str(found.cases), f"{found.mean:+.3f}", interval(ends), p]


def matrix_section(records: Iterable[Record], reference: str, title: str) -> str:
    """Table with a row a method and a column a protocol of a set: differences to the first row, at a glance.

    Args:
        records: Results of the methods to compare; of the reference only episodes that another has, too, are counted.
        reference: Name of the method that the others are compared with.
        title: Heading.

    Returns:
        Markdown, "" where there is nothing to compare.
    """
    members = list(records)
    shared = {_place(record) for record in members if record["method"] != reference}
    groups = grouped(r for r in members if r["method"] != reference or _place(r) in shared)
    firsts = {group[0][:2]: group for group in groups if group[1][0]["method"] == reference}
    others = [group for group in groups if group[1][0]["method"] != reference and group[0][:2] in firsts]
    if not others:
        return ""
    columns = [place for place in firsts if any(group[0][:2] == place for group in others)]
    cells = {(group[0][2], group[0][:2]): _gain(group, firsts[group[0][:2]]) for group in others}
    first_row = [number(dice_by_case(firsts[place][1])) for place in columns]
    cases = [str(len(case_dice(firsts[place][1]))) for place in columns]
    rows = [["cases", *cases], [firsts[columns[0]][0][2], *first_row]]
    for name in dict.fromkeys(group[0][2] for group in others):
        rows.append([name, *(cells.get((name, place), "–") for place in columns)])
    header = ("Method", *(f"{dataset}, {protocol}" for dataset, protocol in columns))
    return f"## {title}\n\n{MATRIX_NOTES}\n{table(header, rows)}"


def _place(record: Record) -> tuple[str, str, str]:
    return record["dataset"], record["protocol"], record["episode"]


def _gain(group: Group, first: Group) -> str:
    """A cell with a method's Dice minus the reference's."""
    found = paired_difference(case_dice(group[1]), case_dice(first[1]))
    if found is None:
        return "–"
    sure = found.p is not None and found.p < SIGNIFICANT
    return f"**{found.mean:+.3f}**" if sure else f"{found.mean:+.3f}"


def painting_section(records: Iterable[Record]) -> str:
    """Table of paired differences between ways of painting, per data set and method.

    Args:
        records: Results of any methods.

    Returns:
        Markdown, "" where there is nothing to compare.
    """
    groups = dict(grouped(records))
    rows = []
    for (dataset, protocol, method), members in groups.items():
        other = groups.get((dataset, PAINTED_OTHERWISE.get(protocol, ""), method))
        if other:
            row = _painted_otherwise(members, other)
            rows += [[dataset, protocol, PAINTED_OTHERWISE[protocol], method, *row]] if row else []
    if not rows:
        return ""
    header = ("Set", "Protocol", "minus", "Method", "Cases", "Dice", "95 % interval", "p", "HD95 mm", "of the other")
    return f"## Ways of painting\n\n{PAINTING_NOTES}\n{table(header, rows)}"


def _painted_otherwise(members: Iterable[Record], others: Iterable[Record]) -> list[str] | None:
    """Cells of the difference on those labels of each case that both have; None where there is none."""
    first, second = _by_label(members), _by_label(others)
    shared = sorted(first.keys() & second.keys())
    dice = [_over_labels({key: found[key]["dice"] for key in shared}) for found in (first, second)]
    difference = paired_difference(*dice)
    if difference is None:
        return None
    with_surface = [key for key in shared if first[key]["hd95_mm"] is not None and second[key]["hd95_mm"] is not None]
    far = (_over_labels({key: found[key]["hd95_mm"] for key in with_surface}).values() for found in (first, second))
    return [*_difference_cells(difference), *(number(fmean(values), 1) if values else "–" for values in far)]


def _by_label(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, Any]]:
    """Figures by query case and label, of those with a Dice."""
    return {
        (record["query"], value): figures
        for record in records
        for value, figures in record["labels"].items()
        if figures["dice"] is not None
    }


def _over_labels(values: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Mean over the labels of each case."""
    by_case: dict[str, list[float]] = {}
    for (case, _), value in values.items():
        by_case.setdefault(case, []).append(value)
    return {case: fmean(members) for case, members in by_case.items()}


def published_section(records: Iterable[Record]) -> str:
    """Table of measured EP1 and EP1-blind figures beside the published ones; "" where neither was measured."""
    measured = [record for record in records if record["protocol"] in (HINTED, BLIND)]
    sets = sorted({record["dataset"] for record in measured} & set(SET_COLUMNS))
    if not sets:
        return ""
    rows = []
    by_method: dict[tuple[str, str], dict[str, Sequence[Record]]] = {}
    for (dataset, protocol, method), members in grouped(measured):
        by_method.setdefault((method, protocol), {})[dataset] = members
    for (method, protocol), members_of_set in by_method.items():
        figures = [_percent(members_of_set.get(name, [])) for name in sets]
        rows.append([f"**{method}**", f"{protocol}, measured", *figures])
    for line in EP1:
        quoted = [line.of_set(name) for name in sets]
        if any(value is not None for value in quoted):
            rows.append([line.method, f"{line.setting}, published", *(number(value, 1) for value in quoted)])
    header = ("Method", "Setting", *(f"{SET_COLUMNS[name]} ({name})" for name in sets))
    return f"## Beside published figures\n\n{PUBLISHED_NOTES}\n{table(header, rows)}"


def _percent(records: Sequence[Record]) -> str:
    figure = dice_by_label(records)
    cases = len({record["query"] for record in records})
    return number(None) if figure is None else f"{number(100 * figure, 1)} ({cases})"
