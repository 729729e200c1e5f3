"""Names positions of slices as Slicer does: a letter for the side and millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from FewShotSegModule.scene import geometry

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
