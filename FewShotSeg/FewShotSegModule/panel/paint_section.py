"""Painting in the panel, with Slicer's own Segment Editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer


class PaintSection:
    """Embeds the Segment Editor with the effects that a painter of examples needs.

    Its editor node is the module's own, so that the Segment Editor module's state stays as it is, and the logic finds
    undo, masking and overwrite settings there when a result is accepted.

    :param widget: The qMRMLSegmentEditorWidget.
    """

    #: Names by which Slicer knows the effects.
    EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Scissors", "Threshold", "Islands")
    _NODE_TAG = "FewShotSegEditor"

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        #: Whether the module is shown, and whether the widget follows the views: never without an editor node, which
        #: the widget uses unchecked at the next change of the layout.
        self._entered = self._observing = False
        widget.setMaximumNumberOfUndoStates(10)
        widget.setMRMLScene(slicer.mrmlScene)
        widget.setSegmentationNodeSelectorVisible(False)
        widget.setSourceVolumeNodeSelectorVisible(False)
        widget.setSwitchToSegmentationsButtonVisible(False)
        widget.setEffectNameOrder(list(self.EFFECTS))
        widget.unorderedEffectsVisible = False

    @property
    def editorNode(self) -> Any:
        """The vtkMRMLSegmentEditorNode with the settings of this editor, None before the first use in a scene."""
        return slicer.mrmlScene.GetSingletonNode(self._NODE_TAG, "vtkMRMLSegmentEditorNode")

    def uses(self, node: Any) -> bool:
        """Whether a node is the one with the settings of this editor."""
        return node is not None and node is self._widget.mrmlSegmentEditorNode()

    def show(self, segmentation: Any, volume: Any) -> None:
        """Paints in a segmentation, on a volume; either may be None."""
        node = self.editorNode or self._makeEditorNode()
        if self._widget.mrmlSegmentEditorNode() is not node:
            self._widget.setMRMLSegmentEditorNode(node)
        self._observe()
        if self._widget.segmentationNode() is not segmentation:
            self.stop()
            self._widget.setSegmentationNode(segmentation)
        if self._widget.sourceVolumeNode() is not volume:
            self._widget.setSourceVolumeNode(volume)
        self._widget.enabled = segmentation is not None and volume is not None

    def saveStateOf(self, segmentation: Any) -> Callable[[], Any] | None:
        """What saves a segmentation for the editor's own undo button; None if another one is painted in."""
        if segmentation is None or self._widget.segmentationNode() is not segmentation:
            return None
        return self._widget.saveStateForUndo

    def undo(self) -> None:
        """What the editor's undo button does."""
        self._widget.undo()

    def enter(self) -> None:
        """Makes the effects follow the mouse in the views, as the embedding module has to."""
        if not self._entered:
            self._widget.installKeyboardShortcuts()
            self._entered = True
            self._observe()

    def exit(self) -> None:
        """Lets go of the views: a brush must not paint while another module is shown."""
        self.stop()
        self._unobserve()
        if self._entered:
            self._widget.uninstallKeyboardShortcuts()
            self._entered = False

    def stop(self) -> None:
        """Ends the active effect; Slicer crashes on exit or scene close if one is left active."""
        self._widget.setActiveEffect(None)

    def release(self) -> None:
        """Lets go of the scene's nodes, before they go; the next `show` takes them again."""
        self.stop()
        self._unobserve()
        self._widget.setMRMLSegmentEditorNode(None)
        self._widget.enabled = False

    def _observe(self) -> None:
        if self._entered and not self._observing and self._widget.mrmlSegmentEditorNode() is not None:
            self._widget.setupViewObservations()
            self._observing = True

    def _unobserve(self) -> None:
        # Whatever was asked for before: an effect that is chosen makes the widget follow the views by itself.
        self._widget.removeViewObservations()
        self._observing = False

    def _makeEditorNode(self) -> Any:
        # Made by the scene, since that knows the defaults of the application's settings, such as the overwrite mode.
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(self._NODE_TAG)
        node.SetName(self._NODE_TAG)
        return slicer.mrmlScene.AddNode(node)
