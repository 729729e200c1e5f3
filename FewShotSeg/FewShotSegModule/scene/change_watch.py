"""Notices the next change of what is painted in a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from FewShotSegModule.scene.representations import LABELMAP, stateOf


class ChangeWatch:
    """Calls back once, when voxels or segments of a segmentation change, and is done then.

    Names, colours, surfaces and the like may change. Every event is a reason to look, since the Segment Editor's undo
    and redo announce new voxels with nothing but what a new colour announces, too.

    Example::

        watch = ChangeWatch(segmentation, forgetUndo)
        watch.stop()

    :param segmentation: The vtkMRMLSegmentationNode.
    :param callback: Called after the first change.
    """

    def __init__(self, segmentation: Any, callback: Callable[[], None]) -> None:
        self._segmentation, self._callback = segmentation, callback
        self._before = stateOf(segmentation.GetSegmentation(), LABELMAP)
        kind = slicer.vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved)
        self._tags = [segmentation.AddObserver(event, self._onEvent) for event in events]

    def stop(self) -> None:
        """Stops watching; may be called at any time."""
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []

    def _onEvent(self, _caller: Any, _event: Any) -> None:
        if self._tags and stateOf(self._segmentation.GetSegmentation(), LABELMAP) != self._before:
            self.stop()
            self._callback()
