"""The result of a run as a segmentation node that waits to be accepted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk

from FewShotSegModule.runs.run_input import Box
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene import geometry

_LABELMAP = "Binary labelmap"
#: Marks previews, and keeps where on their grid they may change something.
_ATTRIBUTE = "FewShotSeg.preview"
_QUERY_ROLE = "FewShotSegQuery"


def makePreview(query: Any, result: RunResult) -> Any:
    """Makes the node: names, colours and terminology of the examples, geometry and place of the query.

    :param query: The volume that was segmented.
    :param result: What the run gave.
    """
    scene = query.GetScene()
    node = scene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", scene.GenerateUniqueName(_("{name} preview").format(name=query.GetName()))
    )
    blocked = node.StartModify()
    placeLike(node, query)
    content = node.GetSegmentation()
    content.SetSourceRepresentationName(_LABELMAP)
    labelmap = orientedImage(result.labels, result.allowed[0], geometry.ijkToRas(query))
    for structure in result.structures:
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        segment.SetColor(*structure.color)
        if structure.tag:
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.tag)
        segment.SetLabelValue(structure.value)
        # All segments share one image, as they don't overlap.
        segment.AddRepresentation(_LABELMAP, labelmap)
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(
            segment, slicer.vtkSlicerSegmentationsModuleLogic.InProgress
        )
        content.AddSegment(segment, content.GenerateUniqueSegmentID(structure.name))
    node.SetAttribute(_ATTRIBUTE, json.dumps(result.allowed))
    node.SetNodeReferenceID(_QUERY_ROLE, query.GetID())
    node.EndModify(blocked)
    show(node)
    return node


def allowedOf(preview: Any) -> Box:
    """Where on its grid a preview may change something."""
    start, stop = json.loads(preview.GetAttribute(_ATTRIBUTE))
    return tuple(start), tuple(stop)


def queryOf(preview: Any) -> Any:
    """The volume that was segmented; None if it is gone."""
    return preview.GetNodeReference(_QUERY_ROLE)


def gridOf(preview: Any) -> np.ndarray:
    """From the voxel indices of a preview's grid, which is that of the volume, to its own coordinates."""
    image = slicer.vtkOrientedImageData()
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = preview.GetSegmentation().GetConversionParameter(parameter)
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return geometry.arrayOf(matrix)


def placeLike(segmentation: Any, like: Any) -> None:
    """Gives a segmentation the grid, the transform and the subject-hierarchy parent of a volume or of a preview."""
    if like.IsA("vtkMRMLVolumeNode"):
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(like)
    segmentation.SetAndObserveTransformNodeID(like.GetTransformNodeID())
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
    """Makes a segmentation visible in slice views and in 3D."""
    segmentation.CreateDefaultDisplayNodes()
    display = segmentation.GetDisplayNode()
    if display is not None:
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        display.SetVisibility3D(True)
    segmentation.CreateClosedSurfaceRepresentation()


def orientedImage(array: np.ndarray, start: tuple[int, int, int], toWorld: np.ndarray) -> Any:
    """An array as an image for segments.

    :param array: Whole numbers (k, j, i); copied.
    :param start: Which voxel (k, j, i) of the grid its first one is.
    :param toWorld: From the grid's voxel indices to the coordinates of the segmentation.
    """
    image = slicer.vtkOrientedImageData()
    (k, j, i), (planes, rows, columns) = start, array.shape
    image.SetExtent(i, i + columns - 1, j, j + rows - 1, k, k + planes - 1)
    kind = array.dtype if array.dtype in (np.uint8, np.uint16) else np.dtype(np.int16)
    scalars = numpy_to_vtk(np.ascontiguousarray(array, kind).ravel(), deep=True, array_type=get_vtk_array_type(kind))
    image.GetPointData().SetScalars(scalars)
    image.SetGeometryFromImageToWorldMatrix(geometry.matrixOf(toWorld))
    return image
