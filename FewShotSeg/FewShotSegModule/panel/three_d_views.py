"""The 3D views: whether they show anything, and what they look at."""

from __future__ import annotations

from typing import Any

import slicer

_KINDS = (
    "vtkMRMLSegmentationDisplayNode",
    "vtkMRMLModelDisplayNode",
    "vtkMRMLMarkupsDisplayNode",
    "vtkMRMLVolumeRenderingDisplayNode",
)
_SURFACE = "Closed surface"


def isAnythingIn3D(besides: Any = None) -> bool:
    """Whether the 3D views show a segmentation, a model, markups or a rendered volume, besides one node."""
    nodes = slicer.util.getNodesByClass("vtkMRMLDisplayableNode")
    return any(_isShown(node) for node in nodes if node is not besides and not node.GetHideFromEditors())


def centre3DViews() -> None:
    """Turns the 3D views to the middle of what they show; nothing happens without a main window."""
    manager = slicer.app.layoutManager()
    if manager is not None:
        manager.resetThreeDViews()


def _isShown(node: Any) -> bool:
    if node.IsA("vtkMRMLSegmentationNode") and not (
        node.GetSegmentation().GetNumberOfSegments() and node.GetSegmentation().ContainsRepresentation(_SURFACE)
    ):
        return False
    displays = (node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes()))
    return any(
        display is not None
        and any(display.IsA(kind) for kind in _KINDS)
        and display.GetVisibility()
        and display.GetVisibility3D()
        for display in displays
    )
