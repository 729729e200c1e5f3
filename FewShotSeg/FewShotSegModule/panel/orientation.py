"""Names positions of slices as Slicer does: a letter for the side and millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vtk

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
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    toWorld = vtk.vtkMatrix4x4()
    transform = volume.GetParentTransformNode()
    if transform is not None and transform.IsTransformToWorldLinear():
        transform.GetMatrixTransformToWorld(toWorld)
    vtk.vtkMatrix4x4.Multiply4x4(toWorld, matrix, matrix)
    # The normal is what the other two directions leave: the columns need not be at right angles.
    one, other = ([matrix.GetElement(row, column) for row in range(3)] for column in range(3) if column != 2 - axis)
    normal = [0.0, 0.0, 0.0]
    vtk.vtkMath.Cross(one, other, normal)
    along = [matrix.GetElement(row, 2 - axis) for row in range(3)]
    length = vtk.vtkMath.Norm(normal) * (1 if vtk.vtkMath.Dot(normal, along) >= 0 else -1)
    right, anterior, superior = (part / length for part in normal)
    return right, anterior, superior
