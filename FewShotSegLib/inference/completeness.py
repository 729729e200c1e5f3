"""What is known on painted slices of the query: found out where nobody said it.

Who paints structure by structure leaves out, on each slice, what is painted on others; who paints all structures on
each slice leaves out what is not there. On a slice both look alike. So every structure that is not painted on a slice
is looked for there, from the slices on which it is painted. How much is believed of what is found depends on how the
others were painted: where nearly all that is plainly there is painted, the rest is taken to be absent (this project).

Strokes say nothing but what lies under them. Such slices are completed first, from the strokes of all slices, by
geodesic distances and the network; the result serves as pseudo-labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt, label
from torch import Tensor
from torch.nn import functional as F

from ..plan import Tick, no_tick
from ..priors import Knowledge
from .extent import extent_penalty
from .labelled_slices import LabelledSlices, reach_of
from .predictor import Predictor
from .query import UNKNOWN, Query, Support, line_of
from .support import SupportImage

# A stroke is nowhere wider than this radius, in pixels of the finer side, and what lies beside it looks like it: the
# means differ by less than this part of the deviations, or, where it is not so many times as long as wide, by less
# still. Of the sample scan's areas 1 % look so, of strokes along their middle lines 94 %.
_STROKE_RADIUS, _STROKE_LENGTH = 2.6, 6.0
_STROKE_CONTRAST, _SHORT_STROKE_CONTRAST = 0.8, 0.5
# Evidence for the search is measured on pixels so many times larger than usual.
_COARSENESS = 2
# A structure that is there fills about this part of its area on the nearest slices, at least; half of it is a coin's.
_EXPECTED_PART = 0.3
# Log-odds of being there for every bit of sureness, and the sureness that is a coin's.
_STEEPNESS, _EVEN = 12.0, 0.75
# Odds beyond which a structure is plainly there, when it is counted how others were painted.
_PLAIN = 0.9
_THERE, _ABSENT = 0.5, 0.1
# Pixels of the search, around what was found, that may belong to the structure too.
_AROUND = 2
# Of a slice on which a structure may be missing, background is taken for known so many pixels around what is painted.
_RING = 8
_SURE_PSEUDO = 0.95
# A slice across the stack tells where a segment ends if it cuts it where it is at least so wide, as part of its widest.
_CENTRAL = 0.7


@dataclass(frozen=True)
class Finding:
    """A structure that is on a painted slice and was not painted there yet.

    Attributes:
        axis: array axis across the slice.
        index: slice number.
        segment: 1..L.
    """

    axis: int
    index: int
    segment: int


@dataclass(frozen=True, eq=False)
class Painting:
    """What is known of the query's painted slices.

    Attributes:
        labelled: those of the stack; strokes completed to pseudo-labels.
        crossing: those along other axes.
        findings: structures that were found not to be painted yet.
        open: (P, L) bool, segments that unpainted pixels of each of the stack's slices may belong to.
    """

    labelled: LabelledSlices
    crossing: list[Support]
    findings: list[Finding]
    open: np.ndarray


class Completeness:
    """Finds out what is known on the query's painted slices.

    Args:
        predictor: over the query's stack.
        query: what is asked for.
        shown: painted slices of other volumes and axes.
        tick: called with 0 now and then; may raise to cancel.
    """

    def __init__(self, predictor: Predictor, query: Query, shown: list[SupportImage], tick: Tick = no_tick) -> None:
        self._predictor, self._query, self._shown, self._tick = predictor, query, shown, tick
        self._own = query.own
        self._positions = [s.index for s in query.own]
        self._labels = np.stack([s.labels for s in query.own]) if query.own else LabelledSlices.none(1).labels
        self._painted = np.array([[s in support.segments for s in query.segments] for support in query.own], bool)
        self._painted = self._painted.reshape(len(query.own), len(query.segments))

    def painting(self) -> Painting:
        """What is known of all painted slices."""
        query = self._query
        state = np.stack([self._said(s) for s in self._own]) if self._own else np.zeros((0, len(query.segments)))
        certain: np.ndarray | None = None
        strokes = [row for row in range(len(self._own)) if (self._painted[row] & (state[row] == 0)).any()]
        labels = np.where(self._labels == UNKNOWN, 0, self._labels)
        labels[strokes] = self._labels[strokes]
        for row in strokes:
            labels[row] = with_far_background(labels[row])
        if strokes:
            labels, certain = self._completed(labels, state, strokes)
        p = self._probabilities(labels, state)
        odds = self._believed(p)
        there, absent = odds > _THERE, odds < _ABSENT
        asked = np.isnan(state)
        complete = (state == 1) | (asked & absent)
        complete[strokes] |= self._painted[strokes]
        is_open = (state == 0) | (asked & ~absent)
        for (row, segment), region in self._regions.items():
            if there[row, segment]:
                labels[row][region & (labels[row] == 0) & (self._labels[row] == UNKNOWN)] = UNKNOWN
        found = [
            Finding(query.view.axis, self._positions[row], int(segment) + 1)
            for row, segment in zip(*np.nonzero(asked & there), strict=True)
        ]
        reach = reach_of(self._positions, labels, complete, query.view)
        crossing = [self._settled_crossing(s) for s in query.crossing]
        known = Knowledge(complete, reach, self._ends(complete, crossing))
        return Painting(LabelledSlices(self._positions, labels, known, certain), crossing, found, is_open)

    # --- what was said -------------------------------------------------------------------------------------------

    def _said(self, support: Support) -> np.ndarray:
        """(L,) 1 for segments that a slice shows whole, 0 for those it does not, nan where it is to be found out."""
        state = self._told(support)
        for segment, whole in support.said.items():
            state[segment - 1] = whole
        return state

    def _told(self, support: Support) -> np.ndarray:
        """The same (L,), told from what is painted."""
        segments = self._query.segments
        if support.said.keys() >= set(segments):
            return np.full(len(segments), np.nan)  # nothing is left to tell
        if looks_like_strokes(support):
            return np.zeros(len(segments))
        state = np.array([1.0 if s in support.segments else np.nan for s in segments])
        for other in self._query.crossing:
            line, here = line_of(other, support), line_of(support, other)
            for segment in set(line[(line > 0) & (here == UNKNOWN)].tolist()):
                state[segment - 1] = 0  # the other slice has it where this one is not painted
        return state

    def _settled_crossing(self, support: Support) -> Support:
        """A slice across the stack with what is complete on it, by what others have on the lines where they cross."""
        said = support.said
        if said.keys() >= set(self._query.segments) or looks_like_strokes(support):
            complete = set()
        else:
            complete = set(support.segments)
            others = [s for s in (*self._own, *self._query.crossing) if s.view.axis != support.view.axis]
            for other in others:
                line, here = line_of(other, support), line_of(support, other)
                missing = set(line[(line > 0) & (here == UNKNOWN)].tolist())
                complete |= other.segments - set(line.tolist())
                complete -= missing
            for other in others:  # what is missing anywhere is not complete, whatever another slice says
                line, here = line_of(other, support), line_of(support, other)
                complete -= set(line[(line > 0) & (here == UNKNOWN)].tolist())
        complete = {s for s in self._query.segments if said.get(s, s in complete)}
        labels = support.labels
        if len(complete) == len(self._query.segments):
            labels = np.where(labels == UNKNOWN, 0, labels)
        else:
            whole = np.isin(labels, sorted(complete)) & (labels > 0)
            near = binary_dilation(whole, iterations=_RING) if whole.any() else whole
            labels = np.where((labels == UNKNOWN) & near, 0, labels)
        settled = {s: s in complete for s in self._query.segments}
        return Support(support.view, support.index, labels, settled, support.turn)

    def _ends(self, complete: np.ndarray, crossing: list[Support]) -> np.ndarray:
        """(L, 2), see `Knowledge`: where slices across the stack show that segments end beyond what is painted."""
        axis = self._query.view.axis
        result = np.full((complete.shape[1], 2), np.nan)
        for segment in self._query.segments:
            extents, through = [], False
            for support in crossing:
                if segment in support.segments and segment in support.complete:
                    along = [a for a in range(3) if a != support.view.axis].index(axis)
                    inside = np.flatnonzero((support.labels == segment).any(axis=1 - along))
                    extents.append((int(inside[0]), int(inside[-1])))
                    through |= any(_is_central(s, support, segment) for s in self._own)
            rows = np.flatnonzero(complete[:, segment - 1])
            if not through or not len(rows):
                continue
            first, last = min(e[0] for e in extents), max(e[1] for e in extents)
            low, high = self._positions[rows[0]], self._positions[rows[-1]]
            if self._painted[rows[0], segment - 1] and first <= low:
                result[segment - 1, 0] = 2 * (first - 0.5) - low - 0.25
            if self._painted[rows[-1], segment - 1] and last >= high:
                result[segment - 1, 1] = 2 * (last + 0.5) - high + 0.25
        return result

    # --- strokes -------------------------------------------------------------------------------------------------

    def _completed(self, labels: np.ndarray, state: np.ndarray, strokes: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels with pseudo-labels on slices with strokes, and where they are certain."""
        query, predictor = self._query, self._predictor
        unknown = np.full(len(query.segments), np.nan)
        ends = np.full((len(query.segments), 2), np.nan)
        given = LabelledSlices(self._positions, labels, Knowledge(state == 1, unknown, ends))
        places = [self._positions[row] for row in strokes]
        crossing = [self._settled_crossing(s) for s in query.crossing]
        evidence = predictor.evidence(given, query.segments, crossing, tick=lambda _: self._tick(0))
        logits = predictor.logits(given, self._shown, query.segments, evidence, places, False, lambda _: self._tick(0))
        certain = np.ones(labels.shape, bool)
        completed = labels.copy()
        for row, place in zip(strokes, places, strict=True):
            probability = self._whole(logits[:, place].float())
            sure, found = probability.max(dim=0)
            here = found.numpy().astype(np.int32)
            painted = self._labels[row] != UNKNOWN
            # Of what has no stroke here nothing is known.
            here[~np.isin(here, [0, *sorted(self._own[row].segments)])] = UNKNOWN
            completed[row] = np.where(painted, self._labels[row], here)
            certain[row] = painted | (sure.numpy() > _SURE_PSEUDO)
        return completed, certain

    def _whole(self, logits: Tensor) -> Tensor:
        """(L, h, w) logits of the frame -> (L + 1, rows, columns) probabilities on whole slices."""
        plane = self._query.view.shape[1:]
        result = torch.full((len(logits) + 1, *plane), -10.0)
        result[0] = 0
        found, (rows, columns) = self._predictor.frame.paste(logits, plane)
        result[1:, rows, columns] = found
        return result.softmax(dim=0)

    # --- what is not painted -------------------------------------------------------------------------------------

    def _probabilities(self, labels: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(P, L) how probably a segment is on a slice where it is not painted, as far as is asked; nan elsewhere."""
        result = np.full(state.shape, np.nan)
        self._regions: dict[tuple[int, int], np.ndarray] = {}
        asked = np.isnan(state)
        groups: dict[bytes, list[int]] = {}
        for column in np.flatnonzero(asked.any(axis=0)).tolist():
            if self._painted[:, column].any():
                groups.setdefault(self._painted[:, column].tobytes(), []).append(column)
        for segments in groups.values():
            rows = np.flatnonzero(self._painted[:, segments[0]]).tolist()
            targets = [s + 1 for s in segments]
            wanted = np.flatnonzero(asked[:, segments].any(axis=1)).tolist()
            for row, segment, value, region in self._looked_for(labels, rows, targets, wanted):
                if asked[row, segment - 1]:
                    result[row, segment - 1] = value
                    self._regions[row, segment - 1] = region
        # What is painted nowhere on this stack can't be found here; the slices say that it is absent.
        return np.where(asked & np.isnan(result), 0.0, result)

    def _looked_for(
        self, labels: np.ndarray, rows: list[int], targets: list[int], wanted: Sequence[int]
    ) -> list[tuple[int, int, float, np.ndarray]]:
        """Looks for some segments on some slices, from others on which they are painted.

        Args:
            labels: (P, rows, columns) of all slices.
            rows: slices on which the segments are painted.
            targets: the segments.
            wanted: slices to look at, by their row.

        Returns:
            for each slice and segment: row, segment, how probably it is there, and where on the whole slice.
        """
        predictor, query = self._predictor, self._query
        positions = [self._positions[row] for row in rows]
        everything = np.ones((len(rows), len(query.segments)), bool)
        reach = reach_of(positions, labels[rows], everything, query.view)
        given = LabelledSlices(
            positions, labels[rows], Knowledge(everything, reach, np.full((len(query.segments), 2), np.nan))
        )
        places = [self._positions[row] for row in wanted]
        check: Tick = lambda _: self._tick(0)  # noqa: E731
        evidence = predictor.evidence(given, targets, coarseness=_COARSENESS, tick=check)
        logits = predictor.logits(given, self._shown, targets, evidence, places, False, check)
        logits -= extent_penalty(given, targets, query.view)[:, :, None, None].half()
        result = []
        half = predictor.frame.half
        seen = predictor.frame.cut_labels(labels[rows], half)
        areas = {target: (seen == target).sum(dim=(1, 2)).tolist() for target in targets}
        for row, place in zip(wanted, places, strict=True):
            others = predictor.frame.cut_labels(self._labels[row][None], half)[0] > 0
            found = F.pad(logits[:, place].float(), (0, 0, 0, 0, 1, 0)).softmax(dim=0)[1:]
            found = torch.where(others, 0.0, found)
            order = np.argsort([abs(p - place) for p in positions])[:2]
            for number, target in enumerate(targets):
                expected = float(np.mean([areas[target][i] for i in order]))
                inside = found[number] > 0.5
                part = float(inside.sum()) / max(expected, 1.0)
                sureness = float(found[number][inside].mean()) if inside.any() else 0.0
                odds = _STEEPNESS * (sureness - _EVEN) + np.log(max(part, 1e-6) / _EXPECTED_PART)
                result.append((row, target, float(1 / (1 + np.exp(-odds))), self._region(found[number])))
        return result

    def _region(self, found: Tensor) -> np.ndarray:
        """(rows, columns) bool, where on a whole slice a structure may be."""
        near = F.max_pool2d((found > 0.3).float()[None], 2 * _AROUND + 1, stride=1, padding=_AROUND)
        plane = self._query.view.shape[1:]
        region = np.zeros(plane, bool)
        inside, (rows, columns) = self._predictor.frame.paste(near, plane)
        region[rows, columns] = inside[0].numpy() > 0.5
        return region

    def _believed(self, probability: np.ndarray) -> np.ndarray:
        """Probabilities that a segment is there though it is not painted, given how others were painted (Bayes)."""
        plainly = float((probability > _PLAIN).sum())
        painted = float(self._painted.sum())
        left_out = (plainly + 0.5) / (painted + plainly + 1)
        return probability * left_out / (probability * left_out + (1 - probability) + 1e-9)


def _is_central(support: Support, other: Support, segment: int) -> bool:
    """Whether a slice across the stack cuts a segment of one of the stack's slices near its middle."""
    inside = support.labels == segment
    axes = [axis for axis in range(3) if axis != support.view.axis]
    chords = inside.sum(axis=1 - axes.index(other.view.axis))
    return bool(chords[other.index] >= _CENTRAL * max(chords.max(), 1))


def looks_like_strokes(support: Support) -> bool:
    """Whether a slice is painted with strokes: thin lines without an edge beside them, or background as well."""
    if (support.labels == 0).any():
        return True
    if not support.segments:
        return False
    image = support.view.array[support.index].astype(np.float32)
    fine = np.array(support.view.pixel) / min(support.view.pixel)
    contrasts = []
    for segment in support.segments:
        inside = support.labels == segment
        radius = distance_transform_edt(np.pad(inside, 1)).max()
        # What is thin in thick voxels only is no line; one or two of them are as thin as a line can be.
        thick = distance_transform_edt(np.pad(inside, 1), sampling=fine).max() > _STROKE_RADIUS
        if radius > _STROKE_RADIUS or (radius > 1 and thick):
            return False
        pieces, count = label(inside, np.ones((3, 3)))
        extents = [(np.ptp(np.nonzero(pieces == n), axis=1) + 1) * fine for n in range(1, count + 1)]
        if max(extent.max() for extent in extents) < 4 * _STROKE_RADIUS:
            return False
        beside = binary_dilation(inside, iterations=2) & (support.labels == UNKNOWN)
        deviation = image[inside].std() + image[beside].std() + 1e-6
        is_long = inside.sum() >= _STROKE_LENGTH * (2 * radius - 1) ** 2
        limit = _STROKE_CONTRAST if is_long else _SHORT_STROKE_CONTRAST
        contrasts.append(abs(image[inside].mean() - image[beside].mean()) / deviation / limit)
    return float(np.mean(contrasts)) < 1


def with_far_background(labels: np.ndarray) -> np.ndarray:
    """Labels of a slice with strokes, with background far from all of them if none was painted.

    Without any, everything would be more like some segment than like nothing. Far is farther than the stroke is long.
    """
    segments = [label for label in np.unique(labels).tolist() if label > 0]
    if (labels == 0).any() or not segments:
        return labels
    far = np.ones(labels.shape, bool)
    for segment in segments:
        rows, columns = np.nonzero(labels == segment)
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        far &= distance_transform_edt(labels != segment) > extent
    return np.where(far, 0, labels)
