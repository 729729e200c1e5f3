"""Finds or makes the segmentation to paint in for the volume that is painted on."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.preview import placeLike
from FewShotSegModule.scene.removal import remove


class PaintedNodes:
    """Keeps volume and segmentation together: a segmentation of one volume must not be painted on another.

    Only a change of the volume makes it act, so that a user may select any segmentation, or none, afterwards.
    """

    def __init__(self) -> None:
        self._volume: Any = None
        #: The segmentation that was made here last, until another one is painted in.
        self._made: Any = None

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
        name = freeName(slicer.mrmlScene, _("{volume} examples").format(volume=volume.GetName()))
        self._made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        self._prepare(self._made)
        return self._made

    def tidy(self, segmentation: Any) -> None:
        """Removes the segmentation that was made here last, if another one is painted in and nobody has used it.

        :param segmentation: The one that is painted in now.
        """
        made = self._made
        if made is None or made is segmentation:
            return
        self._made = None
        if made.GetScene() is not None and not made.GetSegmentation().GetNumberOfSegments() and not _isChosen(made):
            remove(made)

    def _prepare(self, segmentation: Any) -> None:
        """Gives a new segmentation the volume's grid, and makes it visible."""
        segmentation.CreateDefaultDisplayNodes()
        if self._volume is not None:
            placeLike(segmentation, self._volume)


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


def _isChosen(segmentation: Any) -> bool:
    """Whether a node of the scene refers to a segmentation: as an example, to accept into, in another module."""
    scene = segmentation.GetScene()
    references = range(scene.GetNumberOfNodeReferences())
    users = [scene.GetNthReferencingNode(n) for n in references if scene.GetNthReferencedID(n) == segmentation.GetID()]
    return any(user is not None and not user.IsA("vtkMRMLSegmentEditorNode") for user in users)


def _isNew(segmentation: Any) -> bool:
    """Whether a segmentation holds nothing and has no grid."""
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    content = segmentation.GetSegmentation()
    return not content.GetNumberOfSegments() and not content.GetConversionParameter(parameter)
