"""Shows a confidence volume as a colour overlay in the slice views."""

from __future__ import annotations

from typing import Any

import slicer

#: What a view had before lies in its composite node, hence in the scene: one that is saved with the overlay on can
#: still get rid of it after it was opened again.
_FOREGROUND_ROLE = "FewShotSegForegroundBefore"
_OPACITY = "FewShotSeg.foregroundOpacityBefore"


class ConfidenceOverlay:
    """Puts a volume into the foreground of the slice views, and what was there back when it is hidden.

    Example::

        overlay = ConfidenceOverlay()
        overlay.show(confidenceVolume, opacity=0.5)
        overlay.hide(confidenceVolume)
    """

    def isOn(self, volume: Any) -> bool:
        """Whether a view shows a volume as overlay; never for None."""
        return volume is not None and any(node.GetForegroundVolumeID() == volume.GetID() for node in _views())

    def opacity(self, volume: Any) -> float | None:
        """The opacity of a volume's overlay; None if it is off."""
        views = [node for node in _views() if volume is not None and node.GetForegroundVolumeID() == volume.GetID()]
        return views[0].GetForegroundOpacity() if views else None

    def show(self, volume: Any, opacity: float) -> None:
        """Shows a volume over the images.

        :param volume: A scalar volume with a display node.
        :param opacity: From 0 (invisible) to 1.
        """
        for node in _views():
            if node.GetAttribute(_OPACITY) is None:
                node.SetNodeReferenceID(_FOREGROUND_ROLE, node.GetForegroundVolumeID())
                node.SetAttribute(_OPACITY, str(node.GetForegroundOpacity()))
            node.SetForegroundVolumeID(volume.GetID())
            node.SetForegroundOpacity(opacity)

    def setOpacity(self, volume: Any, opacity: float) -> None:
        """Changes the opacity of a volume's overlay, where it is on."""
        for node in _views():
            if volume is not None and node.GetForegroundVolumeID() == volume.GetID():
                node.SetForegroundOpacity(opacity)

    def hide(self, volume: Any) -> None:
        """Takes a volume's overlay away; a view whose foreground was changed meanwhile keeps what it shows."""
        for node in _views():
            shown, opacity = node.GetForegroundVolumeID(), node.GetAttribute(_OPACITY)
            isOn = volume is not None and shown == volume.GetID()
            # Nothing is shown where the volume is gone already.
            if isOn or (shown is None and opacity is not None):
                before = node.GetNodeReference(_FOREGROUND_ROLE)
                node.SetForegroundVolumeID(before.GetID() if before is not None and before is not volume else None)
                node.SetForegroundOpacity(float(opacity or 0.0))
            node.RemoveNodeReferenceIDs(_FOREGROUND_ROLE)
            node.RemoveAttribute(_OPACITY)


def _views() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))
