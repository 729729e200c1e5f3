"""One dark picture of a result: a coronal overview, a few axial slices, the confidence under them, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

BACKGROUND = "#0e1116"
TEXT = "#e6e9ee"
QUIET = "#8b93a1"
PAINTED = "#ffc53d"
#: Certain is invisible, doubtful glows: the eye should go where a person should look.
DOUBT = LinearSegmentedColormap.from_list("doubt", ["#7a2a8f", "#e0445b", "#ff9f45", "#fff3b0"])
COLUMNS = 5
DPI = 100
LOWEST_CONFIDENCE = 0.5

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class PictureContent:
    """What to draw, on one grid whose axes run to the patient's left, back and head (array index k, j, i).

    Attributes:
        image: Intensities, ``(k, j, i)``.
        segmentation: Label values of the result.
        reference: Label values to compare with, drawn as outlines.
        confidence: Values from 0 to 1.
        spacing: Voxel size in mm along i, j, k.
        painted: Indices of the axial slices that were given as examples.
        names: Label value to name, in the order of the legend.
        colors: Label value to red, green and blue from 0 to 1.
        window: Intensities shown as black and as white.
        dice: Label value to Dice, shown in the legend.
        title: First line.
        note: Last line.
    """

    image: np.ndarray
    segmentation: np.ndarray
    reference: np.ndarray
    confidence: np.ndarray
    spacing: tuple[float, float, float]
    painted: Sequence[int]
    names: Mapping[int, str]
    colors: Mapping[int, Rgb]
    window: tuple[float, float]
    dice: Mapping[int, float]
    title: str
    note: str


def draw_picture(content: PictureContent, path: Path) -> None:
    """Draw ``content`` and write it as PNG to ``path``."""
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 11, "text.color": TEXT}):
        figure = _compose(content)
        figure.savefig(path, dpi=DPI, facecolor=BACKGROUND)


def slices_to_show(painted: Sequence[int], count: int = COLUMNS) -> list[int]:
    """Choose slices for the columns: mostly the ones farthest from any painted slice, and one painted to compare.

    >>> slices_to_show([10, 20, 30, 40, 50])
    [15, 25, 30, 35, 45]
    """
    painted = sorted(set(painted))
    between = [(a + b) // 2 for a, b in pairwise(painted) if b - a > 1]
    while len(between) > count - 1:
        between.pop(0)
    return sorted({*between, painted[len(painted) // 2]})


def _compose(content: PictureContent) -> Figure:
    """Lay the panels out in inches, so that every millimetre of the patient is equally long in all of them."""
    shown = slices_to_show(content.painted)
    top, bottom, left, right = _box_around_patient(content.image)
    dx, dy, dz = content.spacing
    height_mm, width_mm = (bottom - top) * dy, (right - left) * dx
    tall_mm = content.image.shape[0] * dz

    gap, margin, header, footer = 0.10, 0.45, 1.05, 1.15
    panel_w = 3.0
    panel_h = panel_w * height_mm / width_mm
    rows_h = 2 * panel_h + gap
    coronal_h = rows_h
    coronal_w = coronal_h * width_mm / tall_mm
    width = margin * 2 + coronal_w + 0.35 + len(shown) * panel_w + (len(shown) - 1) * gap
    height = header + rows_h + footer
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)  # measures texts, which the legend needs

    def add(x: float, y: float, w: float, h: float) -> Axes:
        axes = figure.add_axes((x / width, y / height, w / width, h / height))
        axes.set_axis_off()
        return axes

    box = (slice(top, bottom), slice(left, right))
    coronal = add(margin, footer, coronal_w, coronal_h)
    _draw_coronal(coronal, content, box, shown)
    start = margin + coronal_w + 0.35
    for column, k in enumerate(shown):
        x = start + column * (panel_w + gap)
        is_painted = k in content.painted
        overlay = add(x, footer + panel_h + gap, panel_w, panel_h)
        _draw_overlay(overlay, content.image[k][box], content.segmentation[k][box], content.reference[k][box], content)
        doubt = add(x, footer, panel_w, panel_h)
        _draw_confidence(doubt, content.image[k][box], content.confidence[k][box], content)
        _tag(overlay, f"slice {k}" + ("  ·  painted" if is_painted else ""), PAINTED if is_painted else TEXT)
        if is_painted:
            _frame(overlay, PAINTED)
        if column == 0:
            _side_letters(overlay)
            _tag(doubt, "confidence", TEXT)

    figure.text(margin / width, 1 - 0.42 / height, content.title, fontsize=19, fontweight="bold", va="center")
    figure.text(
        margin / width,
        1 - 0.78 / height,
        "filled: result    white line: reference    yellow: painted slices, the examples; all others are computed",
        color=QUIET,
        fontsize=12,
        va="center",
    )
    _draw_legend(figure, content, margin, 0.74, width, height)
    figure.text(margin / width, 0.30 / height, content.note, color=QUIET, fontsize=10.5, va="center")
    _draw_color_bar(figure, start + len(shown) * (panel_w + gap) - gap, 0.74, width, height)
    return figure


def _box_around_patient(image: np.ndarray, margin: int = 2) -> tuple[int, int, int, int]:
    """First and last row and column that hold more than air in any slice, as a half-open box."""
    low, high = np.percentile(image, [1, 99])
    body = (image > low + 0.5 * (high - low)).mean(axis=0) > 0.02
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    return (
        max(int(rows[0]) - margin, 0),
        min(int(rows[-1]) + 1 + margin, image.shape[1]),
        max(int(columns[0]) - margin, 0),
        min(int(columns[-1]) + 1 + margin, image.shape[2]),
    )


def _draw_grey(axes: Axes, plane: np.ndarray, content: PictureContent, brightness: float = 1.0) -> None:
    low, high = content.window
    axes.imshow(
        plane, cmap="gray", vmin=low, vmax=low + (high - low) / brightness, interpolation="bicubic", aspect="auto"
    )


def _draw_overlay(
    axes: Axes, plane: np.ndarray, labels: np.ndarray, reference: np.ndarray, content: PictureContent
) -> None:
    _draw_grey(axes, plane, content)
    for value in content.names:
        color = content.colors[value]
        _fill(axes, labels == value, color)
        _outline(axes, reference == value, "white", 0.9)


def _fill(axes: Axes, mask: np.ndarray, color: Rgb) -> None:
    if mask.any():
        padded = np.pad(mask, 1).astype(float)  # so that shapes which touch the border are closed
        grid = (np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1))
        axes.contourf(*grid, padded, levels=[0.5, 1.5], colors=[color], alpha=0.5)


def _outline(axes: Axes, mask: np.ndarray, color: str, width: float) -> None:
    if mask.any():
        padded = np.pad(mask, 1).astype(float)
        grid = (np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1))
        axes.contour(*grid, padded, levels=[0.5], colors=[color], linewidths=width, alpha=0.95)


def _draw_confidence(axes: Axes, plane: np.ndarray, confidence: np.ndarray, content: PictureContent) -> None:
    _draw_grey(axes, plane, content, brightness=0.45)
    doubt = np.clip((1 - confidence) / (1 - LOWEST_CONFIDENCE), 0, 1)
    axes.imshow(
        doubt, cmap=DOUBT, vmin=0, vmax=1, alpha=np.clip(doubt * 1.6, 0, 1), interpolation="bilinear", aspect="auto"
    )


def _draw_coronal(axes: Axes, content: PictureContent, box: tuple[slice, slice], shown: Sequence[int]) -> None:
    """The slice from front to back that shows the most of the structures, with every painted slice as a line."""
    present = np.stack([(content.segmentation == value).sum(axis=(0, 2)) for value in content.names])
    # The square root keeps one big organ from outvoting all others.
    j = int(np.sqrt(present).sum(axis=0).argmax())
    upside_down = np.s_[::-1]
    planes = [volume[upside_down, j, box[1]] for volume in (content.image, content.segmentation, content.reference)]
    _draw_overlay(axes, planes[0], planes[1], planes[2], content)
    last = content.image.shape[0] - 1
    for k in content.painted:
        axes.axhline(last - k, color=PAINTED, linewidth=1.1, alpha=0.9)
    for k in set(shown) - set(content.painted):
        axes.axhline(last - k, color=TEXT, linewidth=0.8, alpha=0.6, linestyle=(0, (2, 4)))
    axes.set_xlim(-0.5, planes[0].shape[1] - 0.5)
    axes.set_ylim(last + 0.5, -0.5)
    _side_letters(axes)


def _tag(axes: Axes, text: str, color: str) -> None:
    axes.text(0.025, 0.965, text, transform=axes.transAxes, color=color, fontsize=11.5, va="top", fontweight="bold")


def _side_letters(axes: Axes) -> None:
    """R and L as radiologists expect them: the patient's right side is on the left."""
    for x, letter, align in ((0.02, "R", "left"), (0.98, "L", "right")):
        axes.text(x, 0.5, letter, transform=axes.transAxes, color=QUIET, fontsize=11, va="center", ha=align)


