"""Islands: small pieces of a segment away from all that is painted of it, where examples show it in one piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects, label

from ..plan import Tick, no_tick

# A piece smaller than this part of the smallest piece that is painted, or else of the largest one, is an island.
_ISLAND = 0.1
# A structure counts as one piece if its painted slices hold so many pieces on average, at most.
_ONE_PIECE = 1.35

Plane = tuple[int, int]
"""A painted slice of a volume: array axis across it, and its index along that axis."""


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
    planes: Sequence[Plane] = (),
    tick: Tick = no_tick,
) -> None:
    """Turns islands of some labels into background, in place.

    The confidence of what is turned is one minus that of the label: the more the network believed in the island, the
    less sure is the background.

    Args:
        labels: (k, j, i), painted slices as they are painted: these do not change.
        confidence: the same shape, 0..1.
        values: labels to clean.
        planes: the painted slices.
        tick: called with 1 for each label; may raise to cancel.
    """
    boxes = find_objects(labels)
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is not None:
            inside = [(axis, index - box[axis].start) for axis, index in planes]
            size = [part.stop - part.start for part in box]
            part, sureness = labels[box], confidence[box]
            island = islands(part == value, [(axis, index) for axis, index in inside if 0 <= index < size[axis]])
            part[island] = 0
            sureness[island] = 1 - sureness[island]
        tick(1)


def islands(mask: np.ndarray, planes: Sequence[Plane] = ()) -> np.ndarray:
    """What of a structure is an island.

    What touches painted parts or lies between them is none. Several painted parts, of paired organs or lesions, are
    ordinary, and what is as large as they are may be a further one.

    Args:
        mask: (k, j, i) bool, the structure; on painted slices as painted.
        planes: the painted slices.

    Returns:
        the same shape, bool; empty on painted slices.
    """
    pieces, count = _pieces(mask)
    if count < 2:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(pieces.ravel())
    painted = np.zeros(count + 1, bool)
    for axis, index in planes:
        painted[pieces.take(index, axis)] = True
    painted[0] = False
    usual = sizes[painted].min() if painted.any() else sizes[1:].max()
    island = (sizes < _ISLAND * usual) & ~painted
    island[0] = False
    if island.any():
        for axis in {axis for axis, _ in planes}:
            along = np.moveaxis(pieces, axis, 0)
            island[_between(along, np.flatnonzero(island), sorted(i for a, i in planes if a == axis))] = False
    return island[pieces]


def _between(pieces: np.ndarray, candidates: np.ndarray, painted: Sequence[int]) -> list[int]:
    """Pieces that lie between painted parts.

    Args:
        pieces: (Z, rows, columns) number of the piece.
        candidates: numbers to judge.
        painted: positions of painted slices, increasing.
    """
    found = []
    boxes = find_objects(pieces)
    for number in candidates:
        box = boxes[number - 1]
        before = [p for p in painted if p < box[0].start and pieces[p].any()]
        after = [p for p in painted if p >= box[0].stop and pieces[p].any()]
        if not before or not after or any(box[0].start <= p < box[0].stop for p in painted):
            continue
        shadow = (pieces[box] == number).any(axis=0)
        one, other = pieces[before[-1]] > 0, pieces[after[0]] > 0
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
