"""The section for libraries of examples and cohorts of patients."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegLib.errors import FewShotSegError
from FewShotSegModule.cohort.cohort_run import SEGMENTING, WRITING, CohortRun
from FewShotSegModule.cohort.libraries import describe
from FewShotSegModule.cohort.review import CaseInScene, CaseReader, ReviewCase
from FewShotSegModule.panel.cohort_table import CohortTable
from FewShotSegModule.panel.file_dialogs import browseMenu, pathOf
from FewShotSegModule.panel.names_that_fit import breakable
from FewShotSegModule.panel.progress_text import timeLeftText
from FewShotSegModule.panel.scene_case_list import SceneCaseList
from FewShotSegModule.scene.required import inScene

_STEPS = 100
#: How many times longer than reading the results takes the table stays as it is while a run goes on.
_RARELY = 20


class CohortSection:
    """Keeps examples in libraries, segments cohorts with them, and shows the results for review.

    :param ui: Has the widgets of the section.
    :param logic: The module's logic.
    :param examples: Gives the examples that are to be used.
    :param exampleList: Gives the list of examples; None while there is no scene.
    :param background: Gives the name of the segments that are painted on what is no structure.
    :param parameters: Gives the parameter node; None while there is no scene.
    :param prepare: Called before a run, may ask the user; False means that there is to be no run.
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
        #: What was painted on and in before a case was shown.
        self._paintedBefore: tuple[Any, Any] | None = None
        self._shown = self._described = ""
        self._reader = CaseReader()
        #: When the table is filled again while a run goes on.
        self._fillAt = 0.0
        self._table = CohortTable(ui.cohortTable, onOpened=self.openCase)
        self._sceneCases = SceneCaseList(ui.sceneCaseList, onChanged=self.update)
        for button, action in (
            (ui.cohortOutputBrowseButton, lambda: _browseFolder(ui.cohortOutputEdit)),
            (ui.keepExamplesButton, self.keepExamples),
            (ui.takeExamplesButton, self.takeExamples),
            (ui.cohortRunButton, self.toggle),
            (ui.showCaseButton, self._openChosen),
            (ui.learnButton, self.keepCorrections),
        ):
            button.connect("clicked()", action)
        ui.cohortTable.connect("itemSelectionChanged()", self.update)
        library, cases = ui.libraryPathEdit, ui.casesPathEdit
        browseMenu(
            ui.libraryBrowseButton, library, _("Folder..."), _("File (.zip)..."), lambda: _askForLibrary(library)
        )
        browseMenu(ui.casesBrowseButton, cases, _("Folder..."), _("Table (.csv)..."), lambda: _askForTable(cases))

    @property
    def segmentation(self) -> Any:
        """The segmentation of the case in the scene, which is corrected and no place to paint examples in."""
        return self._case.segmentation if self._case is not None else None

    # What the user does

    def keepExamples(self) -> None:
        """Adds the examples to the library."""
        with slicer.util.tryWithErrorDisplay(_("The examples can't be kept."), waitCursor=True):
            self._logic.keepInLibrary(self._examples(), self._library(), self._background())
            self._describe()
            self.update()

    def takeExamples(self) -> None:
        """Adds the library's painted slices to the examples."""
        with slicer.util.tryWithErrorDisplay(_("The library can't be opened."), waitCursor=True):
            rows = self._logic.takeFromLibrary(self._library(), self._exampleList())
            self._say(_("{count} slices were added to the examples.").format(count=len(rows)))

    def toggle(self) -> None:
        """Starts the run over all cases, or ends it."""
        if self._isRunning:
            self._logic.endCohort()
            self._ended(_("Stopped; what is finished stays, and the next run goes on from there."))
            return
        parameters = self._parameters()
        if parameters is None or self._whatIsMissing(parameters) or not self._prepare():
            return
        with slicer.util.tryWithErrorDisplay(_("The cases can't be segmented."), waitCursor=False):
            queries = self._sceneCases.chosen if parameters.casesOfScene else str(parameters.casesPath)
            self._fillAt = 0.0
            self._run = self._logic.startCohort(
                self._library(),
                queries,
                str(parameters.cohortOutput),
                parameters.quality,
                parameters.device,
                onProgress=self._onProgress,
                onCase=self._onCase,
                onEnd=self._ended,
            )
            self._ui.cohortProgressBar.maximum = 0  # it moves until something is counted
            self._say(_("Starting..."))
            self.update()

    def openCase(self, case: ReviewCase) -> None:
        """Shows a case in the scene, in the place of the one before."""
        before = self._case
        if before is not None and before.case == case and before.isThere:
            self._look(before)
            return
        with slicer.util.tryWithErrorDisplay(_("The case can't be shown."), waitCursor=False):
            if before is not None and not self._mayGo(before):
                return
            opened = CaseInScene(case)
            self._close()
            self._case = opened
            self._look(opened)
            self.update()

    def keepCorrections(self) -> None:
        """Adds what was corrected on the case in the scene to the library."""
        if self._case is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The corrections can't be kept."), waitCursor=True):
            kept, corrected = self._logic.keepCorrections(self._case, self._library())
            said = _("{count} corrected slices are in the library; segment all cases again, and what this changes is.")
            if kept < corrected:
                said = _(
                    "{count} of {all} corrected slices, spread over all of them, are in the library; segment all cases"
                    " again, and what this changes is."
                )
            self._say(said.format(count=kept, all=corrected))
            self._describe()
            self.update()

    # What is shown

    def update(self) -> None:
        """Shows what can be done, and the results of the chosen folder."""
        parameters, ui = self._parameters(), self._ui
        if parameters is None:
            return
        running = self._isRunning
        hasLibrary = bool(parameters.libraryPath)
        ui.keepExamplesButton.enabled = hasLibrary and bool(self._examples())
        ui.takeExamplesButton.enabled = hasLibrary and Path(parameters.libraryPath).exists()
        ui.casesPathEdit.enabled = ui.casesBrowseButton.enabled = not parameters.casesOfScene
        ui.sceneCaseList.setVisible(parameters.casesOfScene)
        if parameters.casesOfScene:
            self._sceneCases.show(self._logic.casesOf(self._exampleList().rows()))
        missing = self._whatIsMissing(parameters)
        ui.cohortRunButton.enabled = running or not missing
        ui.cohortRunButton.text = _("Stop") if running else _("Segment all cases")
        ui.cohortRunButton.toolTip = missing or _(
            "In the background, with quality and device of Advanced. What was finished before is not computed again."
        )
        ui.cohortProgressBar.setVisible(running)
        if parameters.libraryPath != self._described:
            self._describe()
        if parameters.cohortOutput != self._shown:
            self._shown = parameters.cohortOutput
            self._showCases()
        ui.showCaseButton.enabled = self._table.chosen is not None
        ui.learnButton.enabled = hasLibrary and self.segmentation is not None

    def release(self) -> None:
        """Lets go of the scene and ends a run."""
        self._logic.endCohort()
        self._run = self._case = self._paintedBefore = None
        self._sceneCases.forget()

    # How

    @property
    def _isRunning(self) -> bool:
        return self._run is not None and self._run.state == "running"

    def _library(self) -> str:
        return str(self._parameters().libraryPath)

    def _whatIsMissing(self, parameters: Any) -> str:
        if not parameters.libraryPath:
            return _("Choose a library of examples.")
        if not parameters.casesPath and not parameters.casesOfScene:
            return _("Choose the volumes to segment.")
        if parameters.casesOfScene and not self._sceneCases.chosen:
            return _("Load or check volumes of the scene that are to be segmented; those with examples are not.")
        if not parameters.cohortOutput:
            return _("Choose a folder for the results.")
        return ""

    def _openChosen(self) -> None:
        if self._table.chosen is not None:
            self.openCase(self._table.chosen)

    def _look(self, case: CaseInScene) -> None:
        """Shows a case in the views, and has the panel's tools paint in it."""
        slicer.util.setSliceViewerLayers(background=case.volume, fit=True)
        parameters = self._parameters()
        if case.segmentation is not None and parameters.paintSegmentation is not case.segmentation:
            self._paintedBefore = parameters.paintVolume, parameters.paintSegmentation
            # In this order: for a volume without one the panel makes a segmentation.
            parameters.paintSegmentation = case.segmentation
            parameters.paintVolume = case.volume

    def _close(self) -> None:
        """Takes the case that is shown out of the scene."""
        case, self._case = self._case, None
        if case is None:
            return
        parameters, before = self._parameters(), self._paintedBefore
        self._paintedBefore = None
        if before is not None and parameters.paintSegmentation is case.segmentation:
            volume, segmentation = (node if node is not None and inScene(node) else None for node in before)
            parameters.paintSegmentation = segmentation
            parameters.paintVolume = volume
        case.remove()

    def _mayGo(self, case: CaseInScene) -> bool:
        """Whether a case may leave the scene: not without a question if it holds corrections."""
        try:
            corrected = case.correctedSlices()
        except FewShotSegError:  # its nodes are gone, or it has no result
            return True
        return not corrected or slicer.util.confirmOkCancelDisplay(
            _("{name} has {count} corrected slices, which are not in the library. Close it?").format(
                name=case.case.name, count=len(corrected)
            )
        )

    def _onProgress(self, what: str, done: float, total: int, secondsLeft: float | None) -> None:
        self._ui.cohortProgressBar.maximum = max(total, 1) * _STEPS
        self._ui.cohortProgressBar.value = round(done * _STEPS)
        if what == WRITING:
            said = _("Writing the scene's volumes: {done} of {total}").format(done=int(done), total=total)
        elif what == SEGMENTING:
            said = _("{done} of {total} cases").format(done=int(done), total=total)
        else:
            said = _("Comparing the library's scans with each other")
        left = timeLeftText(secondsLeft)
        self._say(f"{said}, {left}" if left else said)

    def _onCase(self, _name: str) -> None:
        # Of thousands of cases the table is not filled after each one.
        now = time.monotonic()
        if now >= self._fillAt:
            self._showCases()
            self._fillAt = now + _RARELY * (time.monotonic() - now)

    def _ended(self, message: str) -> None:
        self._showCases()
        self._say(message or _("All cases are segmented; those at the top should be looked at first."))
        self.update()

    def _describe(self) -> None:
        """Says what the library holds."""
        self._described = self._library()
        said = describe(self._described)
        self._ui.libraryInfoLabel.text = self._ui.libraryInfoLabel.toolTip = said
        self._ui.libraryInfoLabel.setVisible(bool(said))

    def _showCases(self) -> None:
        self._table.show(self._reader.read(self._shown) if self._shown else [])

    def _say(self, text: str) -> None:
        self._ui.cohortStateLabel.text, self._ui.cohortStateLabel.toolTip = breakable(text), text


def _browseFolder(edit: Any) -> None:
    path = pathOf(qt.QFileDialog.getExistingDirectory(edit, "", edit.text))
    if path:
        edit.text = path


def _askForLibrary(edit: Any) -> str:
    title, kinds = _("Library of examples"), _("Libraries (*.zip)")
    # Examples are added to one that is there.
    anew = qt.QFileDialog.DontConfirmOverwrite
    path = pathOf(qt.QFileDialog.getSaveFileName(edit, title, edit.text, kinds, None, anew))
    return path if not path or path.lower().endswith(".zip") else f"{path}.zip"


def _askForTable(edit: Any) -> str:
    return pathOf(qt.QFileDialog.getOpenFileName(edit, _("Volumes to segment"), edit.text, _("Tables (*.csv)")))
