"""Where a slice lies: named as Slicer does, by a letter for the side and millimetres, and the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.slice_views import viewsAlong

#: Negative and positive end of the axes R, A and S.
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


def positionText(normal: Sequence[float], positionMm: float) -> str:
    """For instance "S 12.5 mm"; the letter is that of the anatomical axis nearest to the slice's normal.

    :param normal: The slice's normal, right-anterior-superior (RAS).
    :param positionMm: Position of the slice along that normal.
    """
    axis = max(range(3), key=lambda number: abs(normal[number]))
    towardsPositive = (positionMm >= 0) == (normal[axis] >= 0)
    return f"{_LETTERS[axis][towardsPositive]} {abs(positionMm):.1f} mm"


def sliceNormal(volume: Any, axis: int) -> tuple[float, float, float]:
    """Direction in which the numbers of a volume's slices grow, RAS, of length 1.

    :param volume: A vtkMRMLVolumeNode.
    :param axis: Array axis along which the slices are counted (0=k, 1=j, 2=i).
    """
    matrix = geometry.ijkToRas(volume)
    if geometry.isLinear(volume):
        matrix = geometry.toWorld(volume) @ matrix
    along = matrix[:3, 2 - axis]
    # The normal is at right angles to the other two directions, which need not be so to `along`.
    one, other = (matrix[:3, number] for number in range(3) if number != 2 - axis)
    normal = np.cross(one, other)
    normal *= np.sign(normal @ along) / np.linalg.norm(normal)
    right, anterior, superior = normal.tolist()
    return right, anterior, superior


def placeText(volume: Any, axis: int, index: int) -> str:
    """Where a volume's slice lies, in words: "S 12.5 mm".

    :param volume: A vtkMRMLVolumeNode.
    :param axis: Array axis along which the slices are counted (0=k, 1=j, 2=i).
    :param index: The slice's number.
    """
    matrix, kji = geometry.ijkToRas(volume), [0.0, 0.0, 0.0]
    if geometry.isLinear(volume):
        matrix = geometry.toWorld(volume) @ matrix
    kji[axis] = index
    normal = sliceNormal(volume, axis)
    return positionText(normal, float(normal @ (matrix @ [*kji[::-1], 1.0])[:3]))


def jumpTo(row: ExampleSlice) -> None:
    """Shows an example slice in the views that lie along it; the others go through what is painted.

    :param row: The example.
    """
    showSlice(row.volume, row.axis, row.index, row.segmentation)


def showSlice(volume: Any, axis: int, index: int, segmentation: Any = None) -> None:
    """Shows a volume, and a slice of it in the views that lie along it.

    :param volume: A vtkMRMLVolumeNode.
    :param axis: Array axis across the slice (0=k, 1=j, 2=i).
    :param index: The slice's number.
    :param segmentation: The other views go through the middle of it; without it they stay where they are.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetBackgroundVolumeID() != volume.GetID():
            node.SetBackgroundVolumeID(volume.GetID())
    onSlice = _pointOnSlice(volume, axis, index)
    if segmentation is None:
        for node in viewsAlong(volume, axis):
            node.JumpSliceByOffsetting(*onSlice)
        return
    normal = sliceNormal(volume, axis)
    middle = _middleOfPainted(segmentation) or onSlice
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
