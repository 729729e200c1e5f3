"""Frames: where on a query's slices to look, and how fine, from what is painted."""

from __future__ import annotations

import numpy as np

from ..preprocessing.frame import Bounds, Frame, bounds_of, frame_around, is_whole, union, widen
from ..preprocessing.views import SliceView
from ..priors import position_map
from .query import Query, Support

SIDE = 256
# Where a painted structure is small; 384 is no better, and twice as slow.
FINE_SIDE = 288
_SMALL = 20.0  # square root of its largest cross-section, in pixels of a frame of the usual side
_MARGIN = 0.25  # of a structure's extent, on each side
_LEAST_MARGIN_MM = 10.0
# A frame's sides lie on a grid of so many lines at least along its longer side.
_GRIDS = 8
# How far, as part of the body's size, a structure may lie from where the examples had it.
_DOUBT = 0.08


def frame_of(query: Query) -> Frame:
    """Frame around everything that is painted on the query's own slices.

    Its pixels are finer where a structure would be small on it.

    Args:
        query: of which slices are painted.
    """
    bounds = [b for segment in query.segments for b in [_painted_bounds(query, segment)] if b is not None]
    around = _snapped(union(bounds), query.view.shape[1:])
    frame = frame_around(around, query.view.pixel, SIDE)
    supports = [*query.own, *query.crossing]
    areas = [max(int((s.labels == segment).sum()) for s in supports) for segment in query.segments]
    painted = [np.sqrt(area * np.prod(query.view.pixel)) / frame.pixel(query.view.pixel) for area in areas if area]
    return frame_around(around, query.view.pixel, FINE_SIDE) if min(painted) < _SMALL else frame


def _snapped(bounds: Bounds, shape: tuple[int, ...]) -> Bounds:
    """A rectangle with its sides moved outward to a coarse grid.

    One more painted slice seldom changes it, so that what was seen through the frame can be used again.
    """
    top, bottom, left, right = bounds
    grid = 2 ** max(int(np.log2(max(bottom - top, right - left) / _GRIDS)), 0)
    return (
        top // grid * grid,
        min(-(-bottom // grid) * grid, shape[0]),
        left // grid * grid,
        min(-(-right // grid) * grid, shape[1]),
    )


def _painted_bounds(query: Query, segment: int) -> Bounds | None:
    """Rectangle of a segment on all painted slices, with its margin."""
    found = [bounds_of(s.labels == segment) for s in query.own]
    for support in query.crossing:
        inside = support.labels == segment
        if inside.any():
            found.append(_in_plane(inside, support, query.view.axis))
    there = [b for b in found if b is not None]
    return with_margin(union(there), query.view) if there else None


def with_margin(found: Bounds, view: SliceView) -> Bounds:
    """A rectangle with a margin on each side that grows with it."""
    extent = max((found[1] - found[0]) * view.pixel[0], (found[3] - found[2]) * view.pixel[1])
    margin = max(extent * _MARGIN, _LEAST_MARGIN_MM)
    return widen(found, (margin, margin), view.pixel, view.shape[1:])


def region_of(query: Query) -> Bounds:
    """Where to look for what other volumes show: around where they had it, if bodies can be compared."""
    view, foreign = query.view, query.foreign
    body, shape = view.body, view.shape[1:]
    if not is_whole(body, shape) or not all(is_whole(f.body, f.mask.shape) for f in foreign):
        return body
    position = position_map([f.mask for f in foreign], [f.body for f in foreign], len(query.values))
    peak = position.max(axis=(1, 2), keepdims=True)
    found = bounds_of(np.max(position / np.maximum(peak, 1e-6), axis=0) > 0.05)
    if found is None:
        return body
    height, width = (body[1] - body[0]) / position.shape[1], (body[3] - body[2]) / position.shape[2]
    there = (
        int(body[0] + found[0] * height),
        int(body[0] + found[1] * height) + 1,
        int(body[2] + found[2] * width),
        int(body[2] + found[3] * width) + 1,
    )
    pixel = view.pixel
    margin = _DOUBT * (body[1] - body[0]) * pixel[0], _DOUBT * (body[3] - body[2]) * pixel[1]
    return widen(there, margin, pixel, shape)


def _in_plane(inside: np.ndarray, support: Support, axis: int) -> Bounds:
    """Rectangle on the stack's slices that the painted pixels of a slice across the stack lie in."""
    axes = [a for a in range(3) if a != support.view.axis]
    along = np.flatnonzero(inside.any(axis=axes.index(axis)))
    extent = {support.view.axis: (support.index, support.index + 1)}
    extent[next(a for a in axes if a != axis)] = (int(along[0]), int(along[-1]) + 1)
    rows, columns = [extent[a] for a in range(3) if a != axis]
    return (*rows, *columns)
