"""Copies a slice of a result into the segmentation that is painted in, to be mended there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.completed import completedSegments
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import queryOf
from FewShotSegModule.scene.representations import LABELMAP, SURFACE, orientedImage, requireVoxels
from FewShotSegModule.scene.segment_info import addLike, segmentId

_Logic = slicer.vtkSlicerSegmentationsModuleLogic


def copySlice(
    preview: Any, segmentation: Any, axis: int, index: int, saveState: Callable[[], Any] | None = None
) -> list[str]:
    """Adds what a result shows on a slice to a segmentation: what is painted there already stays as it is.

    So on a slice that nobody has painted it is the whole slice of the result, and on one that is painted in part what
    is missing. A segment that the segmentation lacks is made; one with the status "completed" is left alone. The
    segmentation's surfaces go.

    :param preview: The result, a segmentation that `makePreview` made.
    :param segmentation: The vtkMRMLSegmentationNode to add to.
    :param axis: Array axis across the slice, of the volume's grid.
    :param index: The slice's number.
    :param saveState: Saves the segmentation for undo; called once, if there is anything to add.
    :return: Names of the segments that were added to.
    :raises SceneError: The volume is gone, or transforms that are not linear are in the way, or the
        segmentation holds no voxels.
    """
    volume = queryOf(preview)
    if volume is None:
        raise SceneError(_("The volume of the result is gone, so its slices are no longer known."))
    requireVoxels(segmentation)
    found = Painted(volume, preview)
    plane = found.plane(axis, index)
    plane[Painted(volume, segmentation).plane(axis, index) > 0] = 0
    locked = completedSegments(segmentation).values()
    masks = {
        number: plane == number
        for number, info in enumerate(found.segments(), start=1)
        if info.name not in locked and (plane == number).any()
    }
    if not masks:
        return []
    toSegmentation = geometry.between(volume, segmentation) @ geometry.ijkToRas(volume)
    if saveState is not None:
        saveState()
    # Else each segment's surface is made anew at once.
    segmentation.GetSegmentation().RemoveRepresentation(SURFACE)
    for number, mask in masks.items():
        source = preview.GetSegmentation().GetNthSegment(number - 1)
        identifier = segmentId(segmentation, source.GetName()) or addLike(segmentation.GetSegmentation(), source)
        _add(segmentation, identifier, np.expand_dims(mask, axis), _start(axis, index), toSegmentation)
    return [found.segments()[number - 1].name for number in masks]


def _start(axis: int, index: int) -> tuple[int, int, int]:
    start = [0, 0, 0]
    start[axis] = index
    return start[0], start[1], start[2]


def _add(
    segmentation: Any, identifier: str, mask: np.ndarray, start: tuple[int, int, int], toSegmentation: np.ndarray
) -> None:
    """Adds the voxels of a slab, one slice thick, to a segment."""
    image = orientedImage(mask.astype(np.uint8), start, toSegmentation)
    grid = _gridOf(segmentation)
    if grid is not None and not slicer.vtkOrientedImageDataResample.DoGeometriesMatchIgnoreOrigin(grid, image):
        resampled = slicer.vtkOrientedImageData()
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        resample(image, grid, resampled, False, True)
        image = resampled
    _Logic.SetBinaryLabelmapToSegment(image, segmentation, identifier, _Logic.MODE_MERGE_MASK)


def _gridOf(segmentation: Any) -> Any:
    """An image on the grid of what is painted; None where nothing is."""
    content = segmentation.GetSegmentation()
    for number in range(content.GetNumberOfSegments()):
        image = content.GetNthSegment(number).GetRepresentation(LABELMAP)
        if image is not None and image.GetNumberOfPoints():
            return image
    return None
