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
    """Shows an example slice in the view that lies along it; the others go through what is painted.

    :param row: The example.
    """
    _showVolume(row.volume)
    onSlice = _pointOnSlice(row.volume, row.axis, row.index)
    normal = sliceNormal(row.volume, row.axis)
    middle = _middleOfPainted(row.segmentation) or onSlice
    distance = sum((there - here) * part for there, here, part in zip(onSlice, middle, normal, strict=True))
    target = [here + distance * part for here, part in zip(middle, normal, strict=True)]
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*target)


def showSlice(volume: Any, axis: int, index: int, through: tuple[float, float] | None = None) -> None:
    """Shows a volume, and a slice of it in the views that lie along it.

    :param volume: A vtkMRMLVolumeNode.
    :param axis: Array axis across the slice (0=k, 1=j, 2=i).
    :param index: The slice's number.
    :param through: A pixel (row, column) of the slice that the other views go through; None if they stay.
    """
    _showVolume(volume)
    point = _pointOnSlice(volume, axis, index, through)
    for node in viewsAlong(volume, axis) if through is None else slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*point)


def _showVolume(volume: Any) -> None:
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetBackgroundVolumeID() != volume.GetID():
            node.SetBackgroundVolumeID(volume.GetID())


def _pointOnSlice(volume: Any, axis: int, index: int, pixel: tuple[float, float] | None = None) -> list[float]:
    """A pixel (row, column) of a slice, its middle if there is none, RAS in the world."""
    kji = [(count - 1) / 2 for n, count in enumerate(geometry.shapeOf(volume)) if n != axis]
    kji = list(pixel or kji)
    kji.insert(axis, index)
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
