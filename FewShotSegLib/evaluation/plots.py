"""Plots of results: Dice against painted slices and corrections, accuracy against time, and how cost grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation.corrections_report import dice_after, is_correction
from FewShotSegLib.evaluation.protocols import WITHIN
from FewShotSegLib.evaluation.report import case_dice, dice_by_case, grouped
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import Record
from FewShotSegLib.evaluation.speed import growth_points
from FewShotSegLib.evaluation.speed_cases import GROWTH
from FewShotSegLib.evaluation.statistics import bootstrap_interval

COLORS = ("#1f6fb4", "#d1495b", "#3a9d5d", "#8e5bb5", "#c98a1b", "#4b5563", "#2aa1a8", "#b2567f", "#7a8b1f", "#805a3b")
MARKERS = "osD^vPX*<>"
PANEL = (4.4, 3.8)
DPI = 110
SHORTEST = 1e-3
"""Seconds; calls that took less are drawn here."""
CORRECTIONS = "dice_against_corrections.png"
"""File name of `draw_corrections`."""
AXES = {"slices": "slices", "side": "voxels along a side in the plane", "examples": "examples", "segments": "segments"}


def draw_against_slices(records: Iterable[Record], path: Path) -> bool:
    """Mean Dice against the number of painted slices (W-k), a panel per set, a line per method, 95 % intervals.

    Args:
        records: Results of any protocols; only W-k are drawn.
        path: PNG to write.

    Returns:
        Whether there was anything to draw: at least two numbers of slices of one set.
    """
    points: dict[str, dict[str, list[tuple[int, list[Record]]]]] = {}
    for (dataset, protocol, method), members in grouped(records):
        if protocol in WITHIN:
            points.setdefault(dataset, {}).setdefault(method, []).append((int(protocol.split("-")[1]), members))
    points = {name: lines for name, lines in points.items() if max(len(line) for line in lines.values()) > 1}
    if not points:
        return False
    methods = sorted({method for lines in points.values() for method in lines})
    figure, panels = _panels(len(points))
    for panel, (dataset, lines) in zip(panels, points.items(), strict=True):
        for method, line in lines.items():
            drawn = [(k, value, members) for k, members in line if (value := dice_by_case(members)) is not None]
            errors: tuple[list[float], list[float]] = [], []
            for _, value, members in drawn:
                low, high = bootstrap_interval(list(case_dice(members).values())) or (value, value)
                errors[0].append(value - low)
                errors[1].append(high - value)
            places, means = [k for k, _, _ in drawn], [value for _, value, _ in drawn]
            panel.errorbar(places, means, yerr=errors, capsize=2, label=method, **_style(method, methods))
        panel.set(title=dataset, xlabel="painted slices", ylabel="mean Dice", ylim=(0, 1))
        panel.set_xticks(sorted({k for line in lines.values() for k, _ in line}))
    _finish(figure, panels, path)
    return True


def draw_against_time(records: Iterable[Record], path: Path) -> bool:
    """Mean Dice against mean seconds of a call, a panel per set and protocol, a point per method.

    Returns:
        Whether there was anything to draw.
    """
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for (dataset, protocol, method), members in grouped(record for record in records if not is_correction(record)):
        groups.setdefault((dataset, protocol), {})[method] = members
    if not groups:
        return False
    methods = sorted({method for found in groups.values() for method in found})
    figure, panels = _panels(len(groups))
    slowest = SHORTEST
    for panel, ((dataset, protocol), found) in zip(panels, groups.items(), strict=True):
        for method, members in found.items():
            value = dice_by_case(members)
            seconds = sum(record["seconds"] for record in members) / len(members)
            if value is not None:
                style = _style(method, methods) | {"linestyle": "none"}
                panel.plot([max(seconds, SHORTEST)], [value], label=method, **style)
                slowest = max(slowest, seconds)
        panel.set(title=f"{dataset}, {protocol}", xlabel="seconds a call", ylabel="mean Dice")
        panel.set(xscale="log", ylim=(0, 1))
    for panel in panels:  # one scale for all, of whole decades
        panel.set_xlim(SHORTEST / 2, 2 * 10 ** math.ceil(math.log10(slowest)))
    _finish(figure, panels, path)
    return True


def draw_corrections(records: Iterable[Record], path: Path) -> bool:
    """Mean Dice of all voxels against slices painted one by one, a panel per set.

    Args:
        records: Results of any protocols; only corrections are drawn.
        path: PNG to write.

    Returns:
        Whether there was anything to draw.
    """
    groups = grouped(record for record in records if is_correction(record))
    if not groups:
        return False
    sets: dict[str, dict[str, list[Record]]] = {}
    for (dataset, protocol, method), members in groups:
        sets.setdefault(dataset, {})[f"{method}, {protocol}"] = members
    lines = sorted({line for found in sets.values() for line in found})
    figure, panels = _panels(len(sets))
    for panel, (dataset, found) in zip(panels, sets.items(), strict=True):
        counts = range(1, max(len(record["rounds"]) for members in found.values() for record in members) + 1)
        for line, members in found.items():
            panel.plot(counts, [dice_after(members, count) for count in counts], label=line, **_style(line, lines))
        panel.set(title=dataset, xlabel="slices painted one by one", ylabel="mean Dice", ylim=(0, 1))
    _finish(figure, panels, path)
    return True


def draw_growth(records: Iterable[Record], path: Path) -> bool:
    """Seconds of the first result and peak memory along each growth curve, a line per method.

    Args:
        records: Of `speed.measure_all`.
        path: PNG to write.

    Returns:
        Whether there was anything to draw.
    """
    points = growth_points(records)
    curves = [curve for curve in GROWTH if any(key[0] == curve for key in points)]
    if not curves:
        return False
    methods = sorted({method for _, method in points})
    figure, panels = _panels(2 * len(curves), columns=len(curves))
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for number, curve in enumerate(curves):
        for row, what in enumerate(("first result, s", "peak memory, MiB")):
            panel = panels[row * len(curves) + number]
            for method in methods:
                line = [(at, value[row]) for at, *value in points.get((curve, method), []) if value[row] is not None]
                if line:
                    panel.plot(*zip(*line, strict=True), label=method, **_style(method, methods))
            panel.set(xlabel=AXES[curve], ylabel=what, xscale="log", yscale="log")
            panel.set_xticks(GROWTH[curve], [str(at) for at in GROWTH[curve]])
            # Of less than a decade matplotlib would label nothing.
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panel.minorticks_off()
    _finish(figure, panels, path)
    return True


def _panels(count: int, columns: int = 3) -> tuple[Any, list[Any]]:
    """A figure with so many axes, at most `columns` in a row."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", "Drawing plots") from error

    wide = min(count, columns)
    high = -(-count // wide)
    figure = Figure(figsize=(PANEL[0] * wide, PANEL[1] * high), dpi=DPI, layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, list(axes[:count])


def _style(method: str, methods: Sequence[str]) -> dict[str, Any]:
    """The same colour and marker for a method in every panel."""
    place = methods.index(method)
    style = {"color": COLORS[place % len(COLORS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 5}
    return style | {"linewidth": 1.4, "linestyle": "-" if place < len(COLORS) else "--"}


def _finish(figure: Any, panels: Sequence[Any], path: Path) -> None:
    found: dict[str, Any] = {}
    for panel in panels:
        panel.grid(alpha=0.3, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        handles, labels = panel.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
