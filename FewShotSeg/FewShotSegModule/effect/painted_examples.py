"""Which painted slices of a segmentation serve as examples, for the Segment Editor effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.example_list import MOST_EXAMPLES
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import evenlySpread, paintedSlices
from FewShotSegModule.scene.segment_info import visibleSegments

#: Where too many slices are painted to use them all, so many corrections to come still find room.
_ROOM = 10
#: Of a segment with more voxels only about so many are looked at: each of its slices has plenty.
_MANY = 200_000

Slices = list[tuple[int, int]]


class PaintedExamples:
    """The examples that are painted in the visible segments of one segmentation.

    Example::

        examples = PaintedExamples(volume, segmentation)
        examples.choose()
        rows = examples.rows()

    :param volume: The vtkMRMLScalarVolumeNode that was painted on.
    :param segmentation: The vtkMRMLSegmentationNode.
    """

    def __init__(self, volume: Any, segmentation: Any) -> None:
        self._volume, self._segmentation = volume, segmentation
        #: Names of the segments on each slice, in the order in which the slices were painted.
        self._on: dict[tuple[int, int], frozenset[str]] = {}
        #: Painted slices that found no room.
        self.leftOut = 0

    def choose(self) -> None:
        """Takes what is painted in the visible segments now.

        Of more slices than can be used, such as those of segments that are complete in 3D, some are taken that are
        spread over each segment, and those of segments that are on few slices first.

        :raises SceneError: Volume and segmentation can't be used together.
        """
        points = self._points()
        spacing = np.linalg.norm(geometry.ijkToRas(self._volume)[:3, :3], axis=0)[::-1].tolist()
        slices = paintedSlices(np.concatenate([np.zeros((0, 3), np.intp), *points.values()]), spacing)
        chosen = slices if len(slices) <= MOST_EXAMPLES else _share(points, spacing, MOST_EXAMPLES - _ROOM)
        self.leftOut = max(0, len(slices) - len(chosen))
        self._read(chosen)

    def take(self, painted: Sequence[tuple[int, int]], emptied: Sequence[tuple[int, int]]) -> None:
        """Adds slices (axis, index) that somebody has painted since, and lets go of those that are empty now."""
        kept = [place for place in self._on if place not in emptied]
        new = [place for place in painted if place not in self._on]
        room = MOST_EXAMPLES - len(kept)
        if len(new) > room:
            room = max(1, room - _ROOM) if room > 0 else 0
        taken = evenlySpread(new, room) if room else []
        self.leftOut += len(new) - len(taken)
        self._read([*kept, *taken])

    def rows(self) -> list[ExampleSlice]:
        """The slices with something painted in a visible segment."""
        visible = set(visibleSegments(self._segmentation).values())
        return [
            ExampleSlice(self._volume, self._segmentation, axis, index)
            for (axis, index), names in self._on.items()
            if names & visible
        ]

    def names(self) -> list[str]:
        """Names of the visible segments that are on any of the slices, in the order of the segmentation."""
        on = frozenset[str]().union(*self._on.values())
        return [name for name in dict.fromkeys(visibleSegments(self._segmentation).values()) if name in on]

    def _read(self, places: Sequence[tuple[int, int]]) -> None:
        painted = Painted(self._volume, self._segmentation)
        names = [info.name for info in painted.segments()]
        found = {}
        for axis, index in places:
            on = np.unique(painted.plane(axis, index))
            found[axis, index] = frozenset(names[number - 1] for number in on.tolist() if number)
        self._on = {place: on for place, on in found.items() if on}

    def _points(self) -> dict[str, np.ndarray]:
        """Indices (n, 3), (k, j, i), of voxels of each visible segment, by its identifier."""
        painted, visible = Painted(self._volume, self._segmentation), visibleSegments(self._segmentation)
        points = {}
        for number, (info, box) in enumerate(zip(painted.segments(), painted.extents(), strict=True), start=1):
            if box is None or info.id not in visible:
                continue
            places = np.flatnonzero(part := painted.part(box, only=number))
            some = places[:: max(1, len(places) // _MANY)]
            if len(some):
                points[info.id] = np.column_stack(np.unravel_index(some, part.shape)) + box[0]
        return points


def _share(points: Mapping[str, np.ndarray], spacing: Sequence[float], most: int) -> Slices:
    """So many slices at most, of each segment about as many."""
    own = sorted((paintedSlices(of, spacing) for of in points.values()), key=len)
    chosen: dict[tuple[int, int], None] = {}
    for number, slices in enumerate(own):
        new = [place for place in slices if place not in chosen]
        share = (most - len(chosen)) // (len(own) - number)
        # A segment that the slices of others show already needs fewer of its own.
        share -= len(slices) - len(new)
        chosen.update(dict.fromkeys(evenlySpread(new, share) if share > 0 else []))
    return sorted(chosen)
