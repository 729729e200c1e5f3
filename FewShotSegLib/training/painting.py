"""How the painted slices of a training stack were painted, and what is known of them then, as the engine finds it out.

Whole slices are painted, or strokes only; or one structure after the other, each
on slices of its own; or slices across the stack besides. What is not painted is unknown (-1), never absent, unless the
engine would find out that it is: `inference/completeness.py`, which these episodes follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, label
from torch import Tensor
from torch.nn import functional as F

from ..inference.completeness import with_far_background
from ..priors import CrossingSlice, Knowledge, usual_reach
from .augment import misdrawn, seen_by_a_look, smooth_noise

WHOLE, STROKES, ONE_BY_ONE, ACROSS = "whole", "strokes", "one by one", "across"
_WAYS = {WHOLE: 0.4, STROKES: 0.2, ONE_BY_ONE: 0.2, ACROSS: 0.2}

UNKNOWN = -1
# Chance of outlines that are not quite right where slices are painted whole.
_MISDRAWN = 0.3
# Strokes: chance that slices with strokes are completed yet, of a middle line (else a scribble), that only a part of
# it is painted, of broad ones, and the smallest piece that gets one, in pixels.
_COMPLETED = 0.5
_MIDDLE, _PART, _BROAD = 0.6, 0.3, 0.3
_SMALLEST = 20
# Chances of a line of background around everything, and of scribbles of background, else there is none; how far the
# line is from the structures, and its half width, in pixels.
_AROUND, _SCRIBBLED = 0.5, 0.25
_AT, _HALF_WIDTH = (4.0, 16.0), 1.5
# One by one: chance that each slice shows one structure only, else so many of them, as a part; that a structure which
# is not painted and not there is known to be absent; that one which is there was not found out.
_ONE_EACH, _SOME = 0.5, (0.3, 0.8)
_KNOWN_ABSENT, _OVERLOOKED = 0.9, 0.07
# Across the stack: numbers of slices with their chances, and of those along the stack besides.
_CUTS = {1: 0.6, 2: 0.4}
_ALONG = {0: 0.15, 1: 0.35, 2: 0.2, 3: 0.3}
# Part of its widest at which a slice cuts a structure in its middle, and then tells where it ends; as in the engine.
_CENTRAL = 0.7


@dataclass(frozen=True, eq=False)
class Painting:
    """P painted slices of a stack with L segments, as far as is known of them.

    Attributes:
        labels: (P, h, w) integers 0..L, -1 where nothing is known.
        complete: (P, L) bool, segments that a slice shows whole, or is known to be without.
        certain: (P, h, w) bool, pixels that geodesic distances start from; None for all.
        uncompleted: whether slices are painted with strokes that are to be completed: the painted slices are queries.
    """

    labels: Tensor
    complete: np.ndarray
    certain: Tensor | None = None
    uncompleted: bool = False

    def knowledge(self, positions: list[int], further: float | None, ends: np.ndarray | None = None) -> Knowledge:
        """What is known of each segment along the stack.

        Args:
            positions: P increasing slice numbers.
            further: how much further than usual segments may go on; None where slices say nothing of it.
            ends: (L, 2), see `Knowledge`; None for unknown ones.
        """
        reach = np.full(self.complete.shape[1], np.nan)
        for segment, rows in enumerate(self.complete.T):
            usual = usual_reach([p for p, whole in zip(positions, rows, strict=True) if whole])
            if usual is not None and further is not None:
                reach[segment] = further * usual
        return Knowledge(self.complete, reach, np.full((len(reach), 2), np.nan) if ends is None else ends)


def draw_way(rng: np.random.Generator) -> str:
    """How the slices of a stack are painted."""
    return str(rng.choice(list(_WAYS), p=list(_WAYS.values())))


def paint(rng: np.random.Generator, way: str, labels: Tensor, segments: int, seen: bool) -> Painting:
    """What is known of some slices.

    Args:
        rng: source of chance.
        way: how they are painted.
        labels: (P, h, w) integers 0..L, what is there.
        segments: L.
        seen: whether some of them are such as an earlier look saw; of slices that are painted whole.
    """
    if way == STROKES:
        stroked = with_strokes(rng, labels)
        if rng.random() < _COMPLETED:
            return completed(rng, labels, stroked, segments)
        return stroked_only(stroked, segments)
    if way == ONE_BY_ONE:
        return one_by_one(rng, labels, segments)
    everything = Painting(labels, np.ones((len(labels), segments), bool))
    if seen:
        found, certain = labels.clone(), torch.ones(labels.shape, dtype=torch.bool)
        which = np.flatnonzero(rng.random(len(labels)) < rng.choice([0.4, 0.7, 1.0]))
        if len(which):
            found[which], certain[which] = seen_by_a_look(rng, labels[which])
        return replace(everything, labels=found, certain=certain)
    if way == WHOLE and rng.random() < _MISDRAWN:
        return replace(everything, labels=misdrawn(rng, labels))
    return everything


# --- strokes ---------------------------------------------------------------------------------------------------------


def with_strokes(rng: np.random.Generator, labels: Tensor) -> Tensor:
    """Slices of which strokes are painted only.

    A segment that is nowhere large enough for a stroke is painted whole.

    Args:
        rng: source of chance.
        labels: (P, h, w) integers 0..L.

    Returns:
        the same shape, -1 where nothing is painted.
    """
    result = np.full(tuple(labels.shape), UNKNOWN, np.int64)
    truth = labels.numpy()
    chance = rng.random()
    for row, plane in enumerate(truth):
        for segment in np.unique(plane[plane > 0]):
            pieces, count = label(plane == segment, np.ones((3, 3)))
            for number in range(1, count + 1):
                piece = pieces == number
                if piece.sum() >= _SMALLEST:
                    result[row][_stroke(rng, piece)] = segment
        if not (result[row] > 0).any():
            continue
        distance = distance_transform_edt(~binary_fill_holes(plane > 0))
        if chance < _AROUND:
            ring = np.abs(distance - rng.uniform(*_AT)) <= _HALF_WIDTH
            if rng.random() < 0.4:
                ring &= smooth_noise(rng, labels.shape[1:]).numpy() > -0.3
            result[row][ring & (result[row] < 0)] = 0
        elif chance < _AROUND + _SCRIBBLED:
            room = (distance > 3) & (distance < 40)
            for _ in range(int(rng.integers(1, 4))):
                result[row][_scribble(rng, room, 3) & (result[row] < 0)] = 0
        result[row] = with_far_background(result[row])
    for segment in np.setdiff1d(np.unique(truth[truth > 0]), np.unique(result)):
        result[truth == segment] = segment
    return torch.from_numpy(result)


def stroked_only(stroked: Tensor, segments: int) -> Painting:
    """What is known before slices with strokes are completed: no shape at all, and the strokes' pixels."""
    return Painting(stroked, np.zeros((len(stroked), segments), bool), uncompleted=True)


