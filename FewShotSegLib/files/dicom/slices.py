"""One slice of a DICOM series as its header describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


def unit_rows(orientation: Sequence[float]) -> np.ndarray:
    """Unit vectors (2, 3) of six direction cosines; ValueError if they aren't two directions."""
    rows = np.reshape(orientation, (2, 3)).astype(float)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(rows).all() or lengths.min() < 0.1:
        raise ValueError(f"its orientation is {tuple(orientation)}, expected two unit vectors")
    rows = rows / lengths
    if abs(rows[0] @ rows[1]) > 0.1:
        raise ValueError(f"its orientation is {tuple(orientation)}, expected two perpendicular vectors")
    return rows


@dataclass(frozen=True, eq=False)
class Slice:
    """A plane of voxels: a file, or a frame of one.

    Attributes:
        path: The file.
        frame: Which frame of it, from 0.
        size: Columns and rows.
        spacing: Millimetres between columns and between rows.
        position: Centre of the first voxel, LPS mm (3).
        rows: Unit vectors (2, 3): along a row (i) and down a column (j).
        kind: What can't be in one stack with another kind: series, modality, type of voxels.
        marks: What may tell several volumes of one kind apart, by attribute: acquisition, echo, time.
        number: Its place in the series as the scanner counts it.
        thickness: Millimetres, 0 if unknown.
        description: Of the series.
        rescale: Slope and intercept that bring a frame's values, scaled as the file's first frame, to its own scale.
    """

    path: Path
    size: tuple[int, int]
    spacing: tuple[float, float]
    position: np.ndarray
    rows: np.ndarray
    kind: tuple[str, ...]
    marks: dict[str, str] = field(default_factory=dict)
    number: float = 0.0
    thickness: float = 0.0
    description: str = ""
    frame: int = 0
    rescale: tuple[float, float] = (1.0, 0.0)

    @property
    def normal(self) -> np.ndarray:
        """Unit vector (3) across the slice."""
        normal = np.cross(self.rows[0], self.rows[1])
        return normal / np.linalg.norm(normal)

    def is_like(self, other: Slice) -> bool:
        """Whether both can be slices of one stack; orientations may differ by what rounding leaves."""
        return (
            self.kind == other.kind
            and self.size == other.size
            and np.allclose(self.spacing, other.spacing, rtol=1e-3, atol=0)
            and bool(np.abs(self.rows - other.rows).max() <= 0.01)
        )
