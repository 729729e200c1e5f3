"""A volume as a stack of slices, and how slices of another volume lie relative to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from ..volume import Volume
from .frame import Bounds, body_bounds


@dataclass(frozen=True)
class SliceView:
    """A volume as (Z, rows, columns) along one array axis; the in-plane axes keep their order.

    Attributes:
        volume: the volume.
        axis: array axis across the slices.
    """

    volume: Volume
    axis: int

    @property
    def array(self) -> np.ndarray:
        """(Z, rows, columns), a view of the volume's array."""
        return np.moveaxis(self.volume.array, self.axis, 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, rows, columns)."""
        count, rows, columns = self.array.shape
        return count, rows, columns

    @property
    def gap(self) -> float:
        """Distance between slices in mm."""
        return self.volume.spacing_kji[self.axis]

    @property
    def pixel(self) -> tuple[float, float]:
        """(row, column) pixel size in mm."""
        rest = [d for a, d in enumerate(self.volume.spacing_kji) if a != self.axis]
        return rest[0], rest[1]

    @cached_property
    def body(self) -> Bounds:
        """Bounding box of the body in the plane."""
        return body_bounds(self.array)

    @property
    def directions(self) -> np.ndarray:
        """(3, 3): unit vectors in patient space of slice, row and column axis, one a row."""
        columns = np.asarray(self.volume.direction, float).reshape(3, 3)
        by_array_axis = columns.T[::-1]  # array axes k, j, i are the image's axes in reverse
        order = [self.axis] + [a for a in range(3) if a != self.axis]
        return by_array_axis[order]


@dataclass(frozen=True)
class PlaneTurn:
    """How to lay a slice of one volume as slices of another lie: transpose, then flip rows and columns."""

    transpose: bool
    flip_rows: bool
    flip_columns: bool

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """(..., rows, columns) -> a view of the turned planes."""
        if self.transpose:
            planes = planes.swapaxes(-1, -2)
        if self.flip_rows:
            planes = planes[..., ::-1, :]
        if self.flip_columns:
            planes = planes[..., ::-1]
        return planes

    def bounds(self, bounds: Bounds, shape: tuple[int, ...]) -> Bounds:
        """Where a rectangle of a (rows, columns) plane lies on the turned plane."""
        top, bottom, left, right = bounds
        rows, columns = shape
        if self.transpose:
            top, bottom, left, right = left, right, top, bottom
            rows, columns = columns, rows
        if self.flip_rows:
            top, bottom = rows - bottom, rows - top
        if self.flip_columns:
            left, right = columns - right, columns - left
        return top, bottom, left, right

    def back(self, row: float, column: float, shape: tuple[int, ...]) -> tuple[float, float]:
        """Where a point of the turned plane lies on the (rows, columns) plane before it was turned."""
        rows, columns = shape[::-1] if self.transpose else shape
        if self.flip_rows:
            row = rows - 1 - row
        if self.flip_columns:
            column = columns - 1 - column
        return (column, row) if self.transpose else (row, column)

    def pixel(self, size: tuple[float, float]) -> tuple[float, float]:
        """(row, column) pixel size of the turned plane."""
        return (size[1], size[0]) if self.transpose else size


AS_IT_LIES = PlaneTurn(False, False, False)
"""No turn."""


def matching_axis(query: Volume, example: SliceView) -> int:
    """Array axis of the query whose slices lie most like the example's."""
    alike = [abs(float(SliceView(query, axis).directions[0] @ example.directions[0])) for axis in range(3)]
    # Oblique volumes can tie; then the same array axis is the likeliest.
    alike[example.axis] += 0.05
    return int(np.argmax(alike))


def turn_between(example: SliceView, query: SliceView) -> PlaneTurn:
    """Turn that lays the example's slices as the query's lie, by the axes' directions in the patient.

    Only turns by right angles and mirrorings are considered; whatever obliqueness is left is small enough for the
    network. Where two turns fit about equally well (oblique scans of different tilt), the one that does less wins.
    """
    rows_columns = query.directions[1:]
    best, best_score = PlaneTurn(False, False, False), -np.inf
    for order in permutations((0, 1)):
        source = example.directions[1:][list(order)]
        cosines = np.einsum("ij,ij->i", source, rows_columns)
        score = float(np.abs(cosines).sum()) + (0.1 if order == (0, 1) else 0.0)
        if score > best_score:
            flips = [bool(c < -0.05) for c in cosines]
            best, best_score = PlaneTurn(order == (1, 0), flips[0], flips[1]), score
    return best