def completed(rng: np.random.Generator, labels: Tensor, stroked: Tensor, segments: int) -> Painting:
    """Pseudo-labels that slices with strokes were completed to, with errors as a network makes them.

    Args:
        rng: source of chance.
        labels: (P, h, w) what is there.
        stroked: (P, h, w) what is painted.
        segments: L.
    """
    found, certain = labels.clone(), torch.ones(labels.shape, dtype=torch.bool)
    for row in range(len(labels)):
        if rng.random() < 0.5:
            found[row : row + 1], certain[row : row + 1] = seen_by_a_look(rng, labels[row : row + 1])
        else:
            found[row : row + 1] = misdrawn(rng, labels[row : row + 1])
            inner = _from_edges(found[row].numpy())
            certain[row] = torch.from_numpy(inner > math.exp(rng.uniform(math.log(0.5), math.log(4))))
    here = np.array([[bool((plane == s).any()) for s in range(1, segments + 1)] for plane in stroked])
    for row, segment in zip(*np.nonzero(~here), strict=True):
        found[row][found[row] == int(segment) + 1] = UNKNOWN
    is_painted = stroked >= 0
    return Painting(torch.where(is_painted, stroked, found), here, certain | is_painted)


def _stroke(rng: np.random.Generator, piece: np.ndarray) -> np.ndarray:
    """Pixels of a middle line or a scribble in a connected piece."""
    from skimage.morphology import skeletonize

    if rng.random() > _MIDDLE:
        depth = distance_transform_edt(piece)
        return _scribble(rng, depth >= rng.uniform(0.2, 0.6) * depth.max(), int(rng.integers(2, 5))) & piece
    line = skeletonize(piece)
    if rng.random() < _PART:
        places = np.argwhere(line)
        distance = np.linalg.norm(places - places[rng.integers(len(places))], axis=1)
        kept = places[distance <= rng.uniform(0.3, 0.8) * max(distance.max(), 1)]
        line = np.zeros_like(line)
        line[tuple(kept.T)] = True
    return _broad(rng, line) & piece


