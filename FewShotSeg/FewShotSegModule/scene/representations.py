"""What the segments of a vtkSegmentation are stored as: labelmaps, surfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError

LABELMAP = "Binary labelmap"
SURFACE = "Closed surface"


def stateOf(content: Any, name: str) -> tuple[tuple[object, ...], ...]:
    """Something that stays equal as long as the same data belong to the same segments; reads no voxel and no point.

    :param content: The vtkSegmentation.
    :param name: Which representation counts.
    """
    state: list[tuple[object, ...]] = []
    for number in range(content.GetNumberOfSegments()):
        segment = content.GetNthSegment(number)
        data = segment.GetRepresentation(name)
        stored = (data.GetAddressAsString(""), data.GetMTime()) if data is not None else ()
        state.append((content.GetNthSegmentID(number), segment.GetLabelValue(), *stored))
    return tuple(state)


def withLabelmaps(content: Any) -> Any:
    """A vtkSegmentation that has labelmaps: itself, or a copy of one that holds surfaces only.

    Converting takes seconds, so the copy is kept until the surfaces or the grid for it change. It is kept on the object
    of VTK, with which it goes; the segmentation itself stays as it is, since a new representation would be shown.

    :param content: The vtkSegmentation.
    :raises SceneError: It can't be converted.
    """
    if not content.GetNumberOfSegments() or content.ContainsRepresentation(LABELMAP):
        return content
    grid = content.GetConversionParameter(slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName())
    state = (grid, stateOf(content, content.GetSourceRepresentationName()))
    known, copy = getattr(content, "fewShotSegLabelmaps", (None, None))
    if known != state:
        copy = slicer.vtkSegmentation()
        copy.DeepCopy(content)
        if not copy.CreateRepresentation(LABELMAP):
            raise SceneError(
                _("The segmentation can't be converted to voxels. Open it in the Segment Editor, which says why.")
            )
        content.fewShotSegLabelmaps = (state, copy)
    return copy


def requireVoxels(segmentation: Any) -> None:
    """Raises SceneError where a segmentation is kept as something else than labelmaps, which can't be written into."""
    kind = segmentation.GetSegmentation().GetSourceRepresentationName()
    if kind and kind != LABELMAP:
        raise SceneError(
            _(
                "{name} is kept as {kind}, not as voxels, so nothing can be written into it. Choose another one,"
                " or convert it: module Segmentations, section Representations, Binary labelmap > Create, Make source."
            ).format(name=segmentation.GetName(), kind=kind)
        )


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
