"""Writes a preview into a segmentation, as the Segment Editor writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from FewShotSegLib.labels import label_extents
from FewShotSegModule.runs.run_input import Box
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.completed import completedSegments
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import allowedOf, gridOf, placeLike, queryOf, takeGrid
from FewShotSegModule.scene.representations import LABELMAP, SURFACE, orientedImage, requireVoxels
from FewShotSegModule.scene.segment_info import addLike, segmentId, segmentNames

_Logic = slicer.vtkSlicerSegmentationsModuleLogic
_Editor = slicer.vtkSlicerSegmentEditorLogic
_Settings = slicer.vtkMRMLSegmentEditorNode
_EVERYWHERE = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
_INSIDE_ONE = slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment


class Accepting:
    """Writes previews through Slicer's Segment Editor logic: undo, overwrite mode and masking are the editor's.

    Segments whose status is "Completed" are locked, which is this module's reading (see `completedSegments`): none is
    written into, and none loses a voxel to another, whatever the overwrite mode.

    Example::

        accepting = Accepting(slicer.mrmlScene)
        accepting.write(preview, target, editorNode)
        accepting.editorLogic.Undo()

    :param scene: The scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        #: Keeps the history of what was accepted last.
        self.editorLogic = _Editor()
        self.editorLogic.SetMRMLScene(scene)
        self._settings: Any = None

    def write(
        self,
        preview: Any,
        target: Any,
        editorNode: Any = None,
        saveState: Callable[[], Any] | None = None,
        keep: Sequence[tuple[int, int]] = (),
    ) -> list[str]:
        """Writes each segment of a preview into the target's segment of that name, which is added if it isn't there.

        Inside the part of the volume that was segmented, a segment becomes what the preview shows, as far as masking
        lets it; outside it stays. The target's surfaces go.

        :param preview: The preview.
        :param target: The segmentation to write into.
        :param editorNode: A vtkMRMLSegmentEditorNode with masking and overwrite settings. Without one nothing is masked
            and other segments are left alone.
        :param saveState: Saves the target for undo where the user expects it, instead of in `editorLogic`.
        :param keep: Slices (axis, index) of the preview's volume on which nothing changes.
        :return: Names of the segments that were left alone because they are locked.
        :raises SceneError: All segments are locked, the target is kept as surfaces, or transforms that are not
            linear are in the way.
        """
        requireVoxels(target)
        names = segmentNames(preview)
        locked = completedSegments(target)
        skipped = [name for name in names if name in locked.values()]
        if names and len(skipped) == len(names):
            raise SceneError(
                _(
                    "In {target}, {names} are marked as completed, so they are not changed; change their status first."
                ).format(target=target.GetName(), names=", ".join(names))
            )
        toPreview = geometry.between(target, preview)
        if not target.GetSegmentation().GetNumberOfSegments():
            takeGrid(target, _origin(preview))
        self._prepare(preview, target, editorNode)
        if saveState is not None:
            saveState()
        else:
            self.editorLogic.SaveStateForUndo()
        # Else each change of a segment makes its surface anew; undoing brings them back.
        target.GetSegmentation().RemoveRepresentation(SURFACE)
        self._writeSegments(preview, target, toPreview, names, locked, keep)
        if skipped:
            logging.warning("FewShotSeg: marked as completed, hence not changed: %s", ", ".join(skipped))
        return skipped

    def _prepare(self, preview: Any, target: Any, editorNode: Any) -> None:
        """Points the editor logic to the target, with the user's settings; the user's editor node stays as it is."""
        node = self._settingsNode()
        node.SetAndObserveSegmentationNode(target)
        node.SetOverwriteMode(_Settings.OverwriteNone)
        node.SetMaskMode(_EVERYWHERE)
        node.SetSourceVolumeIntensityMask(False)
        source = queryOf(preview)
        if editorNode is not None:
            node.SetOverwriteMode(editorNode.GetOverwriteMode())
            source = editorNode.GetSourceVolumeNode() or source
            # A mask by one segment means one of the editor's segmentation.
            if editorNode.GetMaskMode() != _INSIDE_ONE or editorNode.GetSegmentationNode() is target:
                node.SetMaskMode(editorNode.GetMaskMode())
                node.SetMaskSegmentID(editorNode.GetMaskSegmentID())
            node.SetSourceVolumeIntensityMask(editorNode.GetSourceVolumeIntensityMask())
            node.SetSourceVolumeIntensityMaskRange(editorNode.GetSourceVolumeIntensityMaskRange())
        if source is not None:
            node.SetAndObserveSourceVolumeNode(source)
        self.editorLogic.ResetModifierLabelmapToDefault()

    def _settingsNode(self) -> Any:
        """The editor logic's own node; it stays, hidden and unsaved, since undoing needs it."""
        if self._settings is None or not self._scene.IsNodePresent(self._settings):
            node = self._scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetName("FewShotSegAccept")
            node.SetHideFromEditors(True)
            node.SaveWithSceneOff()
            self._settings = self._scene.AddNode(node)
            self.editorLogic.SetSegmentEditorNode(self._settings)
        return self._settings

    def _writeSegments(
        self,
        preview: Any,
        target: Any,
        toPreview: np.ndarray,
        names: list[str],
        locked: dict[str, str],
        keep: Sequence[tuple[int, int]],
    ) -> None:
        grid = _Grid(self.editorLogic.GetModifierLabelmap())
        labels = Painted.onGrid(preview.GetSegmentation(), grid.shape, toPreview @ grid.toWorld).whole()
        changeable = _changeable(preview, grid, toPreview, keep) & self._unmasked(grid)
        extents = grid.extentsIn(target)
        if self._settings.GetOverwriteMode() != _Settings.OverwriteNone:
            for identifier in locked:
                if (box := extents.get(identifier)) is not None:
                    changeable[_slices(box)] &= ~grid.maskOf(target, identifier, box)
        labels[~changeable] = 0
        found = label_extents(labels)
        for number, name in enumerate(names, start=1):
            if name in locked.values():
                continue
            identifier = segmentId(target, name)
            if not identifier:
                identifier = addLike(target.GetSegmentation(), preview.GetSegmentation().GetNthSegment(number - 1))
            self._settings.SetSelectedSegmentID(identifier)
            # Only where a segment was before or is now: going through the volume for each takes seconds.
            if (box := extents.get(identifier)) is not None:
                there = _slices(box)
                gone = grid.maskOf(target, identifier, box) & changeable[there] & (labels[there] != number)
                self._modify(target, identifier, grid, gone, box, _Editor.ModificationModeRemove)
            if number in found:
                box = _boxOfExtent(found[number])
                self._modify(target, identifier, grid, labels[_slices(box)] == number, box, _Editor.ModificationModeAdd)

    def _unmasked(self, grid: _Grid) -> np.ndarray | bool:
        """Where the masking by segments lets something change, as it is now; it counts as done then.

        The editor works a mask out for each change, which takes long, and what was written of one segment would be part
        of the mask for the next one. Besides, it lets its eraser out of a mask by one segment.
        """
        if self._settings.GetMaskMode() == _EVERYWHERE:
            return True
        if not self.editorLogic.UpdateMaskLabelmap():
            raise SceneError(_("The Segment Editor can't work out its masking; check Masking there, or switch it off."))
        self._settings.SetMaskMode(_EVERYWHERE)
        masked = vtk_to_numpy(self.editorLogic.GetMaskLabelmap().GetPointData().GetScalars())
        return masked.reshape(grid.shape) == 0

    def _modify(self, target: Any, identifier: str, grid: _Grid, mask: np.ndarray, box: Box, mode: int) -> None:
        if mask.any():
            image = orientedImage(mask.astype(np.uint8), grid.indexOf(box[0]), grid.indexToWorld)
            self.editorLogic.ModifySegmentByLabelmap(target, identifier, image, mode, False, False)


