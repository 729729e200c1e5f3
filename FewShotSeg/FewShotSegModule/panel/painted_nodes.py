"""Finds or makes the segmentation to paint in for the volume that is painted on."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


class PaintedNodes:
    """Keeps volume and segmentation together: a segmentation of one volume must not be painted on another.

    Only a change of the volume makes it act, so that a user may select any segmentation, or none, afterwards.
    """

    def __init__(self) -> None:
        self._volume: Any = None

    def remember(self, volume: Any, segmentation: Any) -> None:
        """Takes a pair as it is, as it comes from a scene that was opened."""
        self._volume = volume if segmentation is not None else None

    def follow(self, volume: Any, segmentation: Any) -> Any:
        """The segmentation to paint in now.

        :param volume: The volume that is painted on, may be None.
        :param segmentation: The segmentation that is selected, may be None.
        """
        if volume is self._volume:
            # One that was just made with the selector knows no grid yet.
            if segmentation is not None and volume is not None and _isNew(segmentation):
                self._prepare(segmentation)
            return segmentation
        self._volume = volume
        if volume is None:
            return segmentation
        if not _isInAllViews(volume):
            slicer.util.setSliceViewerLayers(background=volume, fit=True)
        if segmentation is not None and _volumeOf(segmentation) in (None, volume):
            return segmentation
        found = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if _painted(node, volume)]
        return found[0] if found else self._make(volume)

    def _make(self, volume: Any) -> Any:
        name = _("{volume} examples").format(volume=volume.GetName())
        made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
        self._prepare(made)
        return made

    def _prepare(self, segmentation: Any) -> None:
        """Gives a new segmentation the volume's grid, and makes it visible."""
        segmentation.CreateDefaultDisplayNodes()
        if self._volume is not None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self._volume)
            tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
            volumeItem, item = tree.GetItemByDataNode(self._volume), tree.GetItemByDataNode(segmentation)
            if volumeItem and item:
                tree.SetItemParent(item, tree.GetItemParent(volumeItem))


def _isInAllViews(volume: Any) -> bool:
    """Whether the views show a volume already, as the user may have zoomed it."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return all(view.GetBackgroundVolumeID() == volume.GetID() for view in views)


def _volumeOf(segmentation: Any) -> Any:
    """The volume whose grid a segmentation has, None where that isn't known."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def _painted(segmentation: Any, volume: Any) -> bool:
    """Whether a segmentation was made for painting examples on a volume."""
    name = _("{volume} examples").format(volume=volume.GetName())
    return _volumeOf(segmentation) is volume and segmentation.GetName().startswith(name)


def _isNew(segmentation: Any) -> bool:
    """Whether a segmentation holds nothing and has no grid."""
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    content = segmentation.GetSegmentation()
    return not content.GetNumberOfSegments() and not content.GetConversionParameter(parameter)
