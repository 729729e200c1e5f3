"""Cases of libraries and cohorts: examples that are kept, a run over other volumes, a case that is corrected."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.self_test.cases import Cases
from FewShotSegModule.self_test.made_up import madeUpScan


class CohortCases(Cases):
    """In the module's panel, with files in a temporary folder."""

    def test_examplesAreKeptInALibrary(self) -> None:
        """And come back into another scene as they were; needs no packages."""
        folder = Path(tempfile.mkdtemp())
        try:
            volume, segmentation, _truth = madeUpScan()
            ui = self._panelFor(volume, segmentation)
            ui.addAllButton.click()
            expected = {row.index: Painted(volume, segmentation).plane(0, row.index) for row in self._rows()}
            ui.libraryPathEdit.text = str(folder / "library.zip")
            slicer.app.processEvents()
            ui.keepExamplesButton.click()
            slicer.mrmlScene.Clear(0)
            slicer.app.processEvents()
            ui.libraryPathEdit.text = str(folder / "library.zip")
            slicer.app.processEvents()
            ui.takeExamplesButton.click()
            self._stir()
            rows = self._rows()
            assert [row.index for row in rows] == list(expected)
            for row in rows:
                there = Painted(row.volume, row.segmentation).plane(0, row.index)
                assert np.array_equal(there, expected[row.index])
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.delayDisplay(_("Examples come back from a library."))

    def test_cohortIsSegmentedAndCorrected(self) -> None:
        """Another volume of the scene in the background, its result opened, corrected, and kept in the library."""
        self._needPackages()
        if not hasattr(slicer.app, "ioManager"):
            self.skipTest(_("the part of the application that loads files is not here"))
        folder = Path(tempfile.mkdtemp())
        try:
            volume, segmentation, truth = madeUpScan()
            ui = self._panelFor(volume, segmentation)
            ui.addAllButton.click()
            other = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "second")
            array = slicer.util.arrayFromVolume(other)
            array += np.random.default_rng(1).integers(-5, 5, array.shape).astype(array.dtype)
            slicer.util.arrayFromVolumeModified(other)
            ui.libraryPathEdit.text = str(folder / "library")
            ui.cohortOutputEdit.text = str(folder / "results")
            if not ui.sceneCasesCheckBox.checked:
                ui.sceneCasesCheckBox.click()
            slicer.app.processEvents()
            ui.keepExamplesButton.click()
            ui.cohortRunButton.click()
            self._waitFor(lambda: ui.cohortTable.rowCount == 1 and not ui.cohortProgressBar.visible)
            ui.cohortTable.selectRow(0)
            ui.showCaseButton.click()
            self._stir()
            loaded = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetName() == "second"]
            assert len(loaded) == 1
            assert ui.segmentEditorWidget.segmentationNode() is loaded[0]
            self._checkResult(loaded[0], other, truth)
            self._paint(loaded[0], other, {"large": np.zeros(array.shape, bool)}, 4)
            ui.learnButton.click()
            assert "library" in ui.cohortStateLabel.text
            ui.cohortRunButton.click()
            self._waitFor(lambda: not ui.cohortProgressBar.visible)
            ui.showCaseButton.click()
            self._stir()
            again = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetName() == "second"]
            assert len(again) == 1
            assert again[0] is not loaded[0], "it was computed again"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.delayDisplay(_("A cohort is segmented and corrected."))

    def _rows(self) -> list:
        logic = slicer.util.getModuleWidget("FewShotSeg").logic
        return ExampleList(logic.getParameterNode().parameterNode).rows()