class _Grid:
    """The grid on which a segmentation is edited."""

    def __init__(self, image: Any) -> None:
        extent = image.GetExtent()
        self._start = (extent[4], extent[2], extent[0])
        self.shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        #: From the image's own voxel indices, and from indices that start at 0, to the segmentation's coordinates.
        self.indexToWorld = geometry.arrayOf(matrix)
        shift = np.eye(4)
        shift[:3, 3] = self._start[::-1]
        self.toWorld = self.indexToWorld @ shift

    def indexOf(self, voxel: tuple[int, int, int]) -> tuple[int, int, int]:
        """The image's own index (k, j, i) of a voxel that is counted from 0."""
        k, j, i = (first + n for first, n in zip(self._start, voxel, strict=True))
        return k, j, i

    def extentsIn(self, segmentation: Any) -> dict[str, Box]:
        """By identifier, the part of the grid that has all of a segment; none for those that are empty."""
        painted = self._painted(segmentation)
        return {
            info.id: box for info, box in zip(painted.segments(), painted.extents(), strict=True) if box is not None
        }

    def maskOf(self, segmentation: Any, identifier: str, box: Box) -> np.ndarray:
        """Where in a part of the grid a segment is, whatever overlaps it."""
        number = segmentation.GetSegmentation().GetSegmentIndex(identifier) + 1
        if number < 1:
            return np.zeros(np.subtract(box[1], box[0]), bool)
        return self._painted(segmentation).part(box, only=number) > 0

    def _painted(self, segmentation: Any) -> Painted:
        return Painted.onGrid(segmentation.GetSegmentation(), self.shape, self.toWorld)


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(first, last) for first, last in zip(*box, strict=True))


def _boxOfExtent(extent: tuple[int, int, int, int, int, int]) -> Box:
    i, iLast, j, jLast, k, kLast = extent
    return (k, j, i), (kLast + 1, jLast + 1, iLast + 1)


def _changeable(preview: Any, grid: _Grid, toPreview: np.ndarray, keep: Sequence[tuple[int, int]]) -> np.ndarray:
    """Where on a grid the preview may change something; not on slices that are kept."""
    start, stop = allowedOf(preview)
    free = np.ones(np.subtract(stop, start), np.uint8)
    for axis, index in keep:
        if start[axis] <= index < stop[axis]:
            np.moveaxis(free, axis, 0)[index - start[axis]] = 0
    box = slicer.vtkSegmentation()
    segment = slicer.vtkSegment()
    image = orientedImage(free, start, gridOf(preview))
    segment.AddRepresentation(LABELMAP, image)
    segment.SetLabelValue(1)
    box.AddSegment(segment, "box")
    return Painted.onGrid(box, grid.shape, toPreview @ grid.toWorld).whole() > 0


def _origin(preview: Any) -> Any:
    """What has a preview's name, grid and place: the volume, or where that is gone the preview."""
    query = queryOf(preview)
    return query if query is not None else preview


def newSegmentation(preview: Any) -> Any:
    """A segmentation to accept a preview into: named after the volume and in its place, with the same segments, empty.

    :param preview: The preview.
    """
    scene, like = preview.GetScene(), _origin(preview)
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(freeName(scene, _("{name} segmentation").format(name=like.GetName())))
    for number in range(preview.GetSegmentation().GetNumberOfSegments()):
        addLike(node.GetSegmentation(), preview.GetSegmentation().GetNthSegment(number))
    # Not before it has its segments: the subject hierarchy takes them in with the segmentation.
    scene.AddNode(node)
    placeLike(node, like)
    return node