def _frame(axes: Axes, color: str) -> None:
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=color, linewidth=3))


def _draw_legend(figure: Figure, content: PictureContent, x: float, y: float, width: float, height: float) -> None:
    for value, name in content.names.items():
        chip = Rectangle(
            (x / width, (y - 0.09) / height), 0.26 / width, 0.18 / height, color=content.colors[value], figure=figure
        )
        figure.add_artist(chip)
        label = f"{name}  {content.dice[value]:.2f}" if value in content.dice else name
        text = figure.text((x + 0.36) / width, y / height, label, fontsize=12.5, va="center")
        x += 0.36 + text.get_window_extent().width / figure.dpi + 0.38  # as wide as it is when drawn
    figure.text(x / width, y / height, "(Dice)", fontsize=11, color=QUIET, va="center")


def _draw_color_bar(figure: Figure, right: float, y: float, width: float, height: float) -> None:
    length = 2.2
    axes = figure.add_axes(((right - length - 0.35) / width, (y - 0.07) / height, length / width, 0.14 / height))
    axes.set_axis_off()
    ramp = np.linspace(1, 0, 256)[None]
    axes.imshow(ramp, cmap=DOUBT, vmin=0, vmax=1, alpha=np.clip(ramp * 1.6, 0, 1), aspect="auto")
    for x, text, align in (
        (right - length - 0.43, f"confidence ≤ {LOWEST_CONFIDENCE}", "right"),
        (right, "1", "right"),
    ):
        figure.text(x / width, y / height, text, color=QUIET, fontsize=11, va="center", ha=align)
