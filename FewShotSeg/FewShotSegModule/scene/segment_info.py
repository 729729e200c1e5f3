"""What a segment is called and looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import vtk


@dataclass(frozen=True)
class SegmentInfo:
    """A segment without its voxels.

    :param id: Identifier within its segmentation.
    :param name: What users call it; same-named segments of several segmentations are one structure.
    :param color: Red, green, blue in 0..1.
    :param tag: Terminology entry, serialized as Slicer does; "" if there is none.
    """

    id: str
    name: str
    color: tuple[float, float, float]
    tag: str = ""


def segmentNames(segmentation: Any) -> list[str]:
    """Names of the segments of a vtkMRMLSegmentationNode, in their order."""
    content = segmentation.GetSegmentation()
    return [content.GetNthSegment(number).GetName() for number in range(content.GetNumberOfSegments())]


def segmentId(segmentation: Any, name: str) -> str:
    """The identifier of the first segment of exactly that name; "" if there is none.

    Slicer's own `GetSegmentIdBySegmentName` takes "Vein" for "vein".
    """
    names = segmentNames(segmentation)
    return segmentation.GetSegmentation().GetNthSegmentID(names.index(name)) if name in names else ""


def addLike(content: Any, source: Any) -> str:
    """Adds an empty segment with the name, colour and terminology of another, in progress.

    :param content: The vtkSegmentation to add to.
    :param source: The other vtkSegment.
    :return: The new segment's identifier.
    """
    name = source.GetName()
    identifier = content.AddEmptySegment(content.GenerateUniqueSegmentID(name), name, source.GetColor())
    segment = content.GetSegment(identifier)
    tag = vtk.reference("")
    tagName = slicer.vtkSegment.GetTerminologyEntryTagName()
    if source.GetTag(tagName, tag):
        segment.SetTag(tagName, str(tag))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segment, logic.InProgress)
    return identifier


def visibleSegments(segmentation: Any) -> dict[str, str]:
    """Name by identifier of the segments that are shown, in their order; all of them without a display node.

    :param segmentation: The vtkMRMLSegmentationNode. Whether it is shown itself does not matter.
    """
    content, display = segmentation.GetSegmentation(), segmentation.GetDisplayNode()
    identifiers = [content.GetNthSegmentID(number) for number in range(content.GetNumberOfSegments())]
    return {
        identifier: content.GetSegment(identifier).GetName()
        for identifier in identifiers
        if display is None or display.GetSegmentVisibility(identifier)
    }
