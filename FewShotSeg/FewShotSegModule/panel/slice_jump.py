"""Moves the slice views to an example."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from FewShotSegModule.panel.orientation import sliceNormal
from FewShotSegModule.scene import geometry


def jumpTo(row: Any) -> None:
    """Shows an example slice in the view that lies along it; the others go through what is painted.

    :param row: The ExampleSlice.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetBackgroundVolumeID() != row.volume.GetID():
            node.SetBackgroundVolumeID(row.volume.GetID())
    onSlice = _pointOnSlice(row.volume, row.axis, row.index)
    normal = sliceNormal(row.volume, row.axis)
    middle = _middleOfPainted(row.segmentation) or onSlice
    distance = sum((there - here) * part for there, here, part in zip(onSlice, middle, normal, strict=True))
    target = [here + distance * part for here, part in zip(middle, normal, strict=True)]
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*target)


def _pointOnSlice(volume: Any, axis: int, index: int) -> list[float]:
    """The middle of a slice, RAS in the world."""
    kji = [(count - 1) / 2 for count in geometry.shapeOf(volume)]
    kji[axis] = index
    point = (geometry.ijkToRas(volume) @ [*kji[::-1], 1.0])[:3].tolist()
    transform = volume.GetParentTransformNode()
    if transform is not None:
        toWorld = vtk.vtkGeneralTransform()
        transform.GetTransformToWorld(toWorld)
        point = list(toWorld.TransformPoint(point))
    return point


def _middleOfPainted(segmentation: Any) -> list[float] | None:
    """The middle of all that is painted, RAS in the world; None where nothing is."""
    bounds = [0.0] * 6
    segmentation.GetRASBounds(bounds)
    if bounds[0] > bounds[1]:
        return None
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
