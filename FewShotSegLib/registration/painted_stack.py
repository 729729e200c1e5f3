"""Painted slices of another volume, as the registration sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..preprocessing.views import PlaneTurn, SliceView


@dataclass(frozen=True, eq=False)
class PaintedStack:
    """Painted slices of one volume along one axis.

    Attributes:
        view: the volume along that axis.
        turn: how to lay its slices as the query's lie.
        positions: P increasing slice numbers.
        masks: (P, rows, columns) segments 0..L, as they lie in that volume.
    """

    view: SliceView
    turn: PlaneTurn
    positions: list[int]
    masks: np.ndarray
