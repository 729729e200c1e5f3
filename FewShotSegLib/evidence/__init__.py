"""Evidence of the painted slices of the query volume itself: where a structure can be, before any network looks.

Channels of an evidence tensor (..., EVIDENCE_CHANNELS, h, w), all zero where there is none (across volumes):

0. signed distance of the interpolated shape, tanh, positive inside
1. how much the two neighbouring painted shapes differ, 0..1
2. nearness of the nearest painted slice, 0..1
3. 1 between two painted slices, 0.5 beyond the last one
4. geodesic preference for the segment over every other, -1..1
5. geodesic closeness to the segment, 0..1
6. 1 where geodesic evidence is present
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .geodesic import geodesic_channels, geodesic_distances
from .shape import ShapeInterpolation

EVIDENCE_CHANNELS = 7
SHAPE = slice(0, 4)
GEODESIC = slice(4, 7)


def evidence_of_painted_slices(
    image: Tensor, painted: Tensor, positions: list[int], segments: int, step: float
) -> Callable[[Sequence[int]], Tensor]:
    """Evidence for the slices of a stack, from its painted slices.

    Args:
        image: (Z, h, w) stack, intensities in [0, 1].
        painted: (P, h, w) integer labels 0..segments of the painted slices.
        positions: P increasing slice numbers in the stack.
        segments: L.
        step: distance between neighbouring slices in units of the in-plane pixel.

    Returns:
        function that maps Q slice numbers to their evidence, (Q, L, EVIDENCE_CHANNELS, h, w) float32.
    """
    interpolation = ShapeInterpolation(painted, positions, segments, step)
    distances = geodesic_distances(image, painted, positions, segments + 1, step)

    def evidence(queries: Sequence[int]) -> Tensor:
        chosen = list(queries)
        return torch.cat([interpolation(chosen), geodesic_channels(distances[:, chosen])], dim=2)

    return evidence