def _scribble(rng: np.random.Generator, room: np.ndarray, points: int) -> np.ndarray:
    """Straight lines between some pixels of a room, as far as they lie in it."""
    from skimage.draw import line as pixels_of_line

    places = np.argwhere(room)
    drawn = np.zeros(room.shape, bool)
    if len(places):
        corners = places[rng.integers(len(places), size=points)]
        for a, b in pairwise(corners):
            drawn[pixels_of_line(*a, *b)] = True
        drawn &= room
    return _broad(rng, drawn) & room


def _broad(rng: np.random.Generator, line: np.ndarray) -> np.ndarray:
    """A line that is three pixels wide, or five."""
    return binary_dilation(line, np.ones((3, 3), bool), iterations=1 + int(rng.random() < _BROAD))


def _from_edges(plane: np.ndarray) -> np.ndarray:
    """Distance in pixels to the nearest pixel with another label beside it."""
    inner = np.ones(plane.shape, bool)
    inner[:-1] &= plane[:-1] == plane[1:]
    inner[:, :-1] &= plane[:, :-1] == plane[:, 1:]
    return distance_transform_edt(inner)


# --- one structure after the other -----------------------------------------------------------------------------------


def one_by_one(rng: np.random.Generator, labels: Tensor, segments: int) -> Painting:
    """Slices on each of which some structures are painted and others are not, though they may be there.

    Args:
        rng: source of chance.
        labels: (P, h, w) integers 0..L, what is there.
        segments: L.
    """
    there = np.array([[bool((plane == s).any()) for s in range(1, segments + 1)] for plane in labels])
    if rng.random() < _ONE_EACH:
        shown = np.zeros(there.shape, bool)
        for row, present in enumerate(there):
            if present.any():
                # of what is there, what was painted least often so far
                often = np.where(present, shown.sum(axis=0) + 0.5 * rng.random(segments), np.inf)
                shown[row, int(np.argmin(often))] = True
    else:
        shown = there & (rng.random(there.shape) < rng.uniform(*_SOME))
    for segment in np.flatnonzero(there.any(axis=0) & ~shown.any(axis=0)):
        shown[rng.choice(np.flatnonzero(there[:, segment])), segment] = True
    result = torch.where(labels > 0, 0, labels)
    complete = shown | (~there & (rng.random(there.shape) < _KNOWN_ABSENT))
    for row, segment in zip(*np.nonzero(there & ~shown), strict=True):
        if rng.random() < _OVERLOOKED:
            continue
        inside = (labels[row] == int(segment) + 1).numpy()
        around = binary_dilation(inside, iterations=int(rng.integers(1, 6)))
        result[row][torch.from_numpy(around)] = UNKNOWN
    for row, segment in zip(*np.nonzero(shown), strict=True):
        result[row][labels[row] == int(segment) + 1] = int(segment) + 1
    return Painting(result, complete)


# --- across the stack ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A slice across a stack (Z, h, w): which axis it cuts, 1 or 2, and where."""

    dim: int
    place: int

    def of(self, stack: Tensor) -> Tensor:
        """(Z, w) or (Z, h)."""
        return stack.select(self.dim, self.place)

    def enlarged(self) -> Cut:
        """The same in a stack whose pixels are half as large."""
        return Cut(self.dim, 2 * self.place + 1)


