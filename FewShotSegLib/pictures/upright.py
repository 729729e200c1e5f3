"""Turns slices so that they are seen as radiologists, and Slicer's slice views, show them."""

from __future__ import annotations

import numpy as np


def upright(
    image: np.ndarray, labels: np.ndarray, axis: int, ijk_to_ras: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Turns a slice: the patient's head or front is up, the patient's left (or back, seen from the side) is right.

    Args:
        image: Intensities of the slice, as the volume's array has them.
        labels: Of the same shape.
        axis: Array axis across the slice.
        ijk_to_ras: From voxel indices (i, j, k) to the patient (right, anterior, superior; mm), (4, 4).

    Returns:
        Image, labels, height and width of a pixel in mm.
    """
    # The directions in which the numbers of the slice's rows and of its columns grow.
    columns = [ijk_to_ras[:3, 2 - a] for a in range(3) if a != axis]
    pixel = [float(np.linalg.norm(column)) for column in columns]
    # What grows downwards in a view is inferior or posterior, what grows to the right is left or posterior.
    down, right = columns
    if _upness(down) < _upness(right):
        image, labels, (down, right), pixel = image.T, labels.T, (right, down), pixel[::-1]
    if down[np.abs(down).argmax()] > 0:
        image, labels = image[::-1], labels[::-1]
    if right[np.abs(right).argmax()] > 0:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(labels), (pixel[0], pixel[1])


def _upness(direction: np.ndarray) -> int:
    """Which of two directions belongs vertically: superior before anterior before right."""
    return int(np.abs(direction).argmax())
