"""Draws a slice with the outlines of what is segmented on it; arrays in and out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from FewShotSegLib.colors import Color

#: What surrounds the structures, as a fraction of their extent on each side; it makes the place recognizable.
_MARGIN = 0.6
#: The part of the slice that is shown at least.
_SMALLEST_PART = 0.3


def draw_slice(
    image: np.ndarray,
    labels: np.ndarray,
    pixel_mm: tuple[float, float],
    colors: Sequence[Color],
    size: tuple[int, int],
    window: tuple[float, float] | None = None,
    focus: int | None = None,
) -> np.ndarray:
    """Draws the segmented part of a slice and its surroundings.

    Args:
        image: Intensities, rows from top to bottom.
        labels: Of the same shape: 0 for background, else the position of the segment in `colors`, counted from 1.
        pixel_mm: Height and width of a pixel.
        colors: Red, green and blue in 0..1 for each segment.
        size: Height and width of the picture in pixels; the slice is centred on black in it.
        window: Intensities shown as black and as white; if None, all but the darkest and brightest hundredth.
        focus: The segment that decides what is shown, and is outlined twice as thick; all of them if None.

    Returns:
        Red, green and blue, array (height, width, 3) of uint8.
    """
    rows, columns = _part_to_show(labels if focus is None else labels == focus, pixel_mm)
    image, labels = image[rows, columns], labels[rows, columns]
    picture = np.zeros((*size, 3), np.uint8)
    height, width = _fit((image.shape[0] * pixel_mm[0], image.shape[1] * pixel_mm[1]), size)
    there = np.ix_(np.arange(height) * image.shape[0] // height, np.arange(width) * image.shape[1] // width)
    small = labels[there]
    drawn = np.repeat(_gray(image, window)[there][..., None], 3, axis=2)
    for number, color in enumerate(colors, start=1):
        mask = small == number
        outline = _outline(mask)
        if number == focus:
            outline |= _outline(mask & ~outline)
        drawn[outline] = np.round(np.asarray(color) * 255)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    picture[top : top + height, left : left + width] = drawn
    return picture


def _part_to_show(labels: np.ndarray, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """The rows and columns around what is painted; everything where nothing is."""
    painted = np.nonzero(labels)
    if not painted[0].size:
        return slice(0, labels.shape[0]), slice(0, labels.shape[1])
    # The margin is the same in millimetres on all sides, so that the picture isn't a narrow strip.
    extent_mm = max((int(at.max()) - int(at.min()) + 1) * mm for at, mm in zip(painted, pixel_mm, strict=True))
    side_mm = extent_mm * (1 + 2 * _MARGIN)
    side_mm = max(side_mm, _SMALLEST_PART * max(n * mm for n, mm in zip(labels.shape, pixel_mm, strict=True)))
    parts = []
    for at, count, mm in zip(painted, labels.shape, pixel_mm, strict=True):
        middle, half = (int(at.min()) + int(at.max()) + 1) / 2, side_mm / mm / 2
        parts.append(slice(max(0, int(middle - half)), min(count, int(np.ceil(middle + half)))))
    return parts[0], parts[1]


def _fit(extent_mm: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels of something of that extent, as large as fits."""
    scale = min(size[0] / extent_mm[0], size[1] / extent_mm[1])
    height, width = (max(1, min(round(mm * scale), limit)) for mm, limit in zip(extent_mm, size, strict=True))
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
