"""Evidence of the painted slices: where a structure can be, before any network looks.

Channels of an evidence tensor (..., PRIOR_CHANNELS, h, w), zero where a kind of evidence is absent. Channels 0 to 6
come from painted slices of the query volume itself, the others from painted slices of other volumes.

0. signed distance of the interpolated shape, tanh, positive inside
1. how much the two neighbouring painted shapes differ, 0..1
2. nearness of the nearest painted slice, 0..1
3. 1 between two painted slices; beyond the last one 0.5, or less by half for every `reach` (half a gap) beyond it
4. geodesic preference for the segment over every other, -1..1
5. geodesic closeness to the segment, 0..1
6. 1 where geodesic evidence is present
7. where the examples lead one to expect the segment: carried over by registration, or relative to the body, 0..1
8. 1 where the position is present
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Tick
from .geodesic import denoised_slices, geodesic_channels, geodesic_distances
from .motion import Motion
from .position import position_channels, position_map
from .shape import CrossingSlice, Knowledge, ShapeInterpolation, beyond_reach, usual_reach

PRIOR_CHANNELS = 9
SHAPE = slice(0, 4)
GEODESIC = slice(4, 7)
POSITION = slice(7, 9)

PROPAGATED_BLUR = 0.045
"""Blur of shapes carried over from other volumes, as part of the body's size: registered patients differ so."""


def priors_of_painted_slices(
    image: Tensor,
    painted: Tensor,
    positions: list[int],
    segments: int,
    step: float,
    known: Knowledge,
    certain: Tensor | None = None,
    tick: Tick = lambda _: None,
    motion: Motion | None = None,
    crossing: Sequence[CrossingSlice] = (),
) -> Callable[[Sequence[int]], Tensor]:
    """Evidence for the slices of a stack, from its painted slices.

    Args:
        image: (Z, h, w) stack, intensities in [0, 1].
        painted: (P, h, w) integer labels 0..segments of the painted slices, -1 where nothing is known.
        positions: P increasing slice numbers in the stack.
        segments: L.
        step: distance between neighbouring slices in units of the in-plane pixel.
        known: of each segment along the stack.
        certain: (P, h, w) bool, pixels that geodesic distances start from; None for all.
        tick: called with 0 now and then; may raise to cancel.
        motion: of the stack, None to measure it.
        crossing: painted slices across the stack.

    Returns:
        function that maps Q slice numbers to their evidence, (Q, L, PRIOR_CHANNELS, h, w) float32.
    """
    motion = motion or Motion.of(image, tick)
    interpolation = ShapeInterpolation(painted, positions, segments, step, motion, known, crossing)
    sources = painted if certain is None else torch.where(certain, painted, -1)
    distances = geodesic_distances(
        denoised_slices(image), sources, positions, segments + 1, step, motion, tick=tick, crossing=crossing
    )

    def evidence(queries: Sequence[int]) -> Tensor:
        chosen = list(queries)
        own = torch.cat([interpolation(chosen), geodesic_channels(distances[:, chosen])], dim=2)
        return F.pad(own, (0, 0, 0, 0, 0, PRIOR_CHANNELS - own.shape[2]))

    return evidence


def prior_of_other_volumes(position: np.ndarray, rows: Tensor, columns: Tensor) -> Tensor:
    """Evidence for any slice of a query from painted slices of other volumes.

    Args:
        position: (L, 64, 64) from :func:`position_map`.
        rows, columns: (h, w) points of the query's plane relative to its body, 0..1 inside.

    Returns:
        (L, PRIOR_CHANNELS, h, w) float32.
    """
    channels = position_channels(position, position.max((1, 2)), rows, columns)
    return F.pad(channels, (0, 0, 0, 0, POSITION.start, 0))


def prior_of_propagated_shapes(carried: np.ndarray, rows: Tensor, columns: Tensor) -> Callable[[Sequence[int]], Tensor]:
    """Evidence for the slices of a query from shapes that were carried over from other volumes.

    Args:
        carried: (L, Z, r, c) where each segment is to be expected, over whole slices, 0..1.
        rows, columns: (h, w) points of the query's plane, 0..1 over whole slices.

    Returns:
        function that maps Q slice numbers to their evidence, (Q, L, PRIOR_CHANNELS, h, w) float32.
    """
    peak = carried.max((1, 2, 3))

    def evidence(queries: Sequence[int]) -> Tensor:
        channels = torch.stack([position_channels(carried[:, z], peak, rows, columns) for z in queries])
        return F.pad(channels, (0, 0, 0, 0, POSITION.start, 0))

    return evidence


__all__ = [
    "GEODESIC",
    "POSITION",
    "PRIOR_CHANNELS",
    "PROPAGATED_BLUR",
    "SHAPE",
    "CrossingSlice",
    "Knowledge",
    "Motion",
    "beyond_reach",
    "position_map",
    "prior_of_other_volumes",
    "prior_of_propagated_shapes",
    "priors_of_painted_slices",
    "usual_reach",
]
