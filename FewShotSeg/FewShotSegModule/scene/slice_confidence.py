"""How sure a result is on each slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.segment_info import segmentNames


class SliceConfidence:
    """The mean confidence of what a result shows on each slice, along all axes and by structure.

    It goes through all voxels, which takes a tenth of a second and more in large volumes: slice by slice, so that the
    application has a word in between.

    Example::

        sureness = SliceConfidence(volume, preview, confidence)
        for _slice in sureness.steps():
            application.processEvents()
        sureness.of(axis=0, name="liver")

    :param volume: The volume that was segmented.
    :param preview: The result.
    :param confidence: The volume of its confidence, on the same grid.
    """

    def __init__(self, volume: Any, preview: Any, confidence: Any) -> None:
        self._painted = Painted(volume, preview)
        self._confidence = geometry.voxels(confidence)
        self._names = segmentNames(preview)
        self._shape = geometry.shapeOf(volume)
        rows = len(self._names) + 1
        #: Of each axis, sums of the confidence and numbers of voxels, arrays (1 + segments, slices).
        self._sums = [np.zeros((rows, count)) for count in self._shape]
        self._counts = [np.zeros((rows, count)) for count in self._shape]

    def steps(self) -> Iterator[None]:
        """Looks at the voxels, slice by slice; what `of` tells is whole at the end."""
        if self._confidence.shape != self._shape:
            return
        for k in range(self._shape[0]):
            self._take(k, self._painted.plane(0, k))
            yield

    def of(self, axis: int, name: str | None = None) -> np.ndarray:
        """The mean confidence, 0..1, on each slice along an axis; nan where the result shows nothing.

        :param name: Of which structure; None for all of them.
        """
        sums, counts = self._sums[axis], self._counts[axis]
        row = slice(None) if name is None else slice(self._names.index(name) + 1, self._names.index(name) + 2)
        with np.errstate(invalid="ignore"):
            found: np.ndarray = sums[row].sum(axis=0) / counts[row].sum(axis=0)
        return found

    def _take(self, k: int, labels: np.ndarray) -> None:
        j, i = np.nonzero(labels)
        numbers = labels[j, i].astype(np.intp)
        sureness = self._confidence[k, j, i]
        for axis, at in enumerate((np.full(len(j), k), j, i)):
            count = self._shape[axis]
            places = numbers * count + at
            size = self._sums[axis].size
            self._sums[axis] += np.bincount(places, sureness, size).reshape(-1, count)
            self._counts[axis] += np.bincount(places, minlength=size).reshape(-1, count)
