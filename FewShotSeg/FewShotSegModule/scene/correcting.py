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
_Resample = slicer.vtkOrientedImageDataResample


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
    if saveState is not None:
        saveState()
    # Else each segment's surface is made anew at once.
    segmentation.GetSegmentation().RemoveRepresentation(SURFACE)
    slabs: dict[str, np.ndarray] = {}
    for number, mask in masks.items():
        source = preview.GetSegmentation().GetNthSegment(number - 1)
        identifier = segmentId(segmentation, source.GetName()) or addLike(segmentation.GetSegmentation(), source)
        slabs[identifier] = np.expand_dims(mask, axis)
    _Slab(volume, segmentation, axis, index).add(slabs)
    return [found.segments()[number - 1].name for number in masks]


class _Slab:
    """A slice of a volume, one voxel thick, in a segmentation."""

    def __init__(self, volume: Any, segmentation: Any, axis: int, index: int) -> None:
        self._segmentation, self._content = segmentation, segmentation.GetSegmentation()
        start = [0, 0, 0]
        start[axis] = index
        self._start = (start[0], start[1], start[2])
        self._toSegmentation = geometry.between(volume, segmentation) @ geometry.ijkToRas(volume)

    def add(self, masks: dict[str, np.ndarray]) -> None:
        """Adds voxels to segments.

        :param masks: By the segments' identifiers, where to on the slab; nothing is painted there, and no two overlap.
        """
        grid = self._otherGrid()
        layers: dict[str, list[str]] = {}
        for identifier in masks:
            image = self._content.GetSegment(identifier).GetRepresentation(LABELMAP)
            layers.setdefault(image.GetAddressAsString("") if grid is None else identifier, []).append(identifier)
        for identifiers in layers.values():
            highest = max(identifiers, key=self._valueOf)
            self._merge(highest, masks[highest].astype(np.uint8), grid, _Logic.MODE_MERGE_MASK)
            # Each merging goes through all of the labelmap, so what shares it is merged at once.
            others = [identifier for identifier in identifiers if identifier != highest]
            if others:
                kind = np.min_scalar_type(self._valueOf(highest))
                labels = sum(masks[other].astype(kind) * kind.type(self._valueOf(other)) for other in others)
                self._merge(highest, np.asarray(labels, kind), grid, _Logic.MODE_MERGE_MAX)

    def _valueOf(self, identifier: str) -> int:
        return int(self._content.GetSegment(identifier).GetLabelValue())

    def _merge(self, identifier: str, labels: np.ndarray, grid: Any, mode: int) -> None:
        image = orientedImage(labels, self._start, self._toSegmentation)
        if grid is not None:
            resampled = slicer.vtkOrientedImageData()
            _Resample.ResampleOrientedImageToReferenceOrientedImage(image, grid, resampled, False, True)
            image = resampled
        _Logic.SetBinaryLabelmapToSegment(image, self._segmentation, identifier, mode)

    def _otherGrid(self) -> Any:
        """An image on the grid of what is painted, None where that is the volume's: it is to stay as it is."""
        own = orientedImage(np.zeros((1, 1, 1), np.uint8), self._start, self._toSegmentation)
        for number in range(self._content.GetNumberOfSegments()):
            image = self._content.GetNthSegment(number).GetRepresentation(LABELMAP)
            if image is not None and image.GetNumberOfPoints():
                return None if _Resample.DoGeometriesMatch(image, own) else image
        return None
