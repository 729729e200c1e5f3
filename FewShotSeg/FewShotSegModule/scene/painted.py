"""What is painted in a segmentation, seen on the grid of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.segment_info import SegmentInfo

_LABELMAP = "Binary labelmap"
#: How far indices may be off a whole number, in voxels, for two grids to count as one.
_TOLERANCE = 0.02

_Labelmap = tuple[np.ndarray | None, np.ndarray, int, np.ndarray]


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
        plane = tuple(n for a, n in enumerate(self._shape) if a != axis)
        labels = np.zeros(plane, np.uint16)
        for number, (array, first, value, toLabelmap) in enumerate(self._labelmaps(), start=1):
            if array is None or only not in (None, number):
                continue
            offset = _wholeOffset(toLabelmap)
            if offset is not None:
                self._copyPlane(labels, axis, index, number, array, np.add(first, -offset), value)
            else:
                labels[self._sampledPlane(axis, index, array, first, toLabelmap) == value] = number
        return labels

    def whole(self, only: int | None = None) -> np.ndarray:
        """Labels of all voxels (k, j, i); see `plane`."""
        labels = np.zeros(self._shape, np.uint16)
        box = self._box()
        if box is not None:
            for index in range(box[0][0], box[1][0] + 1):
                labels[index] = self.plane(0, index, only)
        return labels

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

    def _labelmaps(self) -> list[_Labelmap]:
        """Of each segment: its labelmap, and where it lies.

        The labelmap's array (k, j, i), None where nothing is painted; the index (k, j, i) of its first voxel; the
        segment's value in it; and the matrix from the volume's indices to the labelmap's.
        """
        content = self._content
        if content.GetNumberOfSegments() and not content.ContainsRepresentation(_LABELMAP):
            content = self._converted()
        found: list[_Labelmap] = []
        for number in range(content.GetNumberOfSegments()):
            segment = content.GetNthSegment(number)
            labelmap = segment.GetRepresentation(_LABELMAP)
            if labelmap is None or labelmap.GetNumberOfPoints() == 0 or labelmap.GetPointData().GetScalars() is None:
                found.append((None, np.zeros(3, int), 0, np.eye(4)))
                continue
            array = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
            matrix = vtk.vtkMatrix4x4()
            labelmap.GetImageToWorldMatrix(matrix)
            toLabelmap = np.linalg.inv(geometry.arrayOf(matrix)) @ self._toSegmentation
            extent = labelmap.GetExtent()
            found.append((array, np.array(extent[4::-2]), segment.GetLabelValue(), toLabelmap))
        return found

    def _converted(self) -> Any:
        """A copy with labelmaps, for segmentations that were made of surfaces."""
        copy = slicer.vtkSegmentation()
        copy.DeepCopy(self._content)
        if not copy.CreateRepresentation(_LABELMAP):
            raise SceneError(
                _("The segmentation can't be converted to voxels. Open it in the Segment Editor, which says why.")
            )
        return copy

    def _box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """First and last index (k, j, i) of the part of the volume that labelmaps reach into; None if there is none."""
        firsts, lasts = [], []
        for array, first, _value, toLabelmap in self._labelmaps():
            if array is None:
                continue
            ends = [(f - 0.5, f + n - 0.5) for f, n in zip(first, array.shape, strict=True)]
            corners = np.array([[i, j, k, 1.0] for k in ends[0] for j in ends[1] for i in ends[2]])
            inside = (corners @ np.linalg.inv(toLabelmap).T)[:, 2::-1]
            firsts.append(np.floor(inside.min(axis=0)).astype(int))
            lasts.append(np.ceil(inside.max(axis=0)).astype(int))
        if not firsts:
            return None
        first = np.maximum(np.min(firsts, axis=0), 0)
        last = np.minimum(np.max(lasts, axis=0), np.array(self._shape) - 1)
        return (first, last) if (first <= last).all() else None

    # Slices of one labelmap

    def _copyPlane(
        self, labels: np.ndarray, axis: int, index: int, number: int, array: np.ndarray, first: np.ndarray, value: int
    ) -> None:
        """Marks a segment in a slice; the labelmap's first voxel is voxel `first` (k, j, i) of the volume."""
        if not 0 <= index - first[axis] < array.shape[axis]:
            return
        source = np.take(array, index - first[axis], axis)
        into, outOf = [], []
        for a in range(3):
            if a != axis:
                start, stop = max(first[a], 0), min(first[a] + array.shape[a], self._shape[a])
                if start >= stop:
                    return
                into.append(slice(start, stop))
                outOf.append(slice(start - first[a], stop - first[a]))
        labels[tuple(into)][source[tuple(outOf)] == value] = number

    def _sampledPlane(
        self, axis: int, index: int, array: np.ndarray, first: np.ndarray, toLabelmap: np.ndarray
    ) -> np.ndarray:
        """The labelmap's values at a slice's voxels, from the nearest voxel; 0 outside."""
        ranges = [np.arange(n) for n in self._shape]
        ranges[axis] = np.array([index])
        k, j, i = np.meshgrid(*ranges, indexing="ij", sparse=True)
        inside: np.ndarray = np.array(True)
        indices = []
        for row, start, count in zip((2, 1, 0), first, array.shape, strict=True):
            weights = toLabelmap[row]
            at = np.rint(weights[0] * i + weights[1] * j + weights[2] * k + weights[3]).astype(np.intp) - start
            inside = inside & (at >= 0) & (at < count)
            indices.append(np.clip(at, 0, count - 1))
        sampled = np.where(inside, array[tuple(indices)], 0)
        return np.take(sampled, 0, axis)


def _wholeOffset(matrix: np.ndarray) -> np.ndarray | None:
    """The offset (k, j, i) in voxels if a matrix (of i, j, k) does no more than that, else None."""
    # Over a thousand voxels, which few volumes have, this is the deviation that the tolerance allows.
    if not np.allclose(matrix[:3, :3], np.eye(3), atol=_TOLERANCE / 1000):
        return None
    offset = np.rint(matrix[:3, 3])
    if not np.allclose(matrix[:3, 3], offset, atol=_TOLERANCE):
        return None
    return offset[::-1].astype(int)
