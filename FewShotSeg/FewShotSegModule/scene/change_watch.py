"""Notices the next change of what is in a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer


class ChangeWatch:
    """Calls back once, when voxels or segments of a segmentation change, and is done then.

    Example::

        watch = ChangeWatch(segmentation, forgetUndo)
        watch.stop()

    :param segmentation: The vtkMRMLSegmentationNode.
    :param callback: Called after the first change.
    """

    def __init__(self, segmentation: Any, callback: Callable[[], None]) -> None:
        self._segmentation, self._callback = segmentation, callback
        kind = slicer.vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved)
        self._tags = [segmentation.AddObserver(event, self._onChanged) for event in events]

    def stop(self) -> None:
        """Stops watching; may be called at any time."""
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []

    def _onChanged(self, _caller: Any, _event: Any) -> None:
        self.stop()
        self._callback()
