"""Which slices of two patients show the same part of the body, by what the network sees on them.

Scans of one region begin and end at different heights. The network's high-level maps tell parts of the body apart and
know the same part again in another contrast: the two stacks are laid over each other where their slices are most alike,
at any shift and at a few scales.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .described_stack import DescribedStack

_SCALES = (0.8, 0.9, 1.0, 1.1, 1.25)
_SHIFTS = 150  # that are tried over the length of the longer stack
_LEAST_OVERLAP = 0.5  # of the shorter stack
# So many parts of the query count as slices that are unlike, lest a short overlap wins by chance.
_DOUBT = 0.3


def lay_over(query: DescribedStack, other: DescribedStack) -> tuple[float, float]:
    """Where the other's slices lie in the query.

    Returns:
        scale and shift: slice z mm from the query's first is most like slice scale * z + shift mm from the other's
        first. The stacks' middles lie on each other where nothing tells.
    """
    scale, shift, _ = best_overlay(query, other)
    return scale, shift


def best_overlay(query: DescribedStack, other: DescribedStack) -> tuple[float, float, float]:
    """As `lay_over`, and how alike the slices are then: about their mean cosine, near 0 where nothing tells."""
    alike = query.slices @ other.slices.T
    heights = np.arange(len(query.slices)) * query.gap
    best, best_score = (1.0, 0.5 * (other.length - query.length)), 1e-3
    for scale, shift in _tried(query, other):
        place = (scale * heights + shift) / other.gap
        inside = np.flatnonzero((place > -0.5) & (place < len(other.slices) - 0.5))
        overlap = len(inside) * query.gap * scale
        if overlap < _LEAST_OVERLAP * min(scale * query.length, other.length):
            continue
        similarity = alike[inside, np.round(place[inside]).astype(int)].sum()
        score = similarity / (len(inside) + _DOUBT * len(heights))
        if score > best_score:
            best, best_score = (scale, shift), score
    return *best, best_score


def _tried(query: DescribedStack, other: DescribedStack) -> Iterator[tuple[float, float]]:
    step = max(query.length, other.length) / _SHIFTS
    for scale in _SCALES if step > 0 else ():
        for shift in np.arange(-scale * query.length, other.length + step, step):
            yield scale, float(shift)
