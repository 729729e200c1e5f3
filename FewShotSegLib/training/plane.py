"""A training volume seen as slices along one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .sources import TrainingVolume


class Plane:
    """A volume seen as slices along one axis."""

    def __init__(self, volume: TrainingVolume, axis: int) -> None:
        self.volume = volume
        self.axis = axis
        self.rest = [a for a in range(3) if a != axis]
        self.count = volume.image.shape[axis]
        self.shape = (volume.image.shape[self.rest[0]], volume.image.shape[self.rest[1]])
        self.spacing = (volume.spacing_kji[self.rest[0]], volume.spacing_kji[self.rest[1]])
        self.gap = volume.spacing_kji[axis]

    def take(self, array: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(indices), rows, columns)."""
        return np.stack([np.take(array, int(i), axis=self.axis) for i in indices])

    def thick(self, array: np.ndarray, indices: Sequence[int] | np.ndarray, thickness: int) -> np.ndarray:
        """Like `take`, each slice averaged with its neighbours over `thickness` slices."""
        if thickness == 1:
            return self.take(array, indices)
        around = np.arange(thickness) - (thickness - 1) // 2
        near = np.clip(np.asarray(indices)[:, None] + around, 0, self.count - 1)
        return np.stack([self.take(array, row).mean(axis=0, dtype=np.float32) for row in near])

    def of(self, box: tuple[slice, ...]) -> tuple[slice, slice]:
        """The sides of a box that lie in the slices."""
        return box[self.rest[0]], box[self.rest[1]]


def choose_axis(rng: np.random.Generator, volume: TrainingVolume) -> int:
    """Draws the axis that slices are taken along."""
    if len(volume.axes) == 1:
        return volume.axes[0]
    # axial slices are what most users paint
    weights = np.array([2.0 if a == 0 else 1.0 for a in volume.axes])
    return int(rng.choice(volume.axes, p=weights / weights.sum()))
