"""Draws an example slice small, with the outlines of its segments; arrays in and out, no Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Color = tuple[float, float, float]

#: What surrounds the painted structures, as a fraction of their extent on each side; it makes the place recognizable.
_MARGIN = 0.6
#: The part of the slice that is shown at least.
_SMALLEST_PART = 0.3


def drawThumbnail(
    image: np.ndarray,
    labels: np.ndarray,
    pixelMm: tuple[float, float],
    colors: Sequence[Color],
    size: tuple[int, int],
    window: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draws the painted part of a slice and its surroundings.

    :param image: Intensities, rows from top to bottom.
    :param labels: Of the same shape: 0 for background, else the position of the segment in `colors`, counted from 1.
    :param pixelMm: Height and width of a pixel.
    :param colors: Red, green and blue in 0..1 for each segment.
    :param size: Height and width of the picture; the slice is centred on black in it.
    :param window: Intensities shown as black and as white; if None, all but the darkest and brightest hundredth.
    :return: Red, green and blue, array (height, width, 3) of uint8.
    """
    rows, columns = _partToShow(labels, pixelMm)
    picture = np.zeros((*size, 3), np.uint8)
    height, width = _fit(((rows.stop - rows.start) * pixelMm[0], (columns.stop - columns.start) * pixelMm[1]), size)
    atRow = rows.start + (np.arange(height) * (rows.stop - rows.start)) // height
    atColumn = columns.start + (np.arange(width) * (columns.stop - columns.start)) // width
    gray = _gray(image, window)[np.ix_(atRow, atColumn)]
    small = labels[np.ix_(atRow, atColumn)]
    drawn = np.repeat(gray[..., None], 3, axis=2)
    for number, color in enumerate(colors, start=1):
        drawn[_outline(small == number)] = np.round(np.asarray(color) * 255)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    picture[top : top + height, left : left + width] = drawn
    return picture


def _partToShow(labels: np.ndarray, pixelMm: tuple[float, float]) -> tuple[slice, slice]:
    """The rows and columns around what is painted; everything where nothing is."""
    painted = np.nonzero(labels)
    if not painted[0].size:
        return slice(0, labels.shape[0]), slice(0, labels.shape[1])
    # The margin is the same in millimetres on all sides, so that the picture isn't a narrow strip.
    extentMm = max((int(at.max()) - int(at.min()) + 1) * mm for at, mm in zip(painted, pixelMm, strict=True))
    sideMm = extentMm * (1 + 2 * _MARGIN)
    sideMm = max(sideMm, _SMALLEST_PART * max(n * mm for n, mm in zip(labels.shape, pixelMm, strict=True)))
    parts = []
    for at, count, mm in zip(painted, labels.shape, pixelMm, strict=True):
        middle, half = (int(at.min()) + int(at.max()) + 1) / 2, sideMm / mm / 2
        parts.append(slice(max(0, int(middle - half)), min(count, int(np.ceil(middle + half)))))
    return parts[0], parts[1]


def _fit(extentMm: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels of something of that extent, as large as fits."""
    scale = min(size[0] / extentMm[0], size[1] / extentMm[1])
    height, width = (max(1, min(round(mm * scale), limit)) for mm, limit in zip(extentMm, size, strict=True))
    return height, width


def _gray(image: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Intensities as 0..255."""
    if window is not None:
        low, high = window
    else:
        finite = image[np.isfinite(image)]
        low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    scaled = (np.nan_to_num(image.astype(float), nan=low) - low) / max(high - low, 1e-6)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that touch its outside; the picture's edge counts as inside."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
