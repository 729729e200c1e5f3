"""Evidence across volumes, as an episode would have it: where the examples lead one to expect the segments.

At inference it comes from a registration of two patients' scans, or from bodies compared. Registering in every episode
would take too long, and most episodes have only one volume; so the error that either has is drawn at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from ..preprocessing.frame import body_bounds, body_size
from ..priors import POSITION, PROPAGATED_BLUR, position_map, prior_of_other_volumes
from .augment import sample
from .plane import Plane

# Share of position evidence that a registration would have brought, the others being relative to the body.
_REGISTERED = 0.7
# Standard error of a registration, as parts of the body's size, of all segments alike and of each by itself, and by how
# much more it errs where it is lost.
_IN_PLANE = 0.016
_THROUGH_PLANE = 0.024
_BENT = 0.014
_APART = 0.018
_LOST = 4.0
_CHANCE_LOST = 0.1
# Standard error of a shape's size, and how many bends there are from one side of the crop to the other.
_SIZE = 0.07
_BENDS = (3, 8)
_KERNEL = torch.tensor([0.25, 0.5, 0.25])
# Standard error of a position relative to the body: of scale and of place.
_BODY_SCALE = 0.1
_BODY_SHIFT = 0.05


@dataclass(frozen=True)
class Known:
    """The support slices of a group.

    Attributes:
        plane: their volume.
        labels: (S, rows, columns) labels of the whole slices.
        painted: (S, c, c) segments 0..L of their crops.
    """

    plane: Plane
    labels: np.ndarray
    painted: Tensor


class SimulatedPositions:
    """Draws position evidence.

    Args:
        rng: source of all chance.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._bodies: dict[tuple[str, int], tuple[int, int, int, int]] = {}

    def draw(
        self, known: Known, query: Plane, labeling: str, kept: list[int], chosen: list[int], grid: Tensor, cell: float
    ) -> Tensor:
        """Evidence for query slices.

        Args:
            known: the support.
            query: the query's volume.
            labeling: which of its labels.
            kept: the labels that are segments 1..L.
            chosen: Q slice numbers.
            grid: (4 c, 4 c, 2) sampling points of the query's crop, in [-1, 1].
            cell: mm between c points of a row.

        Returns:
            (Q, L, PRIOR_CHANNELS, 2 c, 2 c)
        """
        if self.rng.random() < _REGISTERED:
            return self.carried(known.painted, query, labeling, kept, chosen, grid, cell)
        evidence = self.relative(known, query, kept, grid)
        return evidence[None].expand(len(chosen), *evidence.shape)

    def relative(self, known: Known, query: Plane, kept: list[int], grid: Tensor) -> Tensor:
        """(L, PRIOR_CHANNELS, 2 c, 2 c): position in the body; arguments as of `draw`."""
        rng = self.rng
        index = np.zeros(int(known.labels.max()) + 1, np.int32)
        for new, old in enumerate(kept, start=1):
            if old < len(index):
                index[old] = new
        masks = [index[labels] for labels in known.labels]
        position = position_map(masks, [self._body(known.plane)] * len(masks), len(kept))
        top, bottom, left, right = self._body(query)
        # grid points are in [-1, 1] between the centres of the plane's corner pixels
        rows = ((grid[1::2, 1::2, 1] + 1) / 2 * (query.shape[0] - 1) - top) / (bottom - top)
        columns = ((grid[1::2, 1::2, 0] + 1) / 2 * (query.shape[1] - 1) - left) / (right - left)
        rows, columns = (
            (points - 0.5) * math.exp(rng.normal(0, _BODY_SCALE)) + 0.5 + rng.normal(0, _BODY_SHIFT)
            for points in (rows, columns)
        )
        return prior_of_other_volumes(position, rows, columns)

    def carried(
        self,
        painted: Tensor,
        query: Plane,
        labeling: str,
        kept: list[int],
        chosen: list[int],
        grid: Tensor,
        cell: float,
    ) -> Tensor:
        """Shapes carried over by a registration: the query's own, misplaced and blurred.

        Args:
            painted: (S, c, c) segments 0..L of the support's crops.
            query, labeling, kept, chosen, grid, cell: see `draw`.
        """
        rng = self.rng
        size = body_size(self._body(query), query.spacing)
        blur = PROPAGATED_BLUR * size
        spread = size * (_LOST if rng.random() < _CHANCE_LOST else math.exp(rng.normal(0, 0.4)))
        millimetres = (0.5 * np.asarray(query.spacing) * (np.asarray(query.shape) - 1))[::-1].copy()
        shift = rng.normal(0, _IN_PLANE * spread, 2)
        off = torch.from_numpy((shift + self._bend(grid.shape[0] // 4, _BENT * spread)) / millimetres).float()
        points = grid[1::4, 1::4] * math.exp(rng.normal(0, _SIZE)) + off
        slip = rng.normal(0, _THROUGH_PLANE * spread)
        shapes = torch.stack(
            [
                self._sections(query, labeling, label, chosen, points, blur, slip + rng.normal(0, _APART * spread))
                for label in kept
            ],
            dim=1,
        )
        expected = _blurred(shapes, blur / cell)
        shown = torch.stack([painted == segment for segment in range(1, len(kept) + 1)], dim=1).float()
        peak = torch.cat([expected, _blurred(shown, blur / cell)]).amax(dim=(0, 2, 3)).clamp(min=1e-3)
        fine = F.interpolate(expected / peak[:, None, None], scale_factor=2.0, mode="bilinear", align_corners=False)
        channels = torch.stack([fine.sqrt(), torch.ones_like(fine)], dim=2)
        return F.pad(channels, (0, 0, 0, 0, POSITION.start, 0))

    def _sections(
        self, query: Plane, labeling: str, label: int, chosen: list[int], points: Tensor, blur: float, slip: float
    ) -> Tensor:
        """(Q, h, w): a shape on some slices, misplaced by `slip` mm, blurred through them by a kernel of three."""
        around = np.round((np.array([-blur, 0.0, blur]) + slip) / query.gap).astype(int)
        wanted = (np.asarray(chosen)[:, None] + around).ravel()
        planes = query.take(query.volume.labelings[labeling], np.clip(wanted, 0, query.count - 1))
        planes = np.where(((wanted >= 0) & (wanted < query.count))[:, None, None], planes == label, False)
        found = sample(planes.astype(np.uint8), points, True).float()
        return torch.einsum("k,qkrc->qrc", _KERNEL, found.reshape(len(chosen), 3, *found.shape[1:]))

    def _bend(self, side: int, deviation: float) -> np.ndarray:
        """(side, side, 2): a smooth field of displacements along columns and rows."""
        bends = int(self.rng.integers(*_BENDS))
        field = torch.from_numpy(self.rng.normal(0, deviation, (1, 2, bends, bends)))
        return F.interpolate(field, size=side, mode="bicubic", align_corners=True)[0].permute(1, 2, 0).numpy()

    def _body(self, plane: Plane) -> tuple[int, int, int, int]:
        key = (plane.volume.name, plane.axis)
        if key not in self._bodies:
            self._bodies[key] = body_bounds(np.moveaxis(np.asarray(plane.volume.image), plane.axis, 0))
        return self._bodies[key]


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """(..., h, w) maps, blurred in the plane."""
    lead = (0,) * (maps.ndim - 2)
    return torch.from_numpy(gaussian_filter(maps.numpy(), (*lead, sigma, sigma)))
