"""The protocols' rules for which slices are painted. Pure index arithmetic along array axis 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

EXTENT_FRACTIONS = ((1, 6), (3, 6), (5, 6))
"""Where an extent is sampled: numerators and denominators, so that floor() meets no rounding error."""


def slices_with_label(label: np.ndarray, values: Iterable[int] | None = None) -> list[int]:
    """Indices of the slices that hold any label.

    Args:
        label: Labelmap (k, j, i), 0 is background.
        values: Only these labels count; all when None.

    Returns:
        Sorted slice indices along axis 0.
    """
    mask = label > 0 if values is None else np.isin(label, list(values))
    return [int(k) for k in np.flatnonzero(mask.any(axis=(1, 2)))]


def within_volume_slices(labelled: Sequence[int], count: int) -> list[int]:
    """The painted slices of protocol W-k: number floor((i + 0.5) / k * n), i = 0..k-1, of the n labelled slices.

    Args:
        labelled: Sorted indices of the slices that hold any label.
        count: k; with fewer labelled slices than that, some fall together and are counted once.

    Returns:
        Sorted slice indices.
    """
    n = len(labelled)
    return sorted({labelled[(2 * i + 1) * n // (2 * count)] for i in range(count)}) if n else []


def extent_slices(labelled: Sequence[int]) -> list[int]:
    """The slices at 1/6, 3/6 and 5/6 of an extent lo..hi: lo + floor((hi - lo + 1) * f).

    Args:
        labelled: Sorted indices of the slices that hold the label.

    Returns:
        Sorted slice indices, at most three.
    """
    if not labelled:
        return []
    lo, hi = labelled[0], labelled[-1]
    return sorted({lo + (hi - lo + 1) * upper // lower for upper, lower in EXTENT_FRACTIONS})


def to_ranges(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Packs slice indices into inclusive ranges: 0, 1, 2, 5 becomes (0, 2), (5, 5)."""
    ranges: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return ranges


def from_ranges(ranges: Iterable[Sequence[int]]) -> list[int]:
    """The inverse of `to_ranges`."""
    return [index for first, last in ranges for index in range(first, last + 1)]
