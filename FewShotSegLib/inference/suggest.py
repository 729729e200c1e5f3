"""Next slice: which slice's painting would help most.

Errors are where the confidence is low, and, since it is surer than it should be far from what is painted, where painted
slices are far. A painted slice mends its neighbours too: expected errors of each slice count by the part of its
distance to the nearest painted slice that painting another one would take away. Where structures end is seen best on
a slice across the stack (this project).
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
# Part of the errors beyond the painted slices that a slice across the stack mends, and where it cuts a structure in its
# middle: where that is at least so wide, as part of its widest.
_MENDED_ENDS, _CENTRAL = 0.6, 0.7


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


@dataclass(frozen=True, eq=False)
class Doubts:
    """What suggestions need of a prediction: sums, so that the prediction itself need not be kept.

    Attributes:
        query: with its painted slices.
        errors: (L, Z) expected wrong voxels of each segment on each slice of the stack, as parts of the segment's.
        areas: by array axis, (L, slices along it) voxels of each segment.
    """

    query: Query
    errors: np.ndarray
    areas: dict[int, np.ndarray]

    @classmethod
    def of(cls, query: Query, labels: np.ndarray, confidence: np.ndarray) -> Doubts:
        """Of a prediction.

        Args:
            query: what it is of.
            labels: (k, j, i) label values.
            confidence: of the same shape, 0 to 1.
        """
        axis, classes = query.view.axis, len(query.values) + 1
        table = np.zeros(max(query.values) + 1, np.intp)
        table[query.values] = np.arange(1, classes)
        areas = {a: np.zeros((classes, count)) for a, count in enumerate(labels.shape)}
        doubts, everywhere = np.zeros((classes, labels.shape[axis])), np.zeros(labels.shape[axis])
        for k, (plane, sureness) in enumerate(zip(labels, confidence, strict=True)):
            place = (np.full(1, k), *np.nonzero(plane))
            segments, doubt = table[plane[place[1:]]], 1 - sureness
            for a, area in areas.items():
                area += np.bincount(segments * area.shape[1] + place[a], minlength=area.size).reshape(area.shape)
            found = np.bincount(segments * doubts.shape[1] + place[axis], doubt[place[1:]], doubts.size)
            doubts += found.reshape(doubts.shape)
            if axis == 0:
                everywhere[k] = doubt.sum(dtype=np.float64)
            else:
                everywhere += doubt.sum(axis=2 - axis, dtype=np.float64)
        here = {a: area[1:] for a, area in areas.items()}
        painted = [s.index for s in query.own]
        errors = _expected_errors(doubts[1:], everywhere - doubts.sum(axis=0), here[axis], painted)
        return cls(query, errors, here)


def suggestions(doubts: Doubts, count: int) -> list[Suggestion]:
    """The slices whose painting would help most, best first.

    Args:
        doubts: of the latest prediction.
        count: how many at most.
    """
    query, errors = doubts.query, doubts.errors
    axis = query.view.axis
    painted = [s.index for s in query.own]
    total = max(float(errors.sum()), 1e-9)
    apart = max(round(_APART * errors.shape[1]), 1)
    across = _Across(query, doubts.areas)
    result: list[Suggestion] = []
    while len(result) < count:
        gains = _gains(errors.sum(axis=0), painted)
        for other in result:
            if other.axis == axis:
                gains[max(other.index - apart, 0) : other.index + apart + 1] = 0
        best = int(np.argmax(gains))
        cut = across.best(errors)
        if max(gains[best], cut.gain) <= 0:
            break
        if cut.gain > gains[best]:
            names = [query.name_of(segment) for segment in cut.segments]
            values = tuple(query.values[segment - 1] for segment in cut.segments)
            reason = f"ends of {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            result.append(Suggestion(cut.axis, cut.index, values, reason, cut.gain / total))
            across.seen |= set(cut.segments)
            continue
        parts = np.array([_gains(row, painted)[best] for row in errors])
        order = [int(n) for n in np.argsort(-parts) if parts[n] > 0.25 * parts.max()]
        values = tuple(query.values[n] for n in order)
        result.append(Suggestion(axis, best, values, _reason(query, order[0], best), float(gains[best]) / total))
        painted = sorted([*painted, best])
    return result


@dataclass(frozen=True)
class _Cut:
    """A slice across the stack: where, which segments (1..L) it cuts in their middle, and what it would mend."""

    axis: int
    index: int
    segments: list[int]
    gain: float


class _Across:
    """Slices across the stack: one shows where structures end, which takes two slices of the stack or more.

    Args:
        query: with its painted slices.
        areas: of a prediction, see `Doubts`.

    Attributes:
        seen: segments whose ends a painted slice across the stack shows.
    """

    def __init__(self, query: Query, areas: dict[int, np.ndarray]) -> None:
        self._query = query
        self.seen = {segment for s in query.crossing for segment in s.segments}
        self._profiles = {axis: profile for axis, profile in areas.items() if axis != query.view.axis}

    def best(self, errors: np.ndarray) -> _Cut:
        """The slice that cuts the segments with most errors (L, Z) beyond their painted slices."""
        beyond = np.zeros(len(errors))
        for segment in set(self._query.segments) - self.seen:
            places = [s.index for s in self._query.own if segment in s.segments]
            outside = np.ones(errors.shape[1], bool)
            if places:
                outside[min(places) : max(places) + 1] = False
            beyond[segment - 1] = _MENDED_ENDS * errors[segment - 1, outside].sum()
        found = _Cut(self._query.view.axis, 0, [], 0.0)
        for axis, profile in sorted(self._profiles.items()):
            widest = profile.max(axis=1, keepdims=True)
            central = (profile >= _CENTRAL * widest) & (widest > 0)
            gains = (beyond[:, None] * central).sum(axis=0)
            # of those that cut the same segments, the one that shows most of them
            index = int(np.argmax(gains + 1e-6 * (profile / np.maximum(widest, 1) * central).sum(axis=0)))
            if gains[index] > found.gain:
                order = np.argsort(-beyond * central[:, index])
                segments = [int(n) + 1 for n in order if central[n, index] and beyond[n] > 0]
                found = _Cut(axis, index, segments, float(gains[index]))
        return found


def _expected_errors(
    doubts: np.ndarray, background: np.ndarray, areas: np.ndarray, painted: list[int]
) -> np.ndarray:
    """(L, Z) expected wrong voxels of each segment on each slice of a stack, as parts of the segment's voxels.

    Args:
        doubts: (L, Z) sums of 1 - confidence over the voxels of each segment.
        background: (Z,) the same of the background.
        areas: (L, Z) voxels of each segment.
        painted: slice numbers.
    """
    count = areas.shape[1]
    # doubtful background is shared out by what is segmented beside it
    shared = background * (areas + 1.0) / (areas + 1.0).sum(axis=0)
    # and far from what is painted some of the area is wrong, however sure
    distance = _distance(count, painted)
    far = _FAR_ERRORS * areas * distance / (distance + _FAR * count)
    return (doubts + shared + far) / np.maximum(areas.sum(axis=1, keepdims=True), 1.0)


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
