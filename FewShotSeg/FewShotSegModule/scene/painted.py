"""What is painted in a segmentation, seen on the grid of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_input import Box
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.crop import boxOf
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.layers import Layer, layersOf
from FewShotSegModule.scene.segment_info import SegmentInfo

#: How far indices may be off a whole number, in voxels, for two grids to count as one.
_TOLERANCE = 0.02
#: Voxels of another grid that are looked up at once, which bounds memory.
_AT_ONCE = 2**20


class Painted:
    """Reads painted slices. Where segments overlap on a slice, the later one in the list of segments counts.

    Nothing is kept: each call shows the segmentation as it is then.

    Example::

        painted = Painted(volume, segmentation)
        labels = painted.plane(axis=0, index=12)  # 0, or 1 + position in painted.segments()

    :param volume: The vtkMRMLScalarVolumeNode on whose grid slices are wanted.
    :param segmentation: The vtkMRMLSegmentationNode; its grid may be another one, which is then resampled by nearest
        neighbours.
    :raises SceneError: The nodes are not what they should be, or lie under transforms that are not linear.
    """

    def __init__(self, volume: Any, segmentation: Any) -> None:
        geometry.requireImage(volume)
        if segmentation is None or not segmentation.IsA("vtkMRMLSegmentationNode"):
            raise SceneError(_("A segmentation is needed, not {what}.").format(what=geometry.describe(segmentation)))
        toSegmentation = geometry.between(volume, segmentation) @ geometry.ijkToRas(volume)
        self._setUp(segmentation.GetSegmentation(), geometry.shapeOf(volume), toSegmentation)

    @classmethod
    def onGrid(cls, content: Any, shape: tuple[int, int, int], toSegmentation: np.ndarray) -> Painted:
        """Reads a vtkSegmentation on a grid that belongs to no volume.

        :param shape: Voxels of the grid along (k, j, i).
        :param toSegmentation: From the grid's indices (i, j, k) to the segmentation's own coordinates.
        """
        painted = cls.__new__(cls)
        painted._setUp(content, shape, toSegmentation)
        return painted

    def _setUp(self, content: Any, shape: tuple[int, int, int], toSegmentation: np.ndarray) -> None:
        self._content, self._shape, self._toSegmentation = content, shape, toSegmentation

    def segments(self) -> list[SegmentInfo]:
        """All segments, in their order."""
        return [self._info(number) for number in range(self._content.GetNumberOfSegments())]

    def plane(self, axis: int, index: int, only: int | None = None) -> np.ndarray:
        """Labels of a slice, of the shape of the volume's slice: 0, or 1 + position among the segments.

        :param only: 1 + position of the one segment that is wanted, also where others overlap it.
        """
        start, stop = [0, 0, 0], list(self._shape)
        start[axis], stop[axis] = index, index + 1
        return self.part(((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])), only).squeeze(axis)

    def whole(self, only: int | None = None) -> np.ndarray:
        """Labels of all voxels (k, j, i); see `plane`."""
        return self.part(((0, 0, 0), self._shape), only)

    def part(self, box: Box, only: int | None = None) -> np.ndarray:
        """Labels of a part of the volume, in the type uint16; see `plane`.

        :param box: The part, within the volume.
        """
        start, stop = np.array(box[0]), np.array(box[1])
        labels = np.zeros(stop - start, np.uint16)
        for layer, toLayer in self._layers(only):
            reach = _within(_reachOf(layer, toLayer), start, stop)
            if reach is None:
                continue
            into = labels[_slices(reach[0] - start, reach[1] - start)]
            offset = _wholeOffset(toLayer)
            if offset is not None:
                there = layer.array[_slices(reach[0] + offset - layer.first, reach[1] + offset - layer.first)]
                np.maximum(into, layer.numbered(there), out=into)
            else:
                _sample(into, reach[0], layer, toLayer)
        return labels

    def extents(self) -> list[Box | None]:
        """Of each segment, a part of the volume outside of which there is none of it; None where there is none at all.

        Where the grids are one, it is the smallest such part.
        """
        found: list[Box | None] = [None] * self._content.GetNumberOfSegments()
        for layer, toLayer in self._layers():
            offset = _wholeOffset(toLayer)
            if offset is not None:
                parts = {number: (start - offset, stop - offset) for number, (start, stop) in layer.extents().items()}
            else:
                parts = dict.fromkeys(layer.numbers.values(), _reachOf(layer, toLayer))
            for number, (start, stop) in parts.items():
                part = _within((start, stop), np.zeros(3, int), np.array(self._shape))
                if part is not None:
                    found[number - 1] = boxOf(*part)
        return found

    def points(self) -> np.ndarray:
        """Indices (n, 3), (k, j, i), of all voxels of the volume that any segment covers."""
        return np.argwhere(self.whole())

    # Where the voxels are

    def _info(self, number: int) -> SegmentInfo:
        segment = self._content.GetNthSegment(number)
        tag = vtk.reference("")
        found = segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        red, green, blue = segment.GetColor()
        return SegmentInfo(
            id=self._content.GetNthSegmentID(number),
            name=segment.GetName() or "",
            color=(red, green, blue),
            tag=str(tag) if found else "",
        )

    def _layers(self, only: int | None = None) -> list[tuple[Layer, np.ndarray]]:
        """The labelmaps (with `only`, the one of that segment), and matrices from the volume's indices to theirs."""
        layers = layersOf(self._content, only)
        return [(layer, np.linalg.inv(layer.toSegmentation) @ self._toSegmentation) for layer in layers]


