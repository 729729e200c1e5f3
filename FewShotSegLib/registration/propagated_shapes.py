"""Where the structures of other volumes' examples lie in the query, carried over by registration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from ..plan import Tick, no_tick
from ..preprocessing.frame import body_bounds, body_size
from ..preprocessing.views import SliceView
from ..priors import PROPAGATED_BLUR
from ..volume import Volume
from .painted_stack import PaintedStack

# Sizes as parts of the body's: of a cell, and how far a structure goes on beyond its last painted slice at least.
_CELL = 1 / 56
_FADE = 0.08
_LEAST_CELLS = 8
_MOST_VOLUMES = 6


def propagated_positions(
    view: SliceView,
    stacks: list[PaintedStack],
    segments: int,
    register: Callable[[PaintedStack], sitk.Transform],
    tick: Tick = no_tick,
) -> np.ndarray:
    """Where in the query each segment is to be expected.

    The painted slices of each volume are completed (between them linearly, beyond them fading), blurred, and carried to
    the query by a registration; several volumes are averaged.

    Args:
        view: the query.
        stacks: painted slices of other volumes, at least one stack; of many, the first ones count.
        segments: L.
        register: how points of the query lie in the volume of a stack.
        tick: called with 1 for each of the `counted` stacks; may raise to cancel.

    Returns:
        (L, Z, rows, columns) float32 in [0, 1], over whole slices of the view, in coarse cells.
    """
    size = body_size(body_bounds(view.array), view.pixel)
    grid = coarse_grid(view.volume, _CELL * size, whole_axis=view.axis)
    stacks = counted(stacks)
    total = np.zeros((segments, *grid.GetSize()[::-1]), np.float32)
    for painted in stacks:
        transform = register(painted)
        tick(1)
        for place, image in zip(total, _completed(painted, segments, size), strict=True):
            place += sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, 0.0))
    return np.moveaxis(total / len(stacks), 1 + view.axis, 1)


def counted(stacks: list[PaintedStack]) -> list[PaintedStack]:
    """The stacks that are registered: of many, the first ones."""
    return stacks[:_MOST_VOLUMES]


def _completed(painted: PaintedStack, segments: int, size: float) -> list[sitk.Image]:
    """Blurred shapes of each segment in the volume that they were painted in."""
    volume, axis = painted.view.volume, painted.view.axis
    grid = coarse_grid(volume, _CELL * size)
    counts = list(grid.GetSize()[::-1])
    depth = counts.pop(axis)
    one_hot = torch.from_numpy(np.stack([painted.masks == segment for segment in range(1, segments + 1)], axis=1))
    small = F.interpolate(one_hot.float(), size=counts, mode="area").numpy()
    fade = _FADE * size / volume.spacing_kji[axis]
    weights = _weights(painted.positions, volume.shape[axis], depth, fade)
    shapes = np.moveaxis(np.einsum("zp,plrc->lzrc", weights, small), 1, 1 + axis)
    sigma = [PROPAGATED_BLUR * size / s for s in grid.GetSpacing()[::-1]]
    images = []
    for shape in shapes:
        image = sitk.GetImageFromArray(gaussian_filter(shape, sigma).astype(np.float32))
        image.CopyInformation(grid)
        images.append(image)
    return images


def _weights(positions: list[int], count: int, depth: int, fade: float) -> np.ndarray:
    """(depth, P): how much each painted slice says about each of `depth` coarse slices of a stack of `count`."""
    centers = (np.arange(depth) + 0.5) * count / depth - 0.5
    weights = np.stack([np.interp(centers, positions, row) for row in np.eye(len(positions))], axis=1)
    beyond = np.maximum(np.maximum(positions[0] - centers, centers - positions[-1]), 0)
    if len(positions) > 1:
        fade = max(fade, 0.5 * float(np.mean(np.diff(positions))))
    return weights * np.exp(-0.5 * (beyond / fade) ** 2)[:, None]


def coarse_grid(volume: Volume, voxel_mm: float, whole_axis: int | None = None) -> sitk.Image:
    """An empty image that covers a volume with larger voxels.

    Args:
        volume: what to cover.
        voxel_mm: about the wanted spacing.
        whole_axis: array axis that keeps its voxels.
    """
    counts = []
    for axis, (count, spacing) in enumerate(zip(volume.shape, volume.spacing_kji, strict=True)):
        few = max(int(round(count * spacing / voxel_mm)), min(count, _LEAST_CELLS))
        counts.append(count if axis == whole_axis else min(few, count))
    old = np.asarray(volume.spacing)
    new = old * np.asarray(volume.shape[::-1]) / np.asarray(counts[::-1])
    direction = np.reshape(volume.direction, (3, 3))
    grid = sitk.Image(counts[::-1], sitk.sitkFloat32)
    grid.SetSpacing(new.tolist())
    grid.SetOrigin((np.asarray(volume.origin) + direction @ (0.5 * (new - old))).tolist())
    grid.SetDirection(volume.direction)
    return grid
