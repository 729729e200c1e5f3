"""Shows a confidence volume as a colour overlay in the slice views."""

from __future__ import annotations

from typing import Any

import slicer


class ConfidenceOverlay:
    """Puts a volume into the foreground of the slice views, and what was there back when it is hidden.

    Example::

        overlay = ConfidenceOverlay()
        overlay.show(confidenceVolume, opacity=0.5)
        overlay.hide()
    """

    def __init__(self) -> None:
        #: Foreground and opacity by identifier of the view's composite node, as they were.
        self._before: dict[str, tuple[str | None, float]] = {}
        self._volumeId: str | None = None

    @property
    def visible(self) -> bool:
        """Whether the overlay is on."""
        return self._volumeId is not None

    def show(self, volume: Any, opacity: float) -> None:
        """Shows a volume over the images.

        :param volume: A scalar volume with a display node.
        :param opacity: From 0 (invisible) to 1.
        """
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if node.GetID() not in self._before:
                self._before[node.GetID()] = (node.GetForegroundVolumeID(), node.GetForegroundOpacity())
        self._volumeId = volume.GetID()
        slicer.util.setSliceViewerLayers(foreground=volume, foregroundOpacity=opacity)

    def setOpacity(self, opacity: float) -> None:
        """Changes the opacity of the overlay, if it is on."""
        if self.visible:
            slicer.util.setSliceViewerLayers(foregroundOpacity=opacity)

    def hide(self) -> None:
        """Takes the overlay away; a view whose foreground was changed meanwhile keeps what it shows."""
        for identifier, (foreground, opacity) in self._before.items():
            node = slicer.mrmlScene.GetNodeByID(identifier)
            if node is None or node.GetForegroundVolumeID() not in (self._volumeId, None):
                continue
            still = foreground if foreground and slicer.mrmlScene.GetNodeByID(foreground) else None
            node.SetForegroundVolumeID(still)
            node.SetForegroundOpacity(opacity)
        self._before, self._volumeId = {}, None
