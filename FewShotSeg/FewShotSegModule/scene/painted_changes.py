"""Which slices somebody has painted on since this was asked last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import paintedSlices
from FewShotSegModule.scene.representations import LABELMAP, stateOf

#: Of more changed voxels on a slice of a labelmap only about so many count.
_MANY = 2000


@dataclass(frozen=True, eq=False)
class _Plane:
    """What is painted on one slice of a labelmap: a sum of codes of the segments, and where it lies."""

    codes: np.ndarray
    first: tuple[int, int]


class PaintedChanges:
    """Compares what is painted with what was painted before.

    Voxels are read where it is asked for changes, not while somebody paints, and only those of labelmaps that were
    modified since. A change that lies in one slice of an axis was painted on that slice, as a stroke in a slice view
    is; one of many slices, by a sphere for instance, counts on all slices of the axis that has fewest.

    Example::

        changes = PaintedChanges(volume, segmentation)
        ...
        painted, emptied = changes.take()

    :param volume: The vtkMRMLScalarVolumeNode whose slices are meant.
    :param segmentation: The vtkMRMLSegmentationNode.
    :param existing: Whether what is painted already counts as a change.
    """

    def __init__(self, volume: Any, segmentation: Any, existing: bool = False) -> None:
        self._volume, self._segmentation = volume, segmentation
        #: Of each segment, what it adds to the codes where it is.
        self._codes: dict[str, int] = {}
        self._random = np.random.default_rng(0)
        self._state = None if existing else stateOf(segmentation.GetSegmentation(), LABELMAP)
        self._planes = {} if existing else dict(self._read())

    @property
    def any(self) -> bool:
        """Whether there may be changes; reads no voxel."""
        return stateOf(self._segmentation.GetSegmentation(), LABELMAP) != self._state

    def take(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Slices (axis, index) that changed since the last call and have something painted on them, and emptied ones.

        :raises SceneError: The nodes can't be used together.
        """
        state = stateOf(self._segmentation.GetSegmentation(), LABELMAP)
        if state == self._state:
            return [], []
        painted = Painted(self._volume, self._segmentation)
        planes = dict(self._read())
        slices = self._slices(_changed(self._planes, planes))
        self._state, self._planes = state, planes
        isOn = [bool(painted.plane(axis, index).any()) for axis, index in slices]
        return (
            [place for place, on in zip(slices, isOn, strict=True) if on],
            [place for place, on in zip(slices, isOn, strict=True) if not on],
        )

    def forget(self) -> None:
        """Takes all changes until now as known."""
        if self.any:
            self._state, self._planes = stateOf(self._segmentation.GetSegmentation(), LABELMAP), dict(self._read())

    def _read(self) -> Iterator[tuple[tuple[bytes, int], _Plane]]:
        """What is painted on each slice that has anything, by grid and number."""
        content = self._segmentation.GetSegmentation()
        layers: dict[Any, dict[int, int]] = {}
        for number in range(content.GetNumberOfSegments()):
            segment = content.GetNthSegment(number)
            image = segment.GetRepresentation(LABELMAP)
            if image is not None and image.GetNumberOfPoints() and image.GetPointData().GetScalars() is not None:
                code = self._codeOf(content.GetNthSegmentID(number))
                layers.setdefault(image, {})[int(segment.GetLabelValue())] = code
        found: dict[tuple[bytes, int], _Plane] = {}
        for image, codes in layers.items():
            i, _iLast, j, _jLast, k, _kLast = image.GetExtent()
            grid = _toWorld(image).tobytes()
            array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
            for number, labels in enumerate(array, start=k):
                plane = _planeOf(labels, codes, (j, i))
                if plane is not None:
                    before = found.get((grid, number))
                    found[grid, number] = plane if before is None else _sum(before, plane, 1)
        yield from found.items()

    def _codeOf(self, identifier: str) -> int:
        # Of overlapping segments the sum is kept, which is another one for each set of them: the numbers are random.
        if identifier not in self._codes:
            self._codes[identifier] = int(self._random.integers(1, 2**32))
        return self._codes[identifier]

    def _slices(self, changed: dict[bytes, np.ndarray]) -> list[tuple[int, int]]:
        """The volume's slices that changed voxels of labelmaps lie in."""
        toVolume = np.linalg.inv(geometry.between(self._volume, self._segmentation) @ geometry.ijkToRas(self._volume))
        parts = [np.zeros((0, 3), np.intp)]
        for grid, points in changed.items():
            matrix = toVolume @ np.frombuffer(grid).reshape(4, 4)
            places = points[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
            parts.append(np.rint(places[:, ::-1]).astype(np.intp))
        voxels = np.concatenate(parts)
        voxels = voxels[((voxels >= 0) & (voxels < geometry.shapeOf(self._volume))).all(axis=1)]
        spacing = np.linalg.norm(geometry.ijkToRas(self._volume)[:3, :3], axis=0)[::-1].tolist()
        return paintedSlices(voxels, spacing)


def _toWorld(image: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return geometry.arrayOf(matrix)


def _planeOf(labels: np.ndarray, codes: dict[int, int], first: tuple[int, int]) -> _Plane | None:
    """Codes for labels, as far as there are any; None without."""
    rows = np.flatnonzero(labels.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(labels[rows[0] : rows[-1] + 1].any(axis=0))
    labels = labels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Values that belong to no segment have no code.
    table = np.zeros(max([int(labels.max()), *codes]) + 1, np.uint32)
    for value, code in codes.items():
        if value > 0:
            table[value] = code
    return _Plane(table[np.maximum(labels, 0)], (first[0] + int(rows[0]), first[1] + int(columns[0])))


def _sum(one: _Plane, other: _Plane, sign: int) -> _Plane:
    """One plane plus, or minus, another, where either is."""
    first = tuple(min(a, b) for a, b in zip(one.first, other.first, strict=True))
    ends = [[f + n for f, n in zip(p.first, p.codes.shape, strict=True)] for p in (one, other)]
    codes = np.zeros([max(a, b) - f for a, b, f in zip(*ends, first, strict=True)], np.uint32)
    for plane, add in ((one, np.add), (other, np.add if sign > 0 else np.subtract)):
        j, i = (a - f for a, f in zip(plane.first, first, strict=True))
        rows, columns = plane.codes.shape
        part = codes[j : j + rows, i : i + columns]
        add(part, plane.codes, out=part)
    return _Plane(codes, (first[0], first[1]))


def _changed(before: dict[tuple[bytes, int], _Plane], now: dict[tuple[bytes, int], _Plane]) -> dict[bytes, np.ndarray]:
    """Indices (n, 3), (k, j, i), of voxels that differ, by grid."""
    nothing = _Plane(np.zeros((0, 0), np.uint32), (0, 0))
    found: dict[bytes, list[np.ndarray]] = {}
    for grid, k in sorted(before.keys() | now.keys()):
        one, other = before.get((grid, k), nothing), now.get((grid, k), nothing)
        if one.first == other.first and np.array_equal(one.codes, other.codes):
            continue
        if not one.codes.size or not other.codes.size:
            difference = one if one.codes.size else other
        else:
            difference = _sum(one, other, -1)
        places = _placesIn(difference.codes != 0) + difference.first
        found.setdefault(grid, []).append(np.column_stack([np.full(len(places), k), places]))
    return {grid: np.concatenate(parts) for grid, parts in found.items()}


def _placesIn(plane: np.ndarray) -> np.ndarray:
    """Indices (n, 2) of the pixels that are set; where they are many, of some of them, in each row and column."""
    found = np.flatnonzero(plane)
    if len(found) <= _MANY:
        return np.column_stack(np.unravel_index(found, plane.shape))
    some = np.column_stack(np.unravel_index(found[:: len(found) // _MANY], plane.shape))
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    ofRows = np.column_stack([rows, plane[rows].argmax(axis=1)])
    ofColumns = np.column_stack([plane[:, columns].argmax(axis=0), columns])
    return np.concatenate([some, ofRows, ofColumns])
