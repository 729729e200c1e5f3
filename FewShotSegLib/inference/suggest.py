"""Next slice: which slice's painting would help most.

Errors are where the confidence is low, and, since it is surer than it should be far from what is painted, where painted
slices are far. A painted slice mends its neighbours too: expected errors of each slice count by the part of its
distance to the nearest painted slice that painting another one would take away (this project).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import AXIS_NAMES
from .query import Query

# Neighbouring suggestions lie at least this part of the stack apart.
_APART = 0.05
# Part of a cross-section that is wrong very far from all painted slices, and the part of the stack at which half of it
# is.
_FAR_ERRORS, _FAR = 0.5, 0.1


@dataclass(frozen=True)
class Suggestion:
    """A slice to paint next.

    Attributes:
        axis: array axis across the slice: 0 (k), 1 (j) or 2 (i).
        index: slice number along it, from 0.
        segments: label values of the structures it is suggested for, the most doubtful first.
        reason: why, in a few words.
        gain: part of all expected errors that painting it would mend, 0 to 1.
    """

    axis: int
    index: int
    segments: tuple[int, ...]
    reason: str
    gain: float

    def __str__(self) -> str:
        return f"Slice {self.index} along {AXIS_NAMES[self.axis]}: {self.reason}."


def suggestions(query: Query, labels: np.ndarray, confidence: np.ndarray, count: int) -> list[Suggestion]:
    """The slices whose painting would help most, best first.

    Args:
        query: with its painted slices.
        labels: (k, j, i) label values of a prediction.
        confidence: of the same shape, by `in_bytes`.
        count: how many at most.
    """
    axis = query.view.axis
    stacks = np.moveaxis(labels, axis, 0), np.moveaxis(confidence, axis, 0)
    painted = [s.index for s in query.own]
    errors = expected_errors(*stacks, query.values, painted)
    apart = max(round(_APART * len(stacks[0])), 1)
    result: list[Suggestion] = []
    for _ in range(count):
        gains = _gains(errors.sum(axis=0), painted)
        for other in result:
            gains[max(other.index - apart, 0) : other.index + apart + 1] = 0
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        parts = np.array([_gains(row, painted)[best] for row in errors])
        order = [int(n) for n in np.argsort(-parts) if parts[n] > 0.25 * parts.max()]
        total = max(float(errors.sum()), 1e-9)
        names = tuple(query.values[n] for n in order)
        result.append(Suggestion(axis, best, names, _reason(query, order[0], best), float(gains[best]) / total))
        painted = sorted([*painted, best])
    return result


def in_bytes(confidence: np.ndarray) -> np.ndarray:
    """Confidences of 0 to 1 as whole numbers of 0 to 255, slice by slice."""
    result = np.empty(confidence.shape, np.uint8)
    for here, plane in zip(result, confidence, strict=True):
        here[:] = np.rint(255 * plane)
    return result


def expected_errors(
    labels: np.ndarray, confidence: np.ndarray, values: list[int], painted: list[int]
) -> np.ndarray:
    """(L, Z) expected wrong voxels of each segment on each slice of a stack, as parts of the segment's voxels.

    Args:
        labels: (Z, rows, columns) label values.
        confidence: of the same shape, by `in_bytes`.
        values: label values of segments 1..L.
        painted: slice numbers.
    """
    distance = _distance(len(labels), painted)
    result = np.zeros((len(values), len(labels)))
    largest = max(values) + 1
    volumes = np.zeros(largest)
    for z, (plane, sureness) in enumerate(zip(labels, confidence, strict=True)):
        doubt = 1 - sureness.ravel() / 255
        by_value = np.bincount(plane.ravel(), doubt, largest)
        here = np.bincount(plane.ravel(), minlength=largest)
        volumes += here
        result[:, z] = by_value[values]
        # doubtful background is shared out by what is segmented beside it
        areas = here[values] + 1.0
        result[:, z] += by_value[0] * areas / areas.sum()
        # and far from what is painted some of the area is wrong, however sure
        result[:, z] += _FAR_ERRORS * here[values] * distance[z] / (distance[z] + _FAR * len(labels))
    return result / np.maximum(volumes[values], 1.0)[:, None]


def _distance(count: int, painted: list[int]) -> np.ndarray:
    """(count,) how many slices away the nearest painted one is; the whole stack where none is."""
    slices = np.arange(count)
    return np.abs(slices[:, None] - painted).min(axis=1) if painted else np.full(count, count)


def _gains(errors: np.ndarray, painted: list[int]) -> np.ndarray:
    """(Z,) how many of the expected errors (Z,) painting each slice would mend."""
    slices = np.arange(len(errors))
    apart = np.abs(slices[:, None] - slices).astype(float)
    distance = _distance(len(errors), painted)
    left = np.minimum(apart, distance[None]) / np.maximum(distance, 1)[None]
    gains = ((1 - left) * np.where(distance > 0, errors, 0)[None]).sum(axis=1)
    gains[painted] = 0
    return gains


def _reason(query: Query, segment: int, index: int) -> str:
    """Why a slice is suggested for a segment, counted from 0."""
    name = query.name_of(segment + 1)
    places = [s.index for s in query.own if segment + 1 in s.segments]
    if not places:
        return f"{name} is painted on no slice here"
    if index < min(places) or index > max(places):
        return f"ends of {name}"
    return f"{name} unsure"
