"""The result of a run as a segmentation node that waits to be accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_input import Box, Structure
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.representations import LABELMAP, orientedImage
from FewShotSegModule.scene.surfaces import is3DViewOpen

#: Marks previews, and keeps where on their grid they may change something.
_ATTRIBUTE = "FewShotSeg.preview"
_NOTES, _SUGGESTIONS = "FewShotSeg.notes", "FewShotSeg.suggestions"
_QUERY_ROLE = "FewShotSegQuery"


def makePreview(query: Any, result: RunResult) -> Any:
    """Makes the node: names, colours and terminology of the examples, geometry and place of the query.

    :param query: The volume that was segmented.
    :param result: What the run gave.
    """
    scene = query.GetScene()
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(freeName(scene, _("{name} preview").format(name=query.GetName())))
    content = node.GetSegmentation()
    content.SetSourceRepresentationName(LABELMAP)
    labelmap = orientedImageOf(query, result)
    for structure in result.structures:
        # All segments share one image, as they don't overlap.
        content.AddSegment(segmentOf(structure, labelmap), content.GenerateUniqueSegmentID(structure.name))
    describe(node, result)
    node.SetNodeReferenceID(_QUERY_ROLE, query.GetID())
    # Not before it is complete: the application's parts follow each change of what is in the scene.
    scene.AddNode(node)
    placeLike(node, query)
    show(node)
    return node


def orientedImageOf(query: Any, result: RunResult) -> Any:
    """A result's labels as an image for segments."""
    return orientedImage(result.labels, result.allowed[0], geometry.ijkToRas(query))


def segmentOf(structure: Structure, labelmap: Any) -> Any:
    """A segment for a structure of a result.

    :param labelmap: Has the structure's value where it is.
    """
    segment = slicer.vtkSegment()
    segment.SetName(structure.name)
    segment.SetColor(*structure.color)
    if structure.tag:
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.tag)
    segment.SetLabelValue(structure.value)
    segment.AddRepresentation(LABELMAP, labelmap)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segment, logic.InProgress)
    return segment


def describe(preview: Any, result: RunResult) -> None:
    """Keeps with a preview what is to be known of its result besides the voxels."""
    preview.SetAttribute(_ATTRIBUTE, json.dumps(result.allowed))
    preview.SetAttribute(_NOTES, json.dumps([(note.axis, note.index, note.name) for note in result.notes]))
    names = {structure.value: structure.name for structure in result.structures}
    suggestions = [
        (one.axis, one.index, [names[value] for value in one.segments if value in names], one.reason)
        for one in result.suggestions
    ]
    preview.SetAttribute(_SUGGESTIONS, json.dumps(suggestions))


def allowedOf(preview: Any) -> Box:
    """Where on its grid a preview may change something."""
    start, stop = json.loads(preview.GetAttribute(_ATTRIBUTE))
    return tuple(start), tuple(stop)


def notesOf(preview: Any) -> list[tuple[int, int, str]]:
    """What was found on slices of the volume where it is not painted yet: axis and number of the slice, and a name."""
    return [(axis, index, name) for axis, index, name in json.loads(preview.GetAttribute(_NOTES) or "[]")]


@dataclass(frozen=True)
class SuggestedSlice:
    """A slice of the volume whose painting would help most.

    :param axis: Array axis across the slice.
    :param index: Its number along that axis.
    :param segments: Names of the structures it is suggested for, the most doubtful first.
    :param reason: Why, in a few words.
    """

    axis: int
    index: int
    segments: tuple[str, ...]
    reason: str


def suggestionsOf(preview: Any) -> list[SuggestedSlice]:
    """Which slices to paint next, best first."""
    return [
        SuggestedSlice(axis, index, tuple(segments), reason)
        for axis, index, segments, reason in json.loads(preview.GetAttribute(_SUGGESTIONS) or "[]")
    ]


def queryOf(preview: Any) -> Any:
    """The volume that was segmented; None if it is gone."""
    return preview.GetNodeReference(_QUERY_ROLE)


def gridOf(preview: Any) -> np.ndarray:
    """From the voxel indices of a preview's grid, which is that of the volume, to its own coordinates."""
    matrix = vtk.vtkMatrix4x4()
    _gridImage(preview).GetImageToWorldMatrix(matrix)
    return geometry.arrayOf(matrix)


def takeGrid(segmentation: Any, like: Any) -> None:
    """Gives a segmentation the grid of a volume or of a preview; it stays in its place, wherever transforms put that.

    :raises SceneError: Transforms that are not linear are in the way.
    """
    if like.IsA("vtkMRMLVolumeNode"):
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(like)
        return
    image = _gridImage(like)
    image.SetGeometryFromImageToWorldMatrix(geometry.matrixOf(geometry.between(like, segmentation) @ gridOf(like)))
    converter = slicer.vtkSegmentationConverter
    segmentation.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
    )


def _gridImage(segmentation: Any) -> Any:
    """The grid of a segmentation as an image without voxels."""
    image = slicer.vtkOrientedImageData()
    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    converter.DeserializeImageGeometry(text, image, False)
    return image


def placeLike(segmentation: Any, like: Any) -> None:
    """Gives a segmentation the grid, the transform and the subject-hierarchy parent of a volume or of a preview."""
    # In this order: the grid is kept in the segmentation's own coordinates, which the transform decides about.
    segmentation.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    takeGrid(segmentation, like)
    _putBeside(segmentation, like)


def bringBack(kept: Callable[[], Any]) -> Any:
    """A preview that was removed, as it was.

    :param kept: Adds it to the scene, see `removal.keep`.
    """
    preview = kept()
    query = queryOf(preview)
    if query is not None:
        _putBeside(preview, query)
    show(preview)
    return preview


def _putBeside(segmentation: Any, like: Any) -> None:
    """Gives a segmentation the same parent in the subject hierarchy as another node."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(like.GetScene())
    if tree is None:
        return
    item = tree.GetItemByDataNode(like)
    parent = tree.GetItemParent(item) if item else tree.GetSceneItemID()
    # Slicer makes an item for a new node by itself; without its application nobody does.
    own = tree.GetItemByDataNode(segmentation)
    if own:
        tree.SetItemParent(own, parent)
    else:
        tree.CreateItem(parent, segmentation)


def show(segmentation: Any) -> None:
    """Makes a segmentation visible in slice views, and in 3D where a 3D view is open; surfaces are made elsewhere."""
    segmentation.CreateDefaultDisplayNodes()
    display = segmentation.GetDisplayNode()
    if display is not None:
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        display.SetVisibility3D(is3DViewOpen(segmentation.GetScene()))
