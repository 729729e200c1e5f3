"""The labelmaps of a segmentation, each of which holds one or several segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from FewShotSegLib.labels import label_extents
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.representations import LABELMAP, withLabelmaps


@dataclass(frozen=True, eq=False)
class Layer:
    """A labelmap.

    :param array: Its values (k, j, i), as the scene holds them.
    :param first: Index (k, j, i) of its first voxel.
    :param toSegmentation: From its indices (i, j, k) to the segmentation's own coordinates.
    :param numbers: By its values, 1 + position of the segment among all of the segmentation.
    """

    array: np.ndarray
    first: np.ndarray
    toSegmentation: np.ndarray
    numbers: dict[int, int]

    def numbered(self, part: np.ndarray) -> np.ndarray:
        """Numbers of segments (uint16, 0 for none) in place of the labelmap's values.

        :param part: Values of the labelmap, of any shape.
        """
        if part.dtype.kind in "iu" and part.dtype.itemsize <= 2:
            # All segments at once: comparing with each takes as many times as long.
            count, known = 1 << 8 * part.dtype.itemsize, np.iinfo(part.dtype)
            table = np.zeros(count, np.uint16)
            for value, number in self.numbers.items():
                if known.min <= value <= known.max:
                    table[value % count] = number
            return table[part.view(f"u{part.dtype.itemsize}")]
        found = np.zeros(part.shape, np.uint16)
        for value, number in self.numbers.items():
            found[part == value] = number
        return found

    def extents(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """By number, the smallest part with all of a segment: its first index (k, j, i), and the one after its last."""
        return {
            number: (self.first + np.array([k, j, i]), self.first + np.array([kLast, jLast, iLast]) + 1)
            for number, (i, iLast, j, jLast, k, kLast) in label_extents(self.numbered(self.array)).items()
        }


def layersOf(content: Any, only: int | None = None) -> list[Layer]:
    """The labelmaps of a vtkSegmentation that hold anything.

    :param only: 1 + position of the one segment that is wanted.
    :raises SceneError: It holds surfaces that can't be converted.
    """
    content = withLabelmaps(content)
    numbers: dict[Any, dict[int, int]] = {}
    for number in range(1, content.GetNumberOfSegments() + 1):
        segment = content.GetNthSegment(number - 1)
        labelmap = segment.GetRepresentation(LABELMAP)
        empty = labelmap is None or not labelmap.GetNumberOfPoints() or not labelmap.GetPointData().GetScalars()
        if not empty and only in (None, number):
            numbers.setdefault(labelmap, {})[segment.GetLabelValue()] = number
    layers = []
    for labelmap, itsNumbers in numbers.items():
        array = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
        matrix = vtk.vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        layers.append(Layer(array, np.array(labelmap.GetExtent()[4::-2]), geometry.arrayOf(matrix), itsNumbers))
    return layers
