"""Which segments of a segmentation a user is done with."""

from __future__ import annotations

from typing import Any

import slicer

_Logic = slicer.vtkSlicerSegmentationsModuleLogic


def completedSegments(segmentation: Any) -> dict[str, str]:
    """Name by identifier of the segments whose status is "Completed".

    Slicer (5.10 to 5.13 at least) has no lock for a single segment: its segments carry none, and its editor's effects
    write into any. What a user can say of a segment is its status, in the segments table; so "Completed" is what this
    module takes for a lock.

    :param segmentation: The vtkMRMLSegmentationNode.
    """
    content = segmentation.GetSegmentation()
    segments = ((content.GetNthSegmentID(n), content.GetNthSegment(n)) for n in range(content.GetNumberOfSegments()))
    return {
        identifier: segment.GetName()
        for identifier, segment in segments
        if _Logic.GetSegmentStatus(segment) == _Logic.Completed
    }
