"""Draws the strip of confidence along a volume's slices; arrays in and out, no Qt."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from FewShotSegModule.scene.confidence import colorsOf

Ink = tuple[int, int, int]
#: The part of the height that is below the colours, for the marks of painted slices.
_MARKS = 0.35


def sliceAt(x: int, width: int, count: int) -> int:
    """The place in the strip, from 0, of the slice that is drawn at a column of pixels."""
    return min(max(x * count // max(width, 1), 0), count - 1)


def drawStrip(
    confidence: np.ndarray,
    painted: Collection[int],
    current: int | None,
    size: tuple[int, int],
    ink: Ink,
    paper: Ink,
) -> np.ndarray:
    """Draws one slice beside the other: its confidence as a colour, below it a mark where it is painted.

    :param confidence: Of each slice from left to right, 0..1; nan where there is nothing.
    :param painted: Places of painted slices.
    :param current: Place of the slice that is being looked at; None if none is.
    :param size: Height and width of the picture.
    :param ink: Red, green and blue, 0..255, of marks: the colour of text.
    :param paper: Of the background.
    :return: Red, green and blue, array (height, width, 3) of uint8.
    """
    height, width = size
    count = len(confidence)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = paper
    if not count or not width:
        return picture
    low = height - round(_MARKS * height)
    first = np.arange(width) * count // width
    last = np.maximum((np.arange(width) + 1) * count // width, first + 1)
    # Of several slices in a column of pixels, the least sure is seen.
    worst = np.array([_least(confidence[a:b]) for a, b in zip(first, last, strict=True)])
    faint = np.round(0.85 * np.array(paper) + 0.15 * np.array(ink))
    colors = np.where(np.isnan(worst)[:, None], faint, np.round(255 * colorsOf(np.nan_to_num(worst))))
    picture[1 : low - 1] = colors
    for place in sorted(painted):
        left, right = _columns(place, count, width, 3)
        picture[low + 1 :, left:right] = ink
    if current is not None:
        left, right = _columns(current, count, width, 3)
        picture[:low, max(left - 1, 0) : right + 1] = paper
        picture[:low, left:right] = ink
    return picture


def _least(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.min()) if known.size else np.nan


def _columns(place: int, count: int, width: int, wide: int) -> tuple[int, int]:
    """First column and the one after the last of a mark of some width in the middle of a slice."""
    middle = int((place + 0.5) * width / count)
    left = min(max(middle - wide // 2, 0), max(width - wide, 0))
    return left, left + wide
