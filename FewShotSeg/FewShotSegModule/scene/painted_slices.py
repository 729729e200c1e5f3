"""Which slices someone painted, told from the painted voxels alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Beyond so many slices, a segmentation was not painted by slices along several axes.
_MOST_MIXED = 50


def paintedSlices(points: np.ndarray, spacing: Sequence[float]) -> list[tuple[int, int]]:
    """The slices that were painted, as (axis, index), in their order.

    Slices painted along one axis meet many slices along the others, each in a thin line. So the axis is the one along
    which the fewest slices have something on them. Slices painted along several axes are recognized by few of them
    covering all that is painted, where slices along any single axis are at least twice as many.

    :param points: Indices (n, 3), (k, j, i), of the painted voxels.
    :param spacing: Millimetres between voxels along (k, j, i).
    """
    if not len(points):
        return []
    axis = paintedAxis(points, spacing)
    single = np.unique(points[:, axis])
    mixed = _coveringSlices(points, limit=min(_MOST_MIXED, len(single) // 2))
    if mixed is not None:
        return sorted(mixed)
    return [(axis, int(index)) for index in single]


def paintedAxis(points: np.ndarray, spacing: Sequence[float]) -> int:
    """The axis across the painted slices: with the fewest of them, of equals one with gaps, then with thick slices."""

    def rank(axis: int) -> tuple[int, bool, float, int]:
        indices = np.unique(points[:, axis])
        gaps = bool((np.diff(indices) > 1).any())
        return len(indices), not gaps, -spacing[axis], axis

    return min(range(3), key=rank)


def evenlySpread(slices: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """So many of some slices at most, spread over all of them, with the first and the last.

    :param slices: In their order.
    :param most: 1 at least.
    """
    if len(slices) <= most:
        return list(slices)
    if most == 1:
        return [slices[len(slices) // 2]]
    return [slices[round(place)] for place in np.linspace(0, len(slices) - 1, most)]


def _coveringSlices(points: np.ndarray, limit: int) -> set[tuple[int, int]] | None:
    """Slices of any axes that together cover all points, largest first; None if that takes more than `limit`."""
    chosen: set[tuple[int, int]] = set()
    left = points
    while len(left):
        if len(chosen) == limit:
            return None
        counts = [np.bincount(left[:, axis]) for axis in range(3)]
        axis = max(range(3), key=lambda a: int(counts[a].max()))
        index = int(counts[axis].argmax())
        chosen.add((axis, index))
        left = left[left[:, axis] != index]
    return chosen
