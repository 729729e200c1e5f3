"""The section for libraries of examples and cohorts of patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegLib.errors import FewShotSegError
from FewShotSegModule.cohort.cohort_run import CohortInput, CohortRun
from FewShotSegModule.cohort.review import CaseInScene, ReviewCase, readCases
from FewShotSegModule.cohort.scene_cases import writeCases
from FewShotSegModule.panel.cohort_table import CohortTable
from FewShotSegModule.panel.file_dialogs import pathOf
from FewShotSegModule.runs.run_timer import RunTimer

_STEPS = 100


class CohortSection:
    """Keeps examples in libraries, segments cohorts with them, and shows the results for review.

    :param ui: Has the widgets of the section.
    :param logic: The module's logic.
    :param examples: Gives the examples that are to be used.
    :param exampleList: Gives the list of examples; None while there is no scene.
    :param background: Gives the name of the segments that are painted on what is no structure.
    :param parameters: Gives the parameter node; None while there is no scene.
    :param prepare: Called before a run with what to do when everything that it needs is installed.
    """

    def __init__(
        self,
        ui: Any,
        *,
        logic: Any,
        examples: Callable[[], Sequence[Any]],
        exampleList: Callable[[], Any],
        background: Callable[[], str],
        parameters: Callable[[], Any],
        prepare: Callable[[], bool],
    ) -> None:
        self._ui, self._logic, self._examples, self._exampleList = ui, logic, examples, exampleList
        self._background, self._parameters, self._prepare = background, parameters, prepare
        self._run: CohortRun | None = None
        self._case: CaseInScene | None = None
        self._shown = ""
        self._table = CohortTable(ui.cohortTable, onOpened=self.openCase)
        for button, action in (
            (ui.libraryBrowseButton, self._browseLibrary),
            (ui.casesBrowseButton, lambda: _browseFolder(ui.casesPathEdit)),
            (ui.cohortOutputBrowseButton, lambda: _browseFolder(ui.cohortOutputEdit)),
            (ui.keepExamplesButton, self.keepExamples),
            (ui.takeExamplesButton, self.takeExamples),
            (ui.cohortRunButton, self.toggle),
            (ui.showCaseButton, self._openChosen),
            (ui.learnButton, self.keepCorrections),
        ):
            button.connect("clicked()", action)
        ui.cohortTable.connect("itemSelectionChanged()", self.update)

    # What the user does

    def keepExamples(self) -> None:
        """Adds the examples to the library."""
        with slicer.util.tryWithErrorDisplay(_("The examples can't be kept.")):
            count = self._logic.keepInLibrary(self._examples(), self._library(), self._background())
            self._say(_("The library has {count} scans.").format(count=count))

    def takeExamples(self) -> None:
        """Adds the library's painted slices to the examples."""
        with slicer.util.tryWithErrorDisplay(_("The library can't be opened.")):
            rows = self._logic.takeFromLibrary(self._library(), self._exampleList())
            self._say(_("{count} slices were added to the examples.").format(count=len(rows)))

    def toggle(self) -> None:
        """Starts the run over all cases, or ends it."""
        if self._run is not None and self._run.state == "running":
            self._run.cancel()
            self._ended(_("Stopped; what is finished stays, and the next run goes on from there."))
            return
        with slicer.util.tryWithErrorDisplay(_("The cases can't be segmented.")):
            if not self._prepare():
                return
            parameters = self._parameters()
            wanted = CohortInput(
                self._library(), self._queries(), parameters.cohortOutput, parameters.quality, parameters.device
            )
            self._run = CohortRun(wanted, onProgress=self._onProgress, onCase=self._onCase, onEnd=self._ended)
            RunTimer(self._run).start()
            self._say(_("Starting..."))
            self.update()

    def openCase(self, case: ReviewCase) -> None:
        """Shows a case in the scene, in the place of the one before."""
        with slicer.util.tryWithErrorDisplay(_("The case can't be shown.")):
            if self._case is not None and not self._mayGo(self._case):
                return
            opened = CaseInScene(case)
            if self._case is not None:
                self._case.remove()
            self._case = opened
            slicer.util.setSliceViewerLayers(background=opened.volume, fit=True)
            self.update()

    def keepCorrections(self) -> None:
        """Adds what was corrected on the case in the scene to the library."""
        if self._case is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The corrections can't be kept.")):
            rows = self._case.correctedRows()
            self._logic.keepInLibrary(rows, self._library(), "")
            self._case.takeAsFound()
            self._say(
                _(
                    "{count} corrected slices are in the library; segment all cases again, and what this changes is."
                ).format(count=len(rows))
            )

    # What is shown

    def update(self) -> None:
        """Shows what can be done, and the results of the chosen folder."""
        parameters, ui = self._parameters(), self._ui
        if parameters is None:
            return
        running = self._run is not None and self._run.state == "running"
        hasLibrary = bool(parameters.libraryPath)
        ui.keepExamplesButton.enabled = hasLibrary and bool(self._examples())
        ui.takeExamplesButton.enabled = hasLibrary and Path(parameters.libraryPath).exists()
        ui.casesPathEdit.enabled = ui.casesBrowseButton.enabled = not parameters.casesOfScene
        missing = self._whatIsMissing(parameters)
        ui.cohortRunButton.enabled = running or not missing
        ui.cohortRunButton.text = _("Stop") if running else _("Segment all cases")
        ui.cohortRunButton.toolTip = missing
        ui.cohortProgressBar.visible = running
        if parameters.cohortOutput != self._shown:
            self._shown = parameters.cohortOutput
            self._showCases()
        ui.showCaseButton.enabled = self._table.chosen is not None
        ui.learnButton.enabled = hasLibrary and self._case is not None and self._case.segmentation is not None

    def release(self) -> None:
        """Lets go of the scene and ends a run."""
        if self._run is not None:
            self._run.cancel()
        self._run = self._case = None

    # How

    def _library(self) -> str:
        return str(self._parameters().libraryPath)

    def _queries(self) -> str:
        """Path of the cases; volumes of the scene are written for it."""
        parameters = self._parameters()
        if not parameters.casesOfScene:
            return str(parameters.casesPath)
        return str(writeCases(parameters.cohortOutput, self._examples()))

    def _whatIsMissing(self, parameters: Any) -> str:
        if not parameters.libraryPath:
            return _("Choose a library of examples.")
        if not parameters.casesPath and not parameters.casesOfScene:
            return _("Choose the volumes to segment.")
        if not parameters.cohortOutput:
            return _("Choose a folder for the results.")
        return ""

    def _browseLibrary(self) -> None:
        path = pathOf(
            qt.QFileDialog.getSaveFileName(
                self._ui.libraryPathEdit,
                _("Library of examples"),
                self._ui.libraryPathEdit.text,
                _("Libraries (*.zip)"),
                None,
                qt.QFileDialog.DontConfirmOverwrite,  # examples are added to one that is there
            )
        )
        if path:
            self._ui.libraryPathEdit.text = path if Path(path).is_dir() or path.endswith(".zip") else f"{path}.zip"

    def _openChosen(self) -> None:
        if self._table.chosen is not None:
            self.openCase(self._table.chosen)

    def _mayGo(self, case: CaseInScene) -> bool:
        """Whether a case may leave the scene: not without a question if it holds corrections."""
        try:
            corrected = case.correctedSlices()
        except FewShotSegError:  # its nodes are gone
            return True
        return not corrected or slicer.util.confirmOkCancelDisplay(
            _("{name} has {count} corrected slices, which are not in the library. Close it?").format(
                name=case.case.name, count=len(corrected)
            )
        )

    def _onProgress(self, _what: str, done: float, total: int, left: str) -> None:
        self._ui.cohortProgressBar.maximum = max(total, 1) * _STEPS
        self._ui.cohortProgressBar.value = round(done * _STEPS)
        said = _("{done} of {total} cases").format(done=int(done), total=total)
        self._say(f"{said}, {left}" if left else said)

    def _onCase(self, _name: str) -> None:
        self._showCases()

    def _ended(self, message: str) -> None:
        self._showCases()
        self._say(message or _("All cases are segmented; those at the top should be looked at first."))
        self.update()

    def _showCases(self) -> None:
        self._table.show(readCases(self._shown) if self._shown else [])

    def _say(self, text: str) -> None:
        self._ui.cohortStateLabel.text = text


def _browseFolder(edit: Any) -> None:
    path = pathOf(qt.QFileDialog.getExistingDirectory(edit, "", edit.text))
    if path:
        edit.text = path
