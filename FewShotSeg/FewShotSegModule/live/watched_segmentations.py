"""Segmentations that somebody may paint in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer

from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.painted_changes import PaintedChanges

_Slices = list[tuple[int, int]]


class WatchedSegmentations:
    """Notices when one of some segmentations is painted in, and tells afterwards where.

    :param onStroke: Called at once when voxels change, however often; no voxel is read for it.
    """

    def __init__(self, onStroke: Callable[[], None]) -> None:
        self._onStroke = onStroke
        self._watched: dict[tuple[Any, Any], _Watched] = {}

    def watch(self, pairs: Iterable[tuple[Any, Any]], existing: bool = False) -> bool:
        """Watches these segmentations from now on, and no others.

        :param pairs: Volume that is painted on, and segmentation.
        :param existing: Whether what is painted already counts as a change, in those that were not watched.
        :return: Whether any of them was not watched before.
        """
        wanted = list(dict.fromkeys(pairs))
        for pair in [pair for pair in self._watched if pair not in wanted]:
            self._watched.pop(pair).stop()
        new = [pair for pair in wanted if pair not in self._watched]
        for pair in new:
            self._watched[pair] = _Watched(*pair, existing, self._onStroke)
        return bool(new)

    def dropGone(self) -> None:
        """Watches those no more that have left the scene, or whose volume has."""
        present = slicer.mrmlScene.IsNodePresent
        self.watch([pair for pair in self._watched if all(map(present, pair))])

    def forget(self) -> None:
        """Takes what has changed until now as no change."""
        for watched in self._watched.values():
            watched.changes.forget()

    def take(self) -> tuple[list[tuple[Any, Any, _Slices, _Slices]], str]:
        """What has changed since this was asked last.

        :return: Volume, segmentation, and the slices (axis, index) of the volume that have something painted on them,
            and that have nothing any more; and why one could not be read, "" if all could.
        """
        found, trouble = [], ""
        for (volume, segmentation), watched in list(self._watched.items()):
            try:
                painted, emptied = watched.changes.take()
            except SceneError as error:
                trouble = str(error)
                continue
            if painted or emptied:
                found.append((volume, segmentation, painted, emptied))
        return found, trouble


class _Watched:
    """One of them."""

    def __init__(self, volume: Any, segmentation: Any, existing: bool, onStroke: Callable[[], None]) -> None:
        self.changes = PaintedChanges(volume, segmentation, existing)
        self._segmentation, self._onStroke = segmentation, onStroke
        kind = slicer.vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved)
        self._tags = [segmentation.AddObserver(event, self._onEvent) for event in events]

    def stop(self) -> None:
        """Watches it no more."""
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []

    def _onEvent(self, _caller: Any, _event: Any) -> None:
        if self._tags and self.changes.any:
            self._onStroke()
