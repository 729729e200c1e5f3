"""The controls of the Segment Editor effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from FewShotSegModule.effect.effect_session import EffectSession
from FewShotSegModule.panel.progress_text import stageText, timeLeftText
from FewShotSegModule.runs.segmentation_run import STARTING

#: What the progress bar counts of a whole run.
_WHOLE = 1000


class EffectOptions:
    """Buttons and texts, named and placed as those of Slicer's own effects that complete what is painted.

    Example::

        options = EffectOptions(scriptedEffect, update=update, cancel=cancel, apply=apply, showNext=showNext)
        options.show(session, autoUpdate=True)

    :param scriptedEffect: The effect, which has `addOptionsWidget` and `addLabeledOptionsWidget`.
    :param update: Called by the button that is Initialize, Update and, while that goes on, Stop.
    :param cancel: Called by *Cancel*.
    :param apply: Called by *Apply*.
    :param showNext: Called by *Next slice*.
    :param onAutoUpdate: Called with whether *Auto-update* is on.
    :param onOpacity: Called with a number from 0, inputs, to 1, results.
    :param on3D: Called with whether the preview is to be shown in 3D.
    """

    def __init__(
        self,
        scriptedEffect: Any,
        *,
        update: Callable[[], None],
        cancel: Callable[[], None],
        apply: Callable[[], None],
        showNext: Callable[[], None],
        onAutoUpdate: Callable[[bool], None],
        onOpacity: Callable[[float], None],
        on3D: Callable[[bool], None],
    ) -> None:
        self.autoUpdateCheckBox = qt.QCheckBox(_("Auto-update"))
        self.autoUpdateCheckBox.toolTip = _("Update the preview a second after what is painted has changed.")
        self.previewButton = qt.QPushButton()
        self.previewButton.objectName = "FewShotSegEffectPreview"
        scriptedEffect.addLabeledOptionsWidget(_("Preview:"), _row(self.autoUpdateCheckBox, self.previewButton))

        self.opacitySlider = ctk.ctkSliderWidget()
        self.opacitySlider.minimum, self.opacitySlider.maximum = 0.0, 1.0
        self.opacitySlider.singleStep, self.opacitySlider.pageStep = 0.05, 0.1
        self.opacitySlider.spinBoxVisible = False
        self.opacitySlider.toolTip = _("Show more of what was painted, or more of the preview.")
        self.show3DButton = qt.QPushButton(_("Show 3D"))
        self.show3DButton.checkable = True
        self.show3DButton.toolTip = _("Show the preview in the 3D views, too.")
        display = _row(qt.QLabel(_("inputs")), self.opacitySlider, qt.QLabel(_("results")), self.show3DButton)
        scriptedEffect.addLabeledOptionsWidget(_("Display:"), display)

        self.nextSliceButton = qt.QPushButton(_("Next slice"))
        self.nextSliceButton.objectName = "FewShotSegEffectNextSlice"
        self.reasonLabel = _text()
        scriptedEffect.addLabeledOptionsWidget(_("Paint next:"), _row(self.nextSliceButton, self.reasonLabel))

        self.progressBar = qt.QProgressBar()
        self.progressBar.textVisible = False
        self.progressBar.maximumHeight = 8
        self.stateLabel = _text()
        scriptedEffect.addOptionsWidget(self.progressBar)
        scriptedEffect.addOptionsWidget(self.stateLabel)

        self.cancelButton, self.applyButton = qt.QPushButton(_("Cancel")), qt.QPushButton(_("Apply"))
        self.cancelButton.objectName, self.applyButton.objectName = "FewShotSegEffectCancel", "FewShotSegEffectApply"
        self.cancelButton.toolTip = _("Remove the preview; what was painted stays.")
        self.applyButton.toolTip = _("Write the preview into the segments, where Masking lets it.")
        scriptedEffect.addOptionsWidget(_row(self.cancelButton, self.applyButton))

        self._connected: tuple[tuple[Any, str, Callable[..., None]], ...] = (
            (self.previewButton, "clicked()", update),
            (self.cancelButton, "clicked()", cancel),
            (self.applyButton, "clicked()", apply),
            (self.nextSliceButton, "clicked()", showNext),
            (self.autoUpdateCheckBox, "toggled(bool)", onAutoUpdate),
            (self.opacitySlider, "valueChanged(double)", onOpacity),
            (self.show3DButton, "toggled(bool)", on3D),
        )
        for widget, signal, slot in self._connected:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Lets go of what was connected, which would keep the effect alive."""
        for widget, signal, slot in self._connected:
            widget.disconnect(signal, slot)
        self._connected = ()

    def show(self, session: EffectSession | None, *, autoUpdate: bool) -> None:
        """Shows what is going on; None where nothing is."""
        live = session.live if session is not None else None
        preview = live.preview if live is not None else None
        updating = live is not None and live.state == "updating"
        has = preview is not None
        self._showButton(updating, has)
        for widget in (self.opacitySlider, self.show3DButton, self.nextSliceButton, self.applyButton):
            widget.enabled = has
        self.cancelButton.enabled = session is not None
        opacity, in3D = (session.opacity, session.isIn3D) if session is not None else (1.0, False)
        for widget, name, value in (
            (self.autoUpdateCheckBox, "checked", autoUpdate),
            (self.opacitySlider, "value", opacity),
            (self.show3DButton, "checked", in3D),
        ):
            blocked = widget.blockSignals(True)
            setattr(widget, name, value)
            widget.blockSignals(blocked)
        self.nextSliceButton.toolTip = (
            _("Show the slice whose painting would help most, and say why; then the next one.")
            if has
            else _("No slice is suggested; that comes with a preview.")
        )
        self.reasonLabel.text = session.reason if session is not None else ""
        self.stateLabel.text = said = self._stateText(session)
        self.stateLabel.visible = bool(said)
        self._showProgress(session)

    def _showButton(self, updating: bool, hasPreview: bool) -> None:
        button = self.previewButton
        if updating:
            button.text, button.toolTip = _("Stop"), _("Stop the update; the preview stays as it is.")
        elif hasPreview:
            button.text = _("Update")
            button.toolTip = _("Bring the preview up to date with what is painted in the visible segments.")
        else:
            button.text = _("Initialize")
            button.toolTip = _("Find in the whole volume what is painted on some slices in the visible segments.")

    def _showProgress(self, session: EffectSession | None) -> None:
        run = session.live.run if session is not None else None
        part = run.part if run is not None else None
        self.progressBar.visible = session is not None and session.live.state == "updating"
        # A range of nothing makes the bar show that there is something going on.
        self.progressBar.maximum = 0 if part is None else _WHOLE
        self.progressBar.value = 0 if part is None else round(_WHOLE * part)

    def _stateText(self, session: EffectSession | None) -> str:
        if session is None:
            return ""
        live = session.live
        said = session.note
        if live.state == "updating":
            stage, done, total, secondsLeft = live.progress or (STARTING, 0, 0, None)
            said = ", ".join(filter(None, (stageText(stage, done, total), timeLeftText(secondsLeft))))
        elif live.trouble:
            said = _("Not updated: {reason}").format(reason=live.trouble)
        elif live.state == "improving":
            said = _("Up to date; improving in the background.")
        elif live.state == "outdated" and live.preview is not None:
            said = _("Painted or changed since; {button} brings it up to date.").format(button=_("Update"))
        return said


def _row(*widgets: Any) -> Any:
    row = qt.QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _text() -> Any:
    label = qt.QLabel()
    label.wordWrap = True
    return label