def _reachOf(layer: Layer, toLayer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First voxel (k, j, i) of the volume's grid that a labelmap reaches, and the one after its last."""
    offset = _wholeOffset(toLayer)
    if offset is not None:
        return layer.first - offset, layer.first - offset + layer.array.shape
    ends = [(f - 0.5, f + n - 0.5) for f, n in zip(layer.first, layer.array.shape, strict=True)]
    corners = np.array([[i, j, k, 1.0] for k in ends[0] for j in ends[1] for i in ends[2]])
    inside = (corners @ np.linalg.inv(toLayer).T)[:, 2::-1]
    return np.floor(inside.min(axis=0)).astype(int), np.ceil(inside.max(axis=0)).astype(int) + 1


def _sample(labels: np.ndarray, start: np.ndarray, layer: Layer, toLayer: np.ndarray) -> None:
    """Marks segments of another grid in a part of the volume, whose first voxel is `start`, by the nearest voxel."""
    together = max(1, _AT_ONCE // max(1, labels[0].size))
    for first in range(0, len(labels), together):
        into = labels[first : first + together]
        ranges = [np.arange(at, at + n) for at, n in zip(start + np.array([first, 0, 0]), into.shape, strict=True)]
        k, j, i = np.meshgrid(*ranges, indexing="ij", sparse=True)
        inside: np.ndarray = np.array(True)
        indices = []
        for row, begin, count in zip((2, 1, 0), layer.first, layer.array.shape, strict=True):
            weights = toLayer[row]
            at = np.rint(weights[0] * i + weights[1] * j + weights[2] * k + weights[3]).astype(np.intp) - begin
            inside = inside & (at >= 0) & (at < count)
            indices.append(np.clip(at, 0, count - 1))
        numbers = layer.numbered(layer.array[tuple(indices)])
        np.maximum(into, np.where(inside, numbers, 0), out=into)


def _within(
    part: tuple[np.ndarray, np.ndarray], start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What a part has in common with another; None if nothing."""
    first, last = np.maximum(part[0], start), np.minimum(part[1], stop)
    return (first, last) if (first < last).all() else None


def _slices(start: np.ndarray, stop: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))


def _wholeOffset(matrix: np.ndarray) -> np.ndarray | None:
    """The offset (k, j, i) in voxels if a matrix (of i, j, k) does no more than that, else None."""
    # Over a thousand voxels, which few volumes have, this is the deviation that the tolerance allows.
    if not np.allclose(matrix[:3, :3], np.eye(3), atol=_TOLERANCE / 1000):
        return None
    offset = np.rint(matrix[:3, 3])
    if not np.allclose(matrix[:3, 3], offset, atol=_TOLERANCE):
        return None
    return offset[::-1].astype(int)
