"""Which slices of a volume an episode has: a stack, the painted ones among them, or single slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MOST_QUERIES = 24
"""Neighbouring slices that are queries, at most."""
# Slices of a stack at most, with the chances of each.
_STACKS = ((14, 0.4), (24, 0.4), (40, 0.2))
# How far a stack of another patient goes beyond the structure's ends, as part of its extent.
_BEYOND_ENDS = 1.0
# Chances that painted slices are spread over a part of a structure, or over several structures together (no longer than
# so many times the one), and that they are spread evenly.
_PARTLY = 0.3
_TOGETHER = 0.35
_LONGEST = 3.0
_EVENLY = 0.75
# Chances of one, two, three and four painted slices.
_COUNTS = (0.25, 0.3, 0.3, 0.15)


def thinned(rng: np.random.Generator, first: int, last: int) -> list[int]:
    """Slices from a first to a last one, every so many-th where they are many."""
    most = int(rng.choice([n for n, _ in _STACKS], p=[p for _, p in _STACKS]))
    return np.unique(np.linspace(first, last, min(most, last - first + 1)).round().astype(int)).tolist()


def usual_count(rng: np.random.Generator) -> int:
    """How many slices are painted."""
    return int(rng.choice(np.arange(1, len(_COUNTS) + 1), p=_COUNTS))


def covered(
    rng: np.random.Generator, objects: Mapping[int, tuple[slice, ...]], anchor: int, axis: int
) -> tuple[float, float, float]:
    """Slices that painted ones are spread over: all of a structure, all of several structures, or a part of it.

    Args:
        rng: source of chance.
        objects: bounding box of each structure.
        anchor: the structure.
        axis: across the slices.

    Returns:
        where they start, how many they are, and a margin, in slices.
    """
    lo, hi = objects[anchor][axis].start, objects[anchor][axis].stop
    length = hi - lo
    chance = rng.random()
    if chance < _PARTLY and length > 6:
        share = rng.uniform(0.4, 1.0)
        start = lo + rng.uniform(0, 1 - share) * length
        return start, share * length, rng.uniform(0.0, 0.3) * share * length + 1
    if chance > 1 - _TOGETHER:
        number = min(int(rng.integers(1, 4)), len(objects))
        for other in rng.choice(list(objects), number, replace=False):
            more_lo, more_hi = objects[int(other)][axis].start, objects[int(other)][axis].stop
            if max(hi, more_hi) - min(lo, more_lo) < _LONGEST * length:
                lo, hi = min(lo, more_lo), max(hi, more_hi)
    return lo, hi - lo, rng.uniform(0.0, 0.6) * (hi - lo) + 1


def spread(rng: np.random.Generator, count: int, start: float, share: float, wanted: int) -> list[int]:
    """Which slices of a stack are painted: evenly spread over a structure, or anywhere.

    Args:
        rng: source of chance.
        count: slices of the stack.
        start, share: where the structure starts, and its length, as parts of the stack.
        wanted: how many are painted; two at least stay unpainted.
    """
    k = min(wanted, count - 2)
    if rng.random() < _EVENLY:
        error = rng.uniform(0, 0.3)
        where = start + share * (np.arange(k) + 0.5 + rng.uniform(-error, error, k)) / k
        return sorted({int(np.clip(w * count, 0, count - 1)) for w in where})
    return sorted(rng.choice(count, k, replace=False).tolist())


def neighbours(rng: np.random.Generator, count: int, most: int) -> slice:
    """At most so many of a number of slices, next to each other."""
    number = min(count, most)
    start = int(rng.integers(count - number + 1))
    return slice(start, start + number)


def run_through(rng: np.random.Generator, extent: slice, count: int) -> list[int]:
    """Slices next to each other, or every so many-th, that show a structure, and how it ends."""
    length = extent.stop - extent.start
    before, after = rng.uniform(0.0, _BEYOND_ENDS, 2) * length + 1
    first, last = max(int(extent.start - before), 0), min(int(extent.stop - 1 + after), count - 1)
    run = thinned(rng, first, last)
    return run[neighbours(rng, len(run), MOST_QUERIES)]


def single_slices(
    rng: np.random.Generator,
    extent: slice,
    count: int,
    number: int,
    empty: float,
    near: bool,
    middle: int | None = None,
) -> list[int]:
    """Slices that show a structure, and some that do not.

    Args:
        rng: source of chance.
        extent: of the structure along the stack.
        count: slices of the stack.
        number: how many are wanted.
        empty: chance that one lies beyond the structure.
        near: whether they must lie near `middle`.
        middle: see `near`.
    """
    inside = np.arange(extent.start, extent.stop)
    if near and middle is not None:
        inside = inside[np.abs(inside - middle) <= max(3, len(inside) // 3)]
    outside = np.setdiff1d(np.arange(count), np.arange(extent.start, extent.stop))
    chosen = []
    for _ in range(number):
        pool = outside if len(outside) and rng.random() < empty else inside
        if len(pool):
            chosen.append(int(pool[rng.integers(len(pool))]))
    return sorted(set(chosen)) if empty else chosen
