"""Grids in space: shear, and one grid's voxels laid into another grid of the same lattice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

ROUNDED_SHEAR = 0.003
"""Up to this much shear (see `shear_of`) comes from direction cosines that were written with three decimals."""

_OFF_LATTICE = 0.25
"""How far voxels of one grid may be off those of the other, in voxels.

Half a voxel is another grid, for instance that of a program which counts from a voxel's corner; three decimals leave up
to 0.2 at the far end of 512 voxels.
"""


def shear_of(direction: ArrayLike) -> float:
    """How far axes are from perpendicular: the largest cosine of an angle between two of them, 0 for none.

    Args:
        direction: Direction cosines, 9 numbers row by row; the columns are the axes.
    """
    axes = np.reshape(direction, (3, 3))
    axes = axes / np.linalg.norm(axes, axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def nearest_rotation(direction: ArrayLike) -> tuple[float, ...]:
    """The perpendicular axes that are nearest to given ones, mirrored if those are; 9 numbers row by row."""
    left, _, right = np.linalg.svd(np.reshape(direction, (3, 3)))
    return tuple(float(cosine) for cosine in (left @ right).ravel())


def corner_indices(shape: Sequence[int]) -> np.ndarray:
    """Indices (8, 3) along i, j, k of the corner voxels of an array of shape (k, j, i)."""
    k, j, i = shape
    return np.array(list(product((0, i - 1), (0, j - 1), (0, k - 1))), float)


def lay_into(
    array: np.ndarray, voxel_to_patient: np.ndarray, target_to_patient: np.ndarray, target_shape: tuple[int, int, int]
) -> np.ndarray | None:
    """Brings voxels from one grid into another, if both are parts of one lattice.

    Args:
        array: Voxels (k, j, i).
        voxel_to_patient: Matrix (4, 4) from their indices (i, j, k, 1) to millimetres.
        target_to_patient: The same of the grid that they are brought into.
        target_shape: Its size, (k, j, i).

    Returns:
        An array of `target_shape`, 0 where the first grid has no voxels; None if the lattices differ in spacing,
        direction or by part of a voxel, or if the grids don't overlap.
    """
    to_target = np.linalg.inv(target_to_patient) @ voxel_to_patient
    for axis, count in enumerate(reversed(array.shape)):
        if count == 1:  # a single slice has a direction, but its spacing is that of no other slice
            to_target[:3, axis] /= np.linalg.norm(to_target[:3, axis])
    turn = np.rint(to_target[:3, :3])
    if not np.array_equal(np.abs(turn).sum(0), (1, 1, 1)) or not np.array_equal(np.abs(turn).sum(1), (1, 1, 1)):
        return None  # no mere reversal and exchange of axes
    corners = corner_indices(array.shape)
    placed = corners @ to_target[:3, :3].T + to_target[:3, 3]
    offset = np.rint((placed - corners @ turn.T).mean(0))
    if np.abs(placed - corners @ turn.T - offset).max() > _OFF_LATTICE:
        return None
    # From here on with axes in the target's order (i, j, k), all ascending.
    source = np.abs(turn).argmax(1)
    turned = array.transpose(2, 1, 0).transpose(source)
    turned = turned[tuple(slice(None, None, int(turn[axis, source[axis]])) for axis in range(3))]
    first = (np.rint(placed)).min(0).astype(int)
    inside, outside = [], []
    for start, count, size in zip(first, turned.shape, reversed(target_shape), strict=True):
        low, high = max(0, start), min(size, start + count)
        if low >= high:
            return None
        inside.append(slice(low, high))
        outside.append(slice(low - start, high - start))
    laid = np.zeros(target_shape, array.dtype)
    laid.transpose(2, 1, 0)[tuple(inside)] = turned[tuple(outside)]
    return laid
