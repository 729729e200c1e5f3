"""Pseudo-labels: slices as a first pass saw them, used as if they were painted.

Across volumes nothing in the query is known, so the first pass judges every slice by itself. Its surest slices then
take the place of painted ones: they say where each structure is, and bring the query's own appearance (the idea of
predicted frames as further support, as in video segmentation memories). Within a volume, shapes interpolated over many
slices are poor in the middle; there the first pass, which has seen the image, says better where a structure is. So it
does far from a single painted slice.

What such slices show is believed, but distances start only from where it is certain: else a structure that was cut off
too early would be fenced in by background that nobody painted.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import pairwise

import numpy as np

from ..priors import Knowledge
from .labelled_slices import LabelledSlices

_PER_SEGMENT = 3
_MOST = 10
_LEAST_PIXELS = 8
_SURE = 0.6
_CERTAIN = 0.99
# Of a segment that is painted nowhere, at least so much of a slice is a source: it has no others.
_LEAST_CERTAIN = 0.5
# A first pass may have missed the ends of a structure, so it is believed to go on for more than usual.
_FURTHER = 2.0
# Far from a single painted slice it misses more.
_FURTHEST = 6.0


def sure_slices(
    labels: np.ndarray, confidence: np.ndarray, segments: int, painted: Container[int] = frozenset()
) -> LabelledSlices:
    """Chooses slices of a first result to stand for painted ones.

    For each segment, the longest run of slices that hold a fair part of its greatest area is cut into three, and the
    surest slice of each part is taken.

    Args:
        labels: (Z, rows, columns) segment indices 0..L of the first pass.
        confidence: the same shape, 0..1.
        segments: L.
        painted: segments that are painted on slices of the query.

    Returns:
        the chosen slices with all labels the first pass gave them, and how far structures may go on beyond them; none
        where it was sure of nothing.
    """
    scores: dict[int, float] = {}
    trusted = set()
    for segment in range(1, segments + 1):
        inside = labels == segment
        area = inside.sum(axis=(1, 2)).astype(float)
        if area.max() < _LEAST_PIXELS:
            continue
        sureness = np.where(area > 0, _summed(confidence, inside) / np.maximum(area, 1), 0)
        start, stop = _longest_run((area > 0.15 * area.max()) & (sureness > _SURE))
        for part in np.array_split(np.arange(start, stop), min(_PER_SEGMENT, max(stop - start, 1))):
            if len(part) == 0:
                continue
            value = sureness[part] * np.sqrt(area[part] / area.max())
            best = int(part[np.argmax(value)])
            scores[best] = max(scores.get(best, 0), float(value.max()))
            trusted.add(segment)
    chosen = sorted(sorted(scores, key=lambda z: -scores[z])[:_MOST])
    if not chosen:
        return LabelledSlices.none(segments)
    masks = np.where(np.isin(labels[chosen], sorted(trusted)), labels[chosen], 0).astype(np.int32)
    certain = certain_pixels(masks, confidence[chosen], painted)
    known = Knowledge.everything(len(chosen), segments)
    return LabelledSlices(chosen, masks, known, certain).with_reach(_FURTHER)


def certain_pixels(labels: np.ndarray, confidence: np.ndarray, painted: Container[int]) -> np.ndarray:
    """Where a pass was certain of what it saw.

    Args:
        labels: (P, rows, columns) segment indices 0..L of the look.
        confidence: the same shape, 0..1.
        painted: segments that are painted on slices of the query. Of every other, the surest half of its pixels on a
            slice are taken for certain at any rate, since nothing but passes says where it is.

    Returns:
        (P, rows, columns) bool.
    """
    certain = confidence >= _CERTAIN
    for mask, sureness, here in zip(labels, confidence, certain, strict=True):
        for segment in np.unique(mask[mask > 0]):
            if segment not in painted:
                inside = mask == segment
                here |= inside & (sureness >= np.quantile(sureness[inside].astype(float), 1 - _LEAST_CERTAIN))
    return certain


def halved_gaps(positions: list[int], times: int) -> list[list[int]]:
    """Slices in the middle of gaps, which are halved again and again.

    Args:
        positions: increasing slice numbers.
        times: how often.

    Returns:
        for each time that leaves a gap to be halved, all slices found so far, increasing.
    """
    rounds: list[list[int]] = []
    found: list[int] = []
    for _ in range(times):
        known = sorted([*positions, *found])
        middles = [(a + b) // 2 for a, b in pairwise(known) if b - a > 1]
        if not middles:
            break
        found = sorted([*found, *middles])
        rounds.append(found)
    return rounds


def with_slices(
    painted: LabelledSlices, positions: list[int], labels: np.ndarray, certain: np.ndarray
) -> LabelledSlices:
    """Painted slices and further ones, as a pass saw them.

    Args:
        painted: slices of the query.
        positions: P slice numbers that are not painted.
        labels: (P, rows, columns) segment indices 0..L on them.
        certain: the same shape, bool, where that is certain; what is painted is.
    """
    segments = painted.known.complete.shape[1]
    seen = LabelledSlices(positions, labels.astype(np.int32), Knowledge.everything(len(positions), segments), certain)
    return painted.joined(seen)


def with_sure_slices(painted: LabelledSlices, sure: LabelledSlices) -> LabelledSlices:
    """Painted slices that lie together, and the surest ones of a first pass far from them.

    Args:
        painted: slices of the query.
        sure: of :func:`sure_slices`; where one is painted, what was painted counts.
    """
    new = [i for i, z in enumerate(sure.positions) if z not in painted.positions]
    if not new:
        return painted
    return painted.joined(sure.some(new)).with_reach(_FURTHEST)


def _summed(confidence: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(Z,) sums of half-precision values, which would overflow in their own type."""
    return np.where(inside, confidence, 0).sum(axis=(1, 2), dtype=np.float64)


def _longest_run(wanted: np.ndarray) -> tuple[int, int]:
    """Start and end (exclusive) of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return 0, 0
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(start), int(stop)
