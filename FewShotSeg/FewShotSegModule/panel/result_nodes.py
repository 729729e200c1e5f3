"""What becomes of a run's result in the scene: preview and confidence, until the user has decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from FewShotSegModule.panel.acceptance import Acceptance
from FewShotSegModule.panel.paint_section import PaintSection
from FewShotSegModule.panel.three_d_views import centre3DViews, isAnythingIn3D
from FewShotSegModule.scene.completed import completedSegments
from FewShotSegModule.scene.confidence import isConfidenceOf, removeConfidence, showInColors
from FewShotSegModule.scene.preview import bringBack
from FewShotSegModule.scene.removal import keep
from FewShotSegModule.scene.segment_info import segmentNames


class ResultNodes:
    """Makes the preview and the confidence volume of a result, and leaves nothing of them when it was decided about.

    The confidence stays longer only where it is being looked at.

    :param logic: The FewShotSegLogic.
    :param painting: Has the editor whose masking, overwrite settings and undo count.
    :param parameters: Gives the parameter node, which has the nodes; None while there is no scene.
    :param isConfidenceShown: Whether the confidence lies over the views.
    """

    def __init__(
        self,
        logic: Any,
        painting: PaintSection,
        *,
        parameters: Callable[[], Any],
        isConfidenceShown: Callable[[], bool],
    ) -> None:
        self._logic, self._painting = logic, painting
        self._parameters, self._isConfidenceShown = parameters, isConfidenceShown

    def show(self, run: Any) -> None:
        """Shows the result of a run, instead of the one before.

        :raises SceneError: The run has no result, or its volume is gone.
        """
        parameters, query, wasEmpty = self._parameters(), self._logic.volumeOf(run), not isAnythingIn3D()
        preview, confidence = parameters.preview, parameters.confidenceVolume
        refilled = confidence if confidence is not None and isConfidenceOf(confidence, query) else None
        parameters.confidenceVolume = self._logic.confidenceVolumeOf(run, refilled)
        if refilled is None:
            removeConfidence(confidence)
        # The one before goes first, so that its name is free.
        parameters.preview = None
        self._logic.discard(preview)
        parameters.preview = self._logic.previewOf(run)
        if wasEmpty:
            centre3DViews()

    def accept(self, preview: Any) -> Acceptance:
        """Writes a preview where the user wants it.

        :raises SceneError: It can't be written there; it stays then.
        """
        parameters = self._parameters()
        # The preview itself can be chosen, too, but goes when it is accepted.
        output = parameters.outputSegmentation if parameters.outputSegmentation is not preview else None
        completed = completedSegments(output).values() if output is not None else ()
        skipped = [name for name in segmentNames(preview) if name in completed]
        saveState = self._painting.saveStateOf(output)
        undo = self._logic.undoAccept if saveState is None else self._painting.undo
        keptPreview, confidence = keep(preview), parameters.confidenceVolume
        keptConfidence = keep(confidence) if confidence is not None else None
        target = self._logic.accept(preview, output, self._painting.editorNode, saveState)
        parameters.preview = None
        self.tidyConfidence()
        said = _("Accepted into {name}.").format(name=target.GetName())
        if skipped:
            said += " " + _("Left as they were, being marked as completed: {segments}.").format(
                segments=", ".join(skipped)
            )

        def takeBack() -> None:
            undo()
            self._bringBack(keptPreview, keptConfidence)

        return Acceptance(target, said, takeBack)

    def discard(self, preview: Any) -> None:
        """Throws a preview away."""
        self._parameters().preview = None
        self._logic.discard(preview)
        self.tidyConfidence()

    def tidyConfidence(self) -> None:
        """Removes the confidence of a result that was decided about, unless it is being looked at."""
        parameters = self._parameters()
        confidence = parameters.confidenceVolume if parameters is not None else None
        if confidence is not None and parameters.preview is None and not self._isConfidenceShown():
            parameters.confidenceVolume = None
            removeConfidence(confidence)

    def _bringBack(self, keptPreview: Callable[[], Any], keptConfidence: Callable[[], Any] | None) -> None:
        """What was taken back waits for a decision again."""
        parameters = self._parameters()
        if parameters.confidenceVolume is None and keptConfidence is not None:
            confidence = keptConfidence()
            showInColors(confidence)
            parameters.confidenceVolume = confidence
        parameters.preview = bringBack(keptPreview)
