"""Frames: the rectangle of a slice, in millimetres, that the network sees, and at what scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GRAIN = 32
"""Sides of network images are multiples of the deepest stride."""


@dataclass(frozen=True)
class Frame:
    """A rectangle of a plane, resampled to isotropic pixels.

    Attributes:
        top, left: first row and column of the source, may be negative (outside is filled).
        rows, columns: extent in source pixels.
        height, width: size of the network's image, multiples of 32.
    """

    top: int
    left: int
    rows: int
    columns: int
    height: int
    width: int

    @property
    def half(self) -> tuple[int, int]:
        """Size at stride 2, where evidence and logits live."""
        return self.height // 2, self.width // 2

    @property
    def area(self) -> int:
        """Pixels of the network's image."""
        return self.height * self.width

    def pixel(self, spacing: tuple[float, float]) -> float:
        """Pixel size of the network's image in mm (mean of both axes)."""
        return 0.5 * (self.rows * spacing[0] / self.height + self.columns * spacing[1] / self.width)

    def inside(self, planes: np.ndarray) -> np.ndarray:
        """The part of (N, rows, columns) whole slices that the frame shows, as a view."""
        rows, columns = self._overlap(planes.shape[-2:])[0]
        return planes[:, rows, columns]

    def cut(self, planes: np.ndarray, size: tuple[int, int] | None = None, fill: float = 0.0) -> Tensor:
        """Resamples planes to the frame.

        Args:
            planes: (N, rows, columns) of the whole slices, real.
            size: (height, width) wanted, the frame's own if None.
            fill: value outside the source.

        Returns:
            (N, height, width) float32; averaged where pixels get larger, bilinear where they get smaller.
        """
        region = self._region(planes, fill).astype(np.float32)
        source = torch.from_numpy(np.ascontiguousarray(region))[:, None]
        size = size or (self.height, self.width)
        return F.interpolate(source, size=size, mode="bilinear", align_corners=False, antialias=True)[:, 0]

    def cut_labels(self, planes: np.ndarray, size: tuple[int, int] | None = None) -> Tensor:
        """(N, rows, columns) integer labels -> (N, height, width) int64, nearest pixel."""
        region = self._region(planes, 0)
        height, width = size or (self.height, self.width)
        r = ((np.arange(height) + 0.5) * self.rows / height).astype(int)
        c = ((np.arange(width) + 0.5) * self.columns / width).astype(int)
        return torch.from_numpy(region[:, r[:, None], c[None, :]].astype(np.int64))

    def paste(self, maps: Tensor, shape: tuple[int, int]) -> tuple[Tensor, tuple[slice, slice]]:
        """Brings maps on the frame to the pixels of whole slices, bilinear.

        Args:
            maps: (..., h, w), at any resolution of the frame.
            shape: (rows, columns) of the whole slice.

        Returns:
            (..., r, c) float32, the part of the maps that lies on the slice; and where: its rows and columns.
        """
        flat = maps.reshape(1, -1, *maps.shape[-2:]).float()
        region = F.interpolate(flat, size=(self.rows, self.columns), mode="bilinear", align_corners=False)[0]
        inside, (rows, columns) = self._overlap(shape)
        return region.reshape(*maps.shape[:-2], self.rows, self.columns)[..., rows, columns], inside

    def _overlap(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.rows, shape[0]), min(self.left + self.columns, shape[1])
        return (
            (slice(top, bottom), slice(left, right)),
            (slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)),
        )

    def _region(self, planes: np.ndarray, fill: float) -> np.ndarray:
        inside, source = self._overlap(planes.shape[-2:])
        whole = (self.rows, self.columns) == (inside[0].stop - inside[0].start, inside[1].stop - inside[1].start)
        if whole:
            return planes[:, inside[0], inside[1]]
        region = np.full((len(planes), self.rows, self.columns), fill, dtype=planes.dtype)
        region[:, source[0], source[1]] = planes[:, inside[0], inside[1]]
        return region


Bounds = tuple[int, int, int, int]
"""top, bottom, left, right in source pixels, end exclusive."""


def bounds_of(mask: np.ndarray) -> Bounds | None:
    """Bounding box of a 2D boolean mask, None if empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def widen(
    bounds: Bounds, margin_mm: tuple[float, float], spacing: tuple[float, float], shape: tuple[int, int]
) -> Bounds:
    """Bounds with a (row, column) margin in mm on each side, kept inside the plane."""
    r, c = (int(np.ceil(m / d)) for m, d in zip(margin_mm, spacing, strict=True))
    return (
        max(bounds[0] - r, 0),
        min(bounds[1] + r, shape[0]),
        max(bounds[2] - c, 0),
        min(bounds[3] + c, shape[1]),
    )


def frame_around(
    bounds: Bounds, spacing: tuple[float, float], side: int = 256, finest: float = 0.25, pixel: float | None = None
) -> Frame:
    """Frame that shows a rectangle with isotropic pixels, its longer side about `side` pixels.

    Args:
        bounds: rectangle to show.
        spacing: (row, column) pixel size in mm of the source.
        side: longest side of the network's image.
        finest: pixels get no smaller than this fraction of the finer source spacing.
        pixel: pixel size in mm to use instead (made coarser if `side` asks for it).
    """
    height_mm = (bounds[1] - bounds[0]) * spacing[0]
    width_mm = (bounds[3] - bounds[2]) * spacing[1]
    fit = max(height_mm, width_mm) / side
    size = max(fit, finest * min(spacing) if pixel is None else pixel)
    height = min(max(int(np.ceil(height_mm / size / GRAIN - 0.05)), 1) * GRAIN, side)
    width = min(max(int(np.ceil(width_mm / size / GRAIN - 0.05)), 1) * GRAIN, side)
    rows = max(int(round(height * size / spacing[0])), 1)
    columns = max(int(round(width * size / spacing[1])), 1)
    top = (bounds[0] + bounds[1] - rows) // 2
    left = (bounds[2] + bounds[3] - columns) // 2
    return Frame(top, left, rows, columns, height, width)


def union(bounds: list[Bounds]) -> Bounds:
    """Smallest rectangle around several."""
    return (
        min(b[0] for b in bounds),
        max(b[1] for b in bounds),
        min(b[2] for b in bounds),
        max(b[3] for b in bounds),
    )


def body_bounds(stack: np.ndarray) -> Bounds:
    """Rectangle of everything that is not the dark surround, over all slices of (Z, rows, columns)."""
    low, high = np.percentile(stack[:: max(len(stack) // 32, 1)], [2, 98])
    mask = (stack > low + 0.08 * (high - low)).mean(axis=0) > 0.02
    return bounds_of(mask) or (0, stack.shape[1], 0, stack.shape[2])


def body_size(body: Bounds, spacing: tuple[float, float]) -> float:
    """Side in mm of a square as large as a body's bounding box."""
    return float(np.sqrt((body[1] - body[0]) * spacing[0] * (body[3] - body[2]) * spacing[1]))


def is_whole(body: Bounds, shape: tuple[int, ...]) -> bool:
    """Whether a body's bounding box shows the whole body: it keeps off at least two borders of the plane."""
    margins = (body[0], shape[0] - body[1], body[2], shape[1] - body[3])
    return sum(margin >= 0.01 * max(shape) for margin in margins) >= 2