def draw_cuts(rng: np.random.Generator, anchor: Tensor) -> tuple[int, list[Cut]]:
    """How many slices along the stack are painted, and where slices across it are.

    Args:
        rng: source of chance.
        anchor: (Z, h, w) bool, the structure that they are painted for.
    """
    cuts = []
    for _ in range(int(rng.choice(list(_CUTS), p=list(_CUTS.values())))):
        dim = int(rng.integers(1, 3))
        places = np.flatnonzero(anchor.any(dim=0).any(dim=2 - dim).numpy())
        if not len(places):
            break
        middle = rng.uniform(0.2, 0.8) if rng.random() < 0.8 else rng.uniform(0, 1)
        cuts.append(Cut(dim, int(places[min(int(middle * len(places)), len(places) - 1)])))
    return int(rng.choice(list(_ALONG), p=list(_ALONG.values()))), cuts


def crossing_slices(cuts: list[Cut], stack: Tensor, segments: int) -> list[CrossingSlice]:
    """Slices across a stack of labels (Z, h, w), with everything on them painted."""
    everything = np.ones(segments, bool)
    return [CrossingSlice(cut.dim, [cut.place], cut.of(stack).long(), everything) for cut in cuts]


def known_ends(cuts: list[Cut], stack: Tensor, positions: list[int], segments: int) -> np.ndarray:
    """Where slices across a stack show that segments end; see `Knowledge`, and the engine's rule for it.

    Args:
        cuts: slices across the stack.
        stack: (Z, h, w) labels 0..L.
        positions: P increasing numbers of the painted slices.
        segments: L.

    Returns:
        (L, 2), nan where nothing is known.
    """
    ends = np.full((segments, 2), np.nan)
    for segment in range(1, segments + 1):
        extents, through = [], False
        for cut in cuts:
            inside = np.flatnonzero((cut.of(stack) == segment).any(dim=1).numpy())
            if not len(inside):
                continue
            extents.append((int(inside[0]), int(inside[-1])))
            for position in positions:
                chords = (stack[position] == segment).sum(dim=2 - cut.dim)
                through |= int(chords.max()) > 0 and bool(chords[cut.place] >= _CENTRAL * chords.max())
        if not through or not positions:
            continue
        first, last = min(e[0] for e in extents), max(e[1] for e in extents)
        low, high = positions[0], positions[-1]
        if bool((stack[low] == segment).any()) and first <= low:
            ends[segment - 1, 0] = 2 * (first - 0.5) - low - 0.25
        if bool((stack[high] == segment).any()) and last >= high:
            ends[segment - 1, 1] = 2 * (last + 0.5) - high + 0.25
    return ends


def shown_across(cut: Cut, image: Tensor, labels: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """A slice across a stack as the network is shown it: with square pixels, in a square of the stack's slices.

    Args:
        cut: in pixels of the slices.
        image: (Z, c, c) in [0, 1].
        labels: (Z, c, c) integers.
        step: slice distance in pixels.

    Returns:
        (c, c) image, and labels, -1 beyond the stack.
    """
    size, rows = image.shape[-1], max(int(round(step * len(image))), 1)
    shape = (rows, size)
    planes = F.interpolate(cut.of(image)[None, None], size=shape, mode="bilinear", align_corners=False)[0, 0]
    found = F.interpolate(cut.of(labels)[None, None].float(), size=shape, mode="nearest")[0, 0].long()
    inside = torch.nonzero((found > 0).any(dim=1)).flatten()
    middle = int(inside.float().mean()) if len(inside) else rows // 2
    first = max(min(middle - size // 2, rows - size), 0) if rows > size else 0
    planes, found = planes[first : first + size], found[first : first + size]
    above = (size - len(planes)) // 2
    pad = (0, 0, above, size - len(planes) - above)
    return F.pad(planes, pad), F.pad(found, pad, value=UNKNOWN)
