"""The button that starts an update and becomes Cancel, and what is said of the loop beside and below it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegModule.live.live_segmentation import LiveSegmentation
from FewShotSegModule.panel.progress_text import stageText, timeLeftText
from FewShotSegModule.runs.segmentation_run import STARTING

#: What the progress bar counts of a whole run.
_WHOLE = 1000


class RunController:
    """Shows what the loop is at, and lets the user start and cancel an update.

    Example::

        controller = RunController(ui, live=live, whatIsMissing=missing, prepare=ensurePackages)
        controller.update()  # after anything changed that a run depends on
        controller.toggle()  # what a click does

    :param ui: Has runButton, stateLabel, progressBar, stageLabel, timeLabel, and statusStack with progressPanel and
        resultPage.
    :param live: The loop.
    :param whatIsMissing: What a run still needs, in words; empty if nothing.
    :param prepare: Called on a click before a run, may ask the user; False means that there is to be no run.
    :param note: What else is to be said, in words; empty if nothing.
    :param shortcut: Keys that do the same as a click, for the tooltip.
    """

    def __init__(
        self,
        ui: Any,
        *,
        live: LiveSegmentation,
        whatIsMissing: Callable[[], str],
        prepare: Callable[[], bool],
        note: Callable[[], str] = lambda: "",
        shortcut: str = "",
    ) -> None:
        self._ui, self._live = ui, live
        self._whatIsMissing, self._prepare, self._note = whatIsMissing, prepare, note
        self._shortcut = shortcut
        self._missing = ""
        self._wasUpdating = False
        ui.runButton.connect("clicked()", self.toggle)
        self.showState()

    def toggle(self) -> None:
        """Starts an update, or cancels the one that is on its way; does nothing where the button is disabled."""
        if self._live.state == "updating":
            self._live.cancel()
            return
        # What was just painted may be the first example.
        self._live.notice()
        if not self._whatIsMissing() and self._prepare():
            with slicer.util.tryWithErrorDisplay(_("The segmentation can't start."), waitCursor=False):
                self._live.update()

    def update(self) -> None:
        """Shows whether a run can start, and if not, what is missing."""
        self._missing = self._whatIsMissing()
        self.showState()

    def showState(self) -> None:
        """Shows what the loop is at; for each step of it."""
        updating = self._live.state == "updating"
        if self._wasUpdating and not updating:
            # What came and went meanwhile was not looked at.
            self._missing = self._whatIsMissing()
        self._wasUpdating = updating
        self._showButton(updating)
        # Progress takes the place of the latest result's line, so that the button stays where it is.
        self._ui.statusStack.setCurrentWidget(self._ui.progressPanel if updating else self._ui.resultPage)
        if updating:
            self._showProgress()
        said = self._stateText()
        self._ui.stateLabel.text = self._ui.stateLabel.toolTip = said
        self._ui.stateLabel.setVisible(bool(said))

    def tellFailure(self, message: str) -> None:
        """Tells why an update that the user asked for failed."""
        logging.error("FewShotSeg: run failed: %s", message)
        # Who closes the scene knows why the run ends, and a dialog must not open halfway through that.
        if not slicer.mrmlScene.IsClosing():
            slicer.util.errorDisplay(message, windowTitle=_("Segment from examples"))

    def _showButton(self, updating: bool) -> None:
        button = self._ui.runButton
        if updating:
            button.text = _("Cancel")
            button.enabled = True
            button.toolTip = self._tip(_("Stop; nothing in the scene is changed."))
            return
        isFirst = self._live.preview is None
        button.text = _("Segment from examples") if isFirst else _("Update")
        button.enabled = not self._missing
        tip = (
            _("Find the segments of the examples in the whole volume.")
            if isFirst
            else _("Bring the preview up to date with the examples; with Auto-update, that happens by itself.")
        )
        button.toolTip = self._missing or self._tip(tip)

    def _stateText(self) -> str:
        """What is to be known beyond the result; empty where it is up to date."""
        live = self._live
        if live.trouble:
            return _("Not updated: {reason}").format(reason=live.trouble)
        if live.state == "improving":
            part = live.run.part if live.run is not None else None
            if part is None:
                return _("Up to date; improving in the background.")
            return _("Up to date; improving in the background ({percent} %).").format(percent=round(100 * part))
        if live.state == "outdated" and live.preview is not None:
            return _("Painted or changed since; {button} brings it up to date.").format(button=_("Update"))
        return self._note()

    def _showProgress(self) -> None:
        bar, run = self._ui.progressBar, self._live.run
        part = run.part if run is not None else None
        stage, done, total, secondsLeft = self._live.progress or (STARTING, 0, 0, None)
        # A range of nothing makes the bar show that there is something going on.
        bar.maximum = 0 if part is None else _WHOLE
        bar.value = 0 if part is None else round(_WHOLE * part)
        self._ui.stageLabel.text = stageText(stage, done, total)
        self._ui.timeLabel.text = timeLeftText(secondsLeft)

    def _tip(self, text: str) -> str:
        return f"{text} ({self._shortcut})" if self._shortcut else text
