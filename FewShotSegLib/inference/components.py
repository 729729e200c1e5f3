"""Islands: small pieces of a segment away from all that is painted of it, where examples show it in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import find_objects, label

from ..plan import Tick, no_tick

# A piece smaller than this part of the smallest piece that is painted, or else of the largest one, is an island.
_ISLAND = 0.1
# A structure counts as one piece if its painted slices hold so many pieces on average, at most.
_ONE_PIECE = 1.35


@dataclass(frozen=True)
class PaintedPlane:
    """A painted slice of a volume: array axis across it, its index along that axis, (rows, columns) painted labels."""

    axis: int
    index: int
    labels: np.ndarray


def in_one_piece(masks: Sequence[np.ndarray], values: Sequence[int]) -> list[int]:
    """Labels that the examples show in one piece per slice; pixels that touch at a corner are of one piece.

    Args:
        masks: (rows, columns) labels of painted slices.
        values: labels to judge.
    """
    chosen = []
    for value in values:
        counts = [_pieces(mask == value)[1] for mask in masks if (mask == value).any()]
        if counts and np.mean(counts) <= _ONE_PIECE:
            chosen.append(value)
    return chosen


def remove_islands(
    labels: np.ndarray,
    confidence: np.ndarray,
    values: Sequence[int],
    planes: Sequence[PaintedPlane] = (),
    tick: Tick = no_tick,
) -> None:
    """Turns islands of some labels into background, in place.

    The confidence of what is turned is one minus that of the label: the more the network believed in the island, the
    less sure is the background.

    Args:
        labels: (k, j, i), painted voxels as they are painted: these do not change.
        confidence: the same shape, 0..1.
        values: labels to clean.
        planes: the painted slices.
        tick: called with 1 for each label; may raise to cancel.
    """
    boxes = find_objects(labels)
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is not None:
            inside = [_within(box, p) for p in planes if box[p.axis].start <= p.index < box[p.axis].stop]
            part, sureness = labels[box], confidence[box]
            island = islands(part == value, [replace(plane, labels=plane.labels == value) for plane in inside])
            part[island] = 0
            sureness[island] = 1 - sureness[island]
        tick(1)


def _within(box: tuple[slice, ...], plane: PaintedPlane) -> PaintedPlane:
    """A painted slice as it lies in a part of the volume."""
    rest = tuple(part for axis, part in enumerate(box) if axis != plane.axis)
    return PaintedPlane(plane.axis, plane.index - box[plane.axis].start, plane.labels[rest])


def islands(mask: np.ndarray, planes: Sequence[PaintedPlane] = ()) -> np.ndarray:
    """What of a structure is an island.

    What touches painted parts or lies between them is none. Several painted parts, of paired organs or lesions, are
    ordinary, and what is as large as they are may be a further one.

    Args:
        mask: (k, j, i) bool, the structure, with all that is painted of it.
        planes: the painted slices, with (rows, columns) bool labels: what is painted of the structure.

    Returns:
        the same shape, bool; nothing that is painted.
    """
    pieces, count = _pieces(mask)
    if count < 2:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(pieces.ravel())
    painted = np.zeros(count + 1, bool)
    for plane in planes:
        painted[pieces.take(plane.index, plane.axis)[plane.labels]] = True
    usual = sizes[painted].min() if painted.any() else sizes[1:].max()
    island = (sizes < _ISLAND * usual) & ~painted
    island[0] = False
    if island.any():
        for axis in {plane.axis for plane in planes}:
            along = {plane.index: plane.labels for plane in planes if plane.axis == axis and plane.labels.any()}
            island[_between(np.moveaxis(pieces, axis, 0), np.flatnonzero(island), along)] = False
    return island[pieces]


def _between(pieces: np.ndarray, candidates: np.ndarray, painted: dict[int, np.ndarray]) -> list[int]:
    """Pieces that lie between painted parts.

    Args:
        pieces: (Z, rows, columns) number of the piece.
        candidates: numbers to judge.
        painted: (rows, columns) bool, what is painted of the structure, by slice.
    """
    found = []
    boxes = find_objects(pieces)
    for number in candidates:
        box = boxes[number - 1]
        before, after = [p for p in painted if p < box[0].start], [p for p in painted if p >= box[0].stop]
        if not before or not after or len(before) + len(after) < len(painted):
            continue
        shadow = (pieces[box] == number).any(axis=0)
        one, other = painted[max(before)], painted[min(after)]
        if ((one | other)[box[1:]] & shadow).any() or _on_the_way(box[1:], one, other):
            found.append(int(number))
    return found


def _on_the_way(place: tuple[slice, ...], one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a place lies in the rectangle around two parts that do not overlap, as of a vessel that goes across."""
    middle = [(part.start + part.stop - 1) / 2 for part in place]
    starts, ends = (find_objects(_pieces(mask)[0]) for mask in (one, other))
    for a in starts:
        for b in ends:
            if (one[a] & other[a]).any():
                continue
            if all(min(p.start, q.start) <= m < max(p.stop, q.stop) for p, q, m in zip(a, b, middle, strict=True)):
                return True
    return False


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number of the piece of each element, and how many there are; what touches at a corner is of one piece."""
    pieces, count = label(mask, structure=np.ones((3,) * mask.ndim))
    return pieces, int(count)
