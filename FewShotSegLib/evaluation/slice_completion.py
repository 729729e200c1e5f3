"""A labelmap from a few painted slices of it, without an image: shape interpolation, and short ends.

Between painted slices signed distances are interpolated (Raya and Udupa, IEEE TMI 9(1), 1990). Towards a painted slice
without the label it ends half-way. Beyond its outermost painted slices it goes on for half of the mean gap between the
slices that hold it: as far as the extent of a label reaches that is sampled at 1/6, 3/6 and 5/6.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from FewShotSegLib.priors.shape import signed_distance


def complete_slices(masks: np.ndarray, positions: Sequence[int], depth: int) -> np.ndarray:
    """Completes a labelmap.

    Args:
        masks: Labels (P, rows, columns) of the painted slices.
        positions: Their slice numbers, rising.
        depth: Number of slices.

    Returns:
        Labels (depth, rows, columns), int32; painted slices as painted.
    """
    result = np.zeros((depth, *masks.shape[1:]), np.int32)
    best = np.zeros(result.shape, np.float32)
    for value in np.unique(masks[masks > 0]):
        for index, distance in _distances(masks == value, positions, depth):
            inside = distance > best[index]
            result[index][inside], best[index][inside] = value, distance[inside]
    result[list(positions)] = masks
    return result


def _distances(masks: np.ndarray, positions: Sequence[int], depth: int) -> list[tuple[int, np.ndarray]]:
    """Signed distances of one label in the slices where it is taken to be."""
    holding = [(p, signed_distance(mask)) for p, mask in zip(positions, masks, strict=True) if mask.any()]
    found = []
    for (first, before), (last, after) in pairwise(holding):
        between = [p for p in positions if first < p < last]
        if between:  # a painted slice without the label: half-way on each side
            found += [(k, before) for k in range(first + 1, first + (between[0] - first) // 2 + 1)]
            found += [(k, after) for k in range(last - (last - between[-1]) // 2, last)]
        else:
            for k in range(first + 1, last):
                weight = (k - first) / (last - first)
                found.append((k, (1 - weight) * before + weight * after))
    reach = round(0.5 * (holding[-1][0] - holding[0][0]) / max(len(holding) - 1, 1))
    first, last = holding[0][0], holding[-1][0]
    below = max((p for p in positions if p < first), default=-first - depth)
    above = min((p for p in positions if p > last), default=2 * depth + last)
    found += [(k, holding[0][1]) for k in range(max(first - min(reach, (first - below) // 2), 0), first)]
    found += [(k, holding[-1][1]) for k in range(last + 1, min(last + min(reach, (above - last) // 2) + 1, depth))]
    return found
