"""The protocols' rules for which slices are painted. Pure index arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EXTENT_FRACTIONS = ((1, 6), (3, 6), (5, 6))
"""Where an extent is sampled: numerators and denominators, so that floor() meets no rounding error."""


def slices_with_label(label: np.ndarray, values: Iterable[int] | None = None, axis: int = 0) -> list[int]:
    """Indices of the slices that hold any label.

    Args:
        label: Labelmap (k, j, i), 0 is background.
        values: Only these labels count; all when None.
        axis: Array axis across the slices.

    Returns:
        Sorted slice indices along the axis.
    """
    mask = label > 0 if values is None else np.isin(label, list(values))
    others = tuple(other for other in range(mask.ndim) if other != axis)
    return [int(k) for k in np.flatnonzero(mask.any(axis=others))]


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


def own_slices(labelled: Mapping[int, Sequence[int]], count: int) -> dict[int, list[int]]:
    """The painted slices of protocol S-k: of each label those of W-k's rule on its own slices, none of two labels.

    Labels have their turn in ascending order. A slice that another one took gives way to the nearest of the label's own
    slices that is free, at equal distance to the lower one; where none is free, the label gets fewer.

    Args:
        labelled: Of each label the sorted indices of the slices that hold it.
        count: k.

    Returns:
        Of each label its sorted slice indices.
    """
    taken: set[int] = set()
    chosen: dict[int, list[int]] = {}
    for value in sorted(labelled):
        mine: list[int] = []
        for wanted in within_volume_slices(labelled[value], count):
            free = [k for k in labelled[value] if k not in taken]
            if free:
                mine.append(min(free, key=lambda k: (abs(k - wanted), k)))
                taken.add(mine[-1])
        chosen[value] = sorted(mine)
    return chosen


def uneven_slices(labelled: Sequence[int], percents: Sequence[int]) -> list[int]:
    """The painted slices of the protocols U: number floor(p / 100 * n) of the n labelled slices for each percentage."""
    n = len(labelled)
    return sorted({labelled[percent * n // 100] for percent in percents}) if n else []


def spread_order(labelled: Sequence[int]) -> list[int]:
    """All labelled slices in an order whose every beginning is evenly spread.

    Their numbers follow van der Corput's sequence in base 2: the middle, the quarters, the eighths and so on.

    Args:
        labelled: Sorted indices of the slices that hold any label.
    """
    n = len(labelled)
    bits = max(n - 1, 1).bit_length()
    order: dict[int, None] = {}
    # Twice as many fractions as slices, and more, so that each slice is met.
    for number in range(1, 2 ** (bits + 1)):
        reverse = int(format(number, f"0{bits + 1}b")[::-1], 2)
        order.setdefault(labelled[reverse * n // 2 ** (bits + 1)])
    return list(order) if n else []


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
