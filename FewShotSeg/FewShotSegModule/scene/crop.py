"""Which part of a volume a run computes, and which part of it may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_input import Box
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError

#: The engine takes no volume thinner than this.
_THINNEST = 2


def allowedBox(query: Any, axis: int, sliceRange: Sequence[int] | None, roi: Any) -> Box:
    """Where results may change something.

    :param query: The volume to segment.
    :param axis: The axis along which the range counts.
    :param sliceRange: First and last slice; None for all.
    :param roi: A vtkMRMLMarkupsROINode, of which the bounds along the volume's own axes count; None for everywhere.
    :raises SceneError: Nothing is left.
    """
    shape = geometry.shapeOf(query)
    start, stop = np.zeros(3, int), np.array(shape)
    if sliceRange is not None:
        first, last = sliceRange
        if not 0 <= first <= last < shape[axis]:
            raise SceneError(
                _("The slices {first} to {last} are no range within 0 to {end}.").format(
                    first=first, last=last, end=shape[axis] - 1
                )
            )
        start[axis], stop[axis] = first, last + 1
    if roi is not None:
        low, high = _roiBounds(query, roi)
        start, stop = np.maximum(start, low), np.minimum(stop, high)
        if (start >= stop).any():
            raise SceneError(
                _("The region {roi} and {volume} (within the chosen slices) have nothing in common.").format(
                    roi=roi.GetName(), volume=query.GetName()
                )
            )
    return boxOf(start, stop)


def computedBox(allowed: Box, axis: int, painted: Sequence[tuple[int, int, np.ndarray]]) -> Box:
    """What is computed: what may change, and what the examples around it show.

    The nearest painted slice on either side is taken in, since a structure is known best between painted slices; and so
    is, in the plane, what is painted on the slices taken in, since half a structure is no example of it.

    :param allowed: Where results may change something.
    :param axis: The axis along which most examples are painted.
    :param painted: Axis, index and mask of the examples on the volume itself.
    """
    start, stop = np.array(allowed[0]), np.array(allowed[1])
    along = sorted(index for a, index, _mask in painted if a == axis)
    if along:
        start[axis] = max((i for i in along if i <= start[axis]), default=start[axis])
        stop[axis] = min((i for i in along if i >= stop[axis] - 1), default=stop[axis] - 1) + 1
    for a, index, mask in painted:
        others = [n for n in range(3) if n != a]
        if a == axis and start[axis] <= index < stop[axis]:
            for n, line in zip(others, (mask.any(axis=1), mask.any(axis=0)), strict=True):
                there = np.flatnonzero(line)
                if there.size:
                    start[n], stop[n] = min(start[n], there[0]), max(stop[n], there[-1] + 1)
    return boxOf(start, stop)


def thickEnough(box: Box, shape: Sequence[int]) -> Box:
    """A box that has at least as many slices along each axis as the engine needs, as far as the volume has them."""
    start, stop = np.array(box[0]), np.array(box[1])
    for axis in range(3):
        while stop[axis] - start[axis] < min(_THINNEST, shape[axis]):
            if stop[axis] < shape[axis]:
                stop[axis] += 1
            else:
                start[axis] -= 1
    return boxOf(start, stop)


def _roiBounds(query: Any, roi: Any) -> tuple[np.ndarray, np.ndarray]:
    """First voxel and the one after the last, along (k, j, i), whose centres lie in the bounds of a region."""
    if not roi.IsA("vtkMRMLMarkupsROINode"):
        raise SceneError(_("A region of interest is needed, not {what}.").format(what=geometry.describe(roi)))
    size = [0.0, 0.0, 0.0]
    roi.GetSizeWorld(size)
    if min(size) <= 0:
        raise SceneError(_("The region {roi} is empty; place it in a view first.").format(roi=roi.GetName()))
    objectToWorld = geometry.arrayOf(roi.GetObjectToWorldMatrix())
    objectToWorld[:3, :3] /= np.linalg.norm(objectToWorld[:3, :3], axis=0)
    corners = np.array([[x, y, z, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners[:, :3] *= size
    toVoxels = np.linalg.inv(geometry.toWorld(query) @ geometry.ijkToRas(query))
    ijk = (corners @ objectToWorld.T @ toVoxels.T)[:, :3]
    low, high = np.ceil(ijk.min(axis=0) - 1e-6), np.floor(ijk.max(axis=0) + 1e-6)
    return low[::-1].astype(int), high[::-1].astype(int) + 1


def boxOf(start: np.ndarray, stop: np.ndarray) -> Box:
    """A box of two arrays: first voxel (k, j, i), and the voxel after the last one."""
    first, last = tuple(int(n) for n in start), tuple(int(n) for n in stop)
    return (first[0], first[1], first[2]), (last[0], last[1], last[2])
