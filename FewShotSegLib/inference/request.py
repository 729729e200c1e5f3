"""What is asked for, laid out for the network: one stack, its painted slices, and painted slices of other volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evidence import usual_reach
from ..example import Example
from ..preprocessing.frame import Bounds, body_bounds, bounds_of
from ..preprocessing.views import SliceView, matching_axis, turn_between
from ..volume import Volume
from .frame_pass import Painted

# Part of the structures' extent in the plane that painted slices span if they are spread over the structures.
_SPREAD = 0.3


@dataclass(frozen=True)
class ForeignSlice:
    """A painted slice of another volume, turned as the query's slices lie.

    Attributes:
        image: (rows, columns) intensities.
        mask: (rows, columns) segment indices 0..L.
        pixel: (row, column) pixel size in mm.
        volume: the volume it is from.
        axis: array axis of that volume across the slice.
        index: slice number along it.
        untouched_mask: the mask as it lies in that volume.
        stack: (Z, rows, columns) all slices of that volume, turned alike.
        body: bounding box of the volume's body in the plane: top, bottom, left, right in pixels.
    """

    image: np.ndarray
    mask: np.ndarray
    pixel: tuple[float, float]
    volume: Volume
    axis: int
    index: int
    untouched_mask: np.ndarray
    stack: np.ndarray
    body: Bounds


@dataclass(frozen=True)
class Request:
    """A query with its examples.

    Attributes:
        view: the query as a stack of slices.
        values: label values of segments 1..L.
        painted: painted slices of the query along the view's axis.
        foreign: painted slices of other volumes, and those of the query along other axes.
        varied: segments 1..L that may be darker or brighter in the query than other volumes show them.
    """

    view: SliceView
    values: list[int]
    painted: Painted
    foreign: list[ForeignSlice]
    varied: frozenset[int] = frozenset()


def lay_out(query: Volume, examples: list[Example], values: list[int]) -> Request:
    """Chooses the slice axis and sorts the examples.

    The axis is the one that most examples were painted along, seen from the query.

    Args:
        query: the volume to segment.
        examples: checked examples.
        values: label values of the segments, ascending.
    """
    own = [e for e in examples if _same_image(query, e.image)]
    others = [e for e in examples if not _same_image(query, e.image)]
    axis = _axis(query, own, others)
    view = SliceView(query, axis)
    index = np.zeros(max(values) + 1, np.int32)
    index[values] = np.arange(1, len(values) + 1)

    along = {e.index: e for e in own if e.axis == axis}
    positions = sorted(along)
    masks = np.stack([index[along[p].mask] for p in positions]) if positions else Painted().masks
    foreign = []
    bodies: dict[tuple[int, int], Bounds] = {}
    for e in others + [e for e in own if e.axis != axis]:
        source = SliceView(e.image, e.axis)
        turn = turn_between(source, view)
        key = (id(e.image), e.axis)
        if key not in bodies:
            bodies[key] = turn.bounds(body_bounds(source.array), e.mask.shape)
        mask = index[e.mask]
        foreign.append(
            ForeignSlice(
                turn(e.image_slice), turn(mask), turn.pixel(source.pixel), e.image, e.axis, e.index, mask,
                turn(source.array), bodies[key],
            )
        )  # fmt: skip
    return Request(view, values, Painted(positions, masks, _reach(positions, masks, view)), foreign)


def paste_painted(
    query: Volume, examples: list[Example], labels: np.ndarray, confidence: np.ndarray
) -> list[tuple[int, int]]:
    """Writes the painted slices of the query, exactly as painted, into a result, in place.

    Returns:
        axis and index of each of these slices.
    """
    own = [example for example in examples if _same_image(query, example.image)]
    for example in own:
        np.moveaxis(labels, example.axis, 0)[example.index] = example.mask
        np.moveaxis(confidence, example.axis, 0)[example.index] = 1
    return [(example.axis, example.index) for example in own]


def _axis(query: Volume, own: list[Example], others: list[Example]) -> int:
    votes = [e.axis for e in own] or [matching_axis(query, SliceView(e.image, e.axis)) for e in others]
    return max(sorted(set(votes)), key=votes.count)


def _same_image(query: Volume, image: Volume) -> bool:
    """Whether an example was painted on the query: the same object, or the same voxels on the same grid."""
    if image is query:
        return True
    return image.shape == query.shape and image.same_grid(query) and np.array_equal(image.array, query.array)


def _reach(positions: list[int], masks: np.ndarray, view: SliceView) -> float | None:
    """How far structures usually go on beyond painted slices; None unless these are spread over the structures.

    A few slices close together say nothing about where the structures end.
    """
    found = bounds_of(masks.max(axis=0) > 0) if positions else None
    if found is None:
        return None
    extent = max((found[1] - found[0]) * view.pixel[0], (found[3] - found[2]) * view.pixel[1])
    return usual_reach(positions) if (positions[-1] - positions[0]) * view.gap >= _SPREAD * extent else None
