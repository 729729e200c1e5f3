"""What the Segment Editor effect does with one segmentation on one volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from FewShotSegModule.effect.painted_examples import PaintedExamples
from FewShotSegModule.live.live_segmentation import LiveSegmentation
from FewShotSegModule.live.one_shot import OneShot, Pause
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.next_slice import NextSlice, reasonText
from FewShotSegModule.scene.segment_info import visibleSegments
from FewShotSegModule.scene.surfaces import isIn3D

_PREVIEW_ROLE = "FewShotSegPreview"
#: How much of the result and how little of what was painted is seen first.
_OPACITY = 0.6


class EffectSession(VTKObservationMixin):
    """Keeps a preview in step with what is painted in the visible segments of a segmentation.

    It ends itself, with its preview, when the editor turns to another segmentation or volume, or when one of them goes.
    After `apply` it goes on: what was painted by hand before stays the example, and not what was applied.

    Example::

        session = EffectSession(logic, scriptedEffect.parameterSetNode(), onChanged=show, onFailed=tell)
        session.update()
        ...
        session.apply(scriptedEffect.saveStateForUndo)
        session.end()

    :param logic: The module's FewShotSegLogic.
    :param editorNode: The vtkMRMLSegmentEditorNode, with a segmentation and a source volume.
    :param onChanged: Called after something changed that is shown, also when the session has ended.
    :param onFailed: Called with a message when an update that was asked for failed.
    :param timer: See LiveSegmentation.
    :raises SceneError: Segmentation and volume can't be used together.
    """

    def __init__(
        self,
        logic: Any,
        editorNode: Any,
        *,
        onChanged: Callable[[], None],
        onFailed: Callable[[str], None],
        timer: Callable[[int, Callable[[], Any]], Pause] = OneShot,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._logic, self._onChanged = logic, onChanged
        #: The editor's node, which tells what is edited and how.
        self.editorNode = editorNode
        self._volume, self._segmentation = editorNode.GetSourceVolumeNode(), editorNode.GetSegmentationNode()
        #: Whether nothing is followed any more.
        self.isOver = False
        #: Why the slice that is shown was suggested; "" if none was.
        self.reason = ""
        self._next = NextSlice()
        self._examples = PaintedExamples(self._volume, self._segmentation)
        self._examples.choose()
        self._visible = visibleSegments(self._segmentation)
        #: How opaque the segmentation was; None while nothing was changed about it.
        self._opacityBefore: float | None = None
        self.live = LiveSegmentation(
            logic,
            query=lambda: self._volume,
            examples=self._examples.rows,
            settings=self._settings,
            onPainted=lambda _volume, _segmentation, painted, emptied: self._examples.take(painted, emptied),
            onChanged=self._onLoopChanged,
            onResult=self._onResult,
            onFailed=onFailed,
            timer=timer,
        )
        self.live.preview = previewOf(editorNode)
        self.live.watch([(self._volume, self._segmentation)])
        scene = slicer.mrmlScene
        self.addObserver(editorNode, vtk.vtkCommand.ModifiedEvent, self._onEditorModified)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onEditorModified)
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._onSceneStartClose)
        shown = slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent
        self.addObserver(self._segmentation, shown, self._onDisplayModified)

    # What the user does

    def update(self) -> None:
        """Starts an update.

        :raises FewShotSegError: Something is missing, or it can't be started.
        """
        self.live.notice()
        rows = self._examples.rows()
        if not rows:
            raise SceneError(
                _(
                    "Nothing is painted in the visible segments of {name}. Paint each structure on a few slices, then"
                    " initialize."
                ).format(name=self._segmentation.GetName())
            )
        missing = self._logic.whatIsMissing(self._volume, rows, self._settings())
        if missing:
            raise SceneError(missing)
        self.live.improve = self._logic.getParameterNode().improve
        self.live.update()

    def apply(self, saveState: Callable[[], Any]) -> None:
        """Writes the preview into the segmentation, as masking and the editable intensities let it, and removes it.

        :param saveState: Saves the segmentation for undo; called once.
        :raises FewShotSegError: It can't be written; the preview stays.
        """
        preview = self.live.preview
        if preview is None:
            return
        self.live.cancel()
        self._logic.accept(preview, self._segmentation, self.editorNode, saveState)
        # What was written is nobody's painting.
        self.live.ignorePainted()
        self._restore()
        self._onChanged()

    def showNext(self) -> None:
        """Shows the slice whose painting would help most, and keeps the reason."""
        preview = self.live.preview
        if preview is None:
            return
        painted = {(row.axis, row.index) for row in self._examples.rows()}
        suggested = self._next.show(preview, painted)
        nothing = _("No further slice is suggested.")
        self.reason = nothing if suggested is None else reasonText(preview, suggested)
        self._onChanged()

    def end(self) -> None:
        """Stops what is on its way, removes the preview, and lets go of everything."""
        if self.isOver:
            return
        preview, isClosing = self.live.preview, slicer.mrmlScene.IsClosing()
        self._letGo()
        if not isClosing:
            if slicer.mrmlScene.IsNodePresent(self.editorNode):
                self.editorNode.SetNodeReferenceID(_PREVIEW_ROLE, None)
            self._logic.discard(preview)
            self._restore()
        self._onChanged()

    # What is shown

    @property
    def opacity(self) -> float:
        """How much is seen of the result, and how little of what was painted: 0 to 1."""
        display = self._displayOf(self.live.preview)
        return display.GetOpacity() if display is not None else _OPACITY

    @opacity.setter
    def opacity(self, value: float) -> None:
        ofPreview, ofInput = self._displayOf(self.live.preview), self._displayOf(self._segmentation)
        if ofPreview is None:
            return
        ofPreview.SetOpacity(value)
        if ofInput is not None:
            if self._opacityBefore is None:
                self._opacityBefore = ofInput.GetOpacity()
            ofInput.SetOpacity(1 - value)

    @property
    def isIn3D(self) -> bool:
        """Whether the preview is shown in the 3D views, too."""
        return self.live.preview is not None and isIn3D(self.live.preview)

    @isIn3D.setter
    def isIn3D(self, on: bool) -> None:
        preview = self.live.preview
        if preview is None:
            return
        if on:
            self._logic.showIn3D(preview)
        else:
            preview.GetDisplayNode().SetVisibility3D(False)

    @property
    def note(self) -> str:
        """What is to be known of the examples; "" if nothing."""
        count = self._examples.leftOut
        if not count:
            return ""
        return _(
            "More is painted than can be used: {used} slices are examples, {count} are not. Hide segments that are no"
            " examples."
        ).format(used=len(self._examples.rows()), count=count)

    # What happens

    def _settings(self) -> RunSettings:
        """The module's settings, for the visible segments. Region and range there are those of another volume."""
        of = self._logic.getParameterNode()
        names = [name for name in self._examples.names() if name != of.background]
        return RunSettings(of.device, of.refine, of.refineStrength, of.quality, names, background=of.background or None)

    def _onLoopChanged(self) -> None:
        if self.isOver:
            return
        if self.live.preview is None:
            self._restore()
            self.reason = ""
        self._onChanged()

    def _onResult(self, _result: Any) -> None:
        preview = self.live.preview
        if previewOf(self.editorNode) is not preview:
            self.editorNode.SetNodeReferenceID(_PREVIEW_ROLE, preview.GetID())
            preview.GetDisplayNode().SetVisibility3D(False)
            self.opacity = _OPACITY

    def _onEditorModified(self, _caller: Any, _event: Any) -> None:
        if not self.isOver and not self._isStill():
            self.end()

    def _isStill(self) -> bool:
        """Whether the editor still edits this segmentation on this volume."""
        node, there = self.editorNode, slicer.mrmlScene.IsNodePresent
        return (
            node.GetSegmentationNode() is self._segmentation
            and node.GetSourceVolumeNode() is self._volume
            and all(there(one) for one in (node, self._segmentation, self._volume))
        )

    def _onDisplayModified(self, _caller: Any, _event: Any) -> None:
        visible = visibleSegments(self._segmentation)
        if visible != self._visible:
            self._visible = visible
            self.live.review()

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self._letGo()
        self._onChanged()

    def _letGo(self) -> None:
        self.isOver = True
        self.removeObservers()
        self.live.release()

    def _restore(self) -> None:
        """Shows the segmentation as it was before the preview."""
        before, self._opacityBefore = self._opacityBefore, None
        display = self._displayOf(self._segmentation)
        if before is not None and display is not None:
            display.SetOpacity(before)

    @staticmethod
    def _displayOf(segmentation: Any) -> Any:
        return segmentation.GetDisplayNode() if segmentation is not None else None


def previewOf(editorNode: Any) -> Any:
    """The preview of a session with an editor, also of one in a scene that was saved and opened; None without.

    :param editorNode: The vtkMRMLSegmentEditorNode; may be None.
    """
    return editorNode.GetNodeReference(_PREVIEW_ROLE) if editorNode is not None else None
