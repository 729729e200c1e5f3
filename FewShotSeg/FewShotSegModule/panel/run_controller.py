"""The button that starts a run and becomes Cancel, and the progress below it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.panel.progress_text import stageText, timeLeftText
from FewShotSegModule.runs.segmentation_run import STARTING

#: Milliseconds between two looks at the worker process; short enough for Cancel to feel immediate.
_INTERVAL = 100
#: What the progress bar counts of a whole run.
_WHOLE = 1000


class Run(Protocol):
    """What the controller needs of a run, as a SegmentationRun has it."""

    #: How much of it is done, 0 to 1; None before the work has begun.
    part: float | None

    def poll(self) -> None:
        """Takes in what has happened meanwhile, and calls back."""

    def cancel(self) -> None:
        """Ends it at once."""


class RunController:
    """Starts, watches and cancels one run at a time.

    Example::

        controller = RunController(ui, start=startRun, whatIsMissing=missing, prepare=ensurePackages, onFinished=show)
        controller.update()  # after anything changed that a run depends on
        controller.toggle()  # what a click does

    :param ui: Has runButton, progressBar, stageLabel, timeLabel, and statusStack with progressPanel and resultPage.
    :param start: Starts a run with the callbacks given as keywords (onProgress, onFinished, onFailed, onCancelled).
    :param whatIsMissing: What a run still needs, in words; empty if nothing.
    :param prepare: Called on a click before a run, may ask the user; False means that there is to be no run.
    :param onFinished: Called with the finished run.
    :param shortcut: Keys that do the same as a click, for the tooltip.
    """

    def __init__(
        self,
        ui: Any,
        *,
        start: Callable[..., Run],
        whatIsMissing: Callable[[], str],
        prepare: Callable[[], bool],
        onFinished: Callable[[Any], None],
        shortcut: str = "",
    ) -> None:
        self._ui = ui
        self._start, self._whatIsMissing, self._prepare = start, whatIsMissing, prepare
        self._onFinished, self._shortcut = onFinished, shortcut
        self._run: Run | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL)
        self._timer.connect("timeout()", self._poll)
        ui.runButton.connect("clicked()", self.toggle)
        self._showProgress(False)

    @property
    def running(self) -> bool:
        """Whether a run is on its way."""
        return self._run is not None

    def toggle(self) -> None:
        """Starts a run, or cancels the one that is on its way; does nothing where the button is disabled."""
        if self.running:
            self.cancel()
        elif not self._whatIsMissing():
            self._begin()

    def cancel(self) -> None:
        """Stops the run, if there is one; the scene stays as it was."""
        run = self._run
        if run is None:
            return
        run.cancel()
        # Runs report the end by a callback; one that had nothing left to report must not keep the button.
        if self._run is run:
            self._end()

    def update(self) -> None:
        """Shows whether a run can start, and if not, what is missing."""
        button = self._ui.runButton
        if self.running:
            button.text = _("Cancel")
            button.enabled = True
            button.toolTip = self._tip(_("Stop; nothing in the scene is changed."))
            return
        button.text = _("Segment from examples")
        missing = self._whatIsMissing()
        button.enabled = not missing
        button.toolTip = missing or self._tip(_("Find the segments of the examples in the whole volume."))

    def _tip(self, text: str) -> str:
        return f"{text} ({self._shortcut})" if self._shortcut else text

    def _begin(self) -> None:
        if not self._prepare():
            return
        self._onProgress(STARTING, 0, 0, None)
        with slicer.util.tryWithErrorDisplay(_("The segmentation can't start."), waitCursor=False):
            self._run = self._start(
                onProgress=self._onProgress,
                onFinished=self._onRunFinished,
                onFailed=self._onFailed,
                onCancelled=self._end,
            )
            self._showProgress(True)
            self._timer.start()
            self.update()

    def _showProgress(self, shown: bool) -> None:
        """Progress takes the place of the latest result's line, so that the button stays where it is."""
        self._ui.statusStack.setCurrentWidget(self._ui.progressPanel if shown else self._ui.resultPage)

    def _poll(self) -> None:
        if self._run is not None:
            self._run.poll()

    def _onProgress(self, stage: str, done: int, total: int, secondsLeft: float | None) -> None:
        bar, part = self._ui.progressBar, self._run.part if self._run is not None else None
        # A range of nothing makes the bar show that there is something going on.
        bar.maximum = 0 if part is None else _WHOLE
        bar.value = 0 if part is None else round(_WHOLE * part)
        self._ui.stageLabel.text = stageText(stage, done, total)
        self._ui.timeLabel.text = timeLeftText(secondsLeft)

    def _onRunFinished(self, run: Any) -> None:
        self._end()
        self._onFinished(run)

    def _onFailed(self, message: str) -> None:
        self._end()
        logging.error("FewShotSeg: run failed: %s", message)
        # Who closes the scene knows why the run ends, and a dialog must not open halfway through that.
        if not slicer.mrmlScene.IsClosing():
            slicer.util.errorDisplay(message, windowTitle=_("Segment from examples"))

    def _end(self) -> None:
        self._timer.stop()
        self._run = None
        self._showProgress(False)
        self.update()
