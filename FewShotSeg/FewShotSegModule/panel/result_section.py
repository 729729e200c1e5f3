"""The result as a preview that is accepted or thrown away, and its confidence as an overlay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegModule.panel.acceptance import Acceptance
from FewShotSegModule.panel.confidence_overlay import ConfidenceOverlay
from FewShotSegModule.scene.change_watch import ChangeWatch
from FewShotSegModule.scene.preview import notesOf, queryOf
from FewShotSegModule.scene.segment_info import segmentNames
from FewShotSegModule.scene.slice_place import placeText


class ResultSection:
    """Shows what a run gave, and carries out what the user decides about it.

    :param ui: Has resultLabel, outputSegmentationSelector, acceptButton, discardButton, undoButton, confidenceCheckBox
        and confidenceOpacitySlider.
    :param accept: Called with the preview; writes it where the user wants it and tells where that was.
    :param discard: Called with the preview; throws it away.
    :param onOverlayChanged: Called after the user switched the overlay on or off.
    :param acceptShortcut: Keys that accept, for the tooltip.
    """

    def __init__(
        self,
        ui: Any,
        *,
        accept: Callable[[Any], Acceptance],
        discard: Callable[[Any], None],
        onOverlayChanged: Callable[[], None] = lambda: None,
        acceptShortcut: str = "",
    ) -> None:
        self._ui = ui
        self._accept, self._discard, self._onOverlayChanged = accept, discard, onOverlayChanged
        self._overlay = ConfidenceOverlay()
        self._preview: Any = None
        self._confidence: Any = None
        self._said = ""
        self._undo: Callable[[], None] | None = None
        self._watch: ChangeWatch | None = None
        self._acceptShortcut = acceptShortcut
        ui.acceptButton.connect("clicked()", self.accept)
        ui.discardButton.connect("clicked()", self.discard)
        ui.undoButton.connect("clicked()", self.undo)
        ui.confidenceCheckBox.connect("toggled(bool)", self._onConfidenceToggled)
        ui.confidenceOpacitySlider.connect("valueChanged(double)", self._onOpacityChanged)

    def show(self, preview: Any, confidence: Any) -> None:
        """Takes a preview and its confidence volume; either may be None."""
        if preview is not self._preview:
            self._said = ""
            self._forgetUndo()
        if confidence is not self._confidence and self._confidence is not None:
            self._overlay.hide(self._confidence)
        self._preview, self._confidence = preview, confidence
        self.update()

    def accept(self) -> None:
        """Writes the preview into the segmentation that is chosen."""
        if self._preview is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The result can't be accepted.")):
            accepted = self._accept(self._preview)
            self._preview = None
            self._said, self._undo = accepted.said, accepted.undo
            # Undoing after a later change would take that back, too.
            self._watch = ChangeWatch(accepted.segmentation, self._onChangedSince)
        self.update()

    def undo(self) -> None:
        """Takes back the latest acceptance, as long as nothing else was changed since."""
        undo = self._undo
        if undo is not None:
            self._forgetUndo()
            undo()
            self._said = self._said if self._preview is not None else _("The acceptance was undone.")
            self.update()

    def discard(self) -> None:
        """Throws the preview away."""
        if self._preview is None:
            return
        preview, self._preview = self._preview, None
        self._overlay.hide(self._confidence)
        self._discard(preview)
        self._said = _("The preview was discarded.")
        self.update()

    @property
    def overlayIsOn(self) -> bool:
        """Whether the confidence lies over the views."""
        return self._overlay.isOn(self._confidence)

    def release(self) -> None:
        """Lets go of the scene: nothing of it is left on the views, to be undone or said."""
        self._overlay.hide(self._confidence)
        self._preview = self._confidence = None
        self._said = ""
        self._forgetUndo()
        self.update()

    def update(self) -> None:
        """Shows what there is and what can be done with it."""
        ui, preview = self._ui, self._preview
        notes = _notesText(preview) if preview is not None else []
        ui.resultLabel.toolTip = "\n".join(notes)
        if preview is not None:
            names = segmentNames(preview)
            said = [
                _("Preview: {segments}. It is kept only if you accept it.").format(
                    segments=", ".join(names) if names else _("nothing was found")
                ),
                *notes[:1],
            ]
            if len(notes) > 1:
                said.append(_("(and {count} more)").format(count=len(notes) - 1))
            ui.resultLabel.text = " ".join(said)
        else:
            ui.resultLabel.text = self._said or _("No result yet.")
        nothing = _("There is no preview; segment from examples first.")
        for button, tip in (
            (ui.acceptButton, _("Keep the preview where it says above.")),
            (ui.discardButton, _("Throw the preview away.")),
        ):
            button.enabled = preview is not None
            button.toolTip = tip if preview is not None else nothing
        if preview is not None and self._acceptShortcut:
            ui.acceptButton.toolTip = f"{ui.acceptButton.toolTip} ({self._acceptShortcut})"
        ui.undoButton.enabled = self._undo is not None
        ui.undoButton.toolTip = (
            _("Take the latest Accept back.")
            if self._undo is not None
            else _("There is nothing to undo: nothing was accepted into a segmentation, or it was changed since.")
        )
        available = self._confidence is not None
        ui.confidenceCheckBox.enabled = available
        ui.confidenceCheckBox.toolTip = (
            _("Show in the slice views how sure the result is, from unsure to sure.")
            if available
            else _("There is no confidence yet; it comes with a result.")
        )
        # The scene knows: it may have been saved with the overlay on.
        opacity = self._overlay.opacity(self._confidence)
        ui.confidenceCheckBox.checked = opacity is not None
        ui.confidenceOpacitySlider.enabled = opacity is not None
        if opacity is not None:
            ui.confidenceOpacitySlider.value = opacity

    def _onChangedSince(self) -> None:
        self._forgetUndo()
        self.update()

    def _forgetUndo(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._undo = self._watch = None

    def _onConfidenceToggled(self, shown: bool) -> None:
        if shown == self.overlayIsOn:
            return
        if shown:
            self._overlay.show(self._confidence, self._ui.confidenceOpacitySlider.value)
        else:
            self._overlay.hide(self._confidence)
        self.update()
        self._onOverlayChanged()

    def _onOpacityChanged(self, opacity: float) -> None:
        self._overlay.setOpacity(self._confidence, opacity)


def _notesText(preview: Any) -> list[str]:
    """What was found on painted slices and is not painted there, a sentence for each slice."""
    query, found = queryOf(preview), dict[tuple[int, int], list[str]]()
    for axis, index, name in notesOf(preview):
        found.setdefault((axis, index), []).append(name)
    return [
        _("Slice {place}: {segments} found, not painted there yet.").format(
            place=placeText(query, axis, index) if query is not None else index, segments=", ".join(names)
        )
        for (axis, index), names in found.items()
    ]
