"""What becomes of a run's result in the scene: preview and confidence, until the user has decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from FewShotSegModule.panel.acceptance import Acceptance
from FewShotSegModule.panel.paint_section import PaintSection
from FewShotSegModule.panel.three_d_views import centre3DViews, isAnythingIn3D
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene.completed import completedSegments
from FewShotSegModule.scene.confidence import isConfidenceOf, removeConfidence, showInColors, writeConfidence
from FewShotSegModule.scene.preview import bringBack, queryOf
from FewShotSegModule.scene.removal import keep
from FewShotSegModule.scene.segment_info import segmentNames


class ResultNodes:
    """Keeps the preview and the confidence volume of a result, and leaves nothing of them when it was decided about.

    The confidence stays longer only where it is being looked at.

    :param logic: The FewShotSegLogic.
    :param painting: Has the editor whose masking, overwrite settings and undo count.
    :param parameters: Gives the parameter node, which has the nodes; None while there is no scene.
    :param isConfidenceShown: Whether the confidence lies over the views.
    :param painted: Gives the slices (axis, index) of a volume that somebody painted in a segmentation and that are not
        among the examples, which come back as painted anyway.
    :param onTakenBack: Called after an acceptance was undone, before the preview is back.
    """

    def __init__(
        self,
        logic: Any,
        painting: PaintSection,
        *,
        parameters: Callable[[], Any],
        isConfidenceShown: Callable[[], bool],
        painted: Callable[[Any, Any], list[tuple[int, int]]] = lambda _volume, _segmentation: [],
        onTakenBack: Callable[[], None] = lambda: None,
    ) -> None:
        self._logic, self._painting = logic, painting
        self._painted = painted
        self._parameters, self._isConfidenceShown, self._onTakenBack = parameters, isConfidenceShown, onTakenBack

    def show(self, preview: Any, result: RunResult) -> None:
        """Keeps the preview of a result, and how sure that is, instead of what was before.

        :param preview: Shows the result already.
        """
        parameters, query = self._parameters(), queryOf(preview)
        confidence, isNew = parameters.confidenceVolume, preview is not parameters.preview
        refilled = confidence if confidence is not None and isConfidenceOf(confidence, query) else None
        parameters.preview = preview
        parameters.confidenceVolume = writeConfidence(query, result, refilled)
        if refilled is None:
            removeConfidence(confidence)
        if isNew and not isAnythingIn3D(besides=preview):
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
        kept = self._painted(queryOf(preview), output) if output is not None else []
        target = self._logic.accept(preview, output, self._painting.editorNode, saveState, kept)
        parameters.preview = None
        self.tidyConfidence()
        said = _("Accepted into {name}.").format(name=target.GetName())
        if skipped:
            said += " " + _("Left as they were, being marked as completed: {segments}.").format(
                segments=", ".join(skipped)
            )

        def takeBack() -> None:
            undo()
            self._onTakenBack()
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
