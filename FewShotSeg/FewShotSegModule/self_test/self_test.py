"""All cases of the self-test."""

from __future__ import annotations

import unittest
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.logic import FewShotSegLogic
from FewShotSegModule.scene.confidence import writeConfidence
from FewShotSegModule.scene.errors import ObliqueViewError
from FewShotSegModule.scene.preview import makePreview
from FewShotSegModule.scene.slice_views import sliceOfView
from FewShotSegModule.self_test.cohort_cases import CohortCases
from FewShotSegModule.self_test.effect_cases import EffectCases
from FewShotSegModule.self_test.loop_cases import LoopCases
from FewShotSegModule.self_test.made_up import PAINTED, SPACING, madeUpResult, madeUpScan


class FewShotSegTest(LoopCases, EffectCases, CohortCases):
    """Paints two structures of a made-up scan on three slices and expects to get them on the others.

    What needs no Python packages beyond Slicer's own is tested in any case. Some tests only go where the application
    once went down, since nothing but the application with its views and widgets can show that.
    """

    def runTest(self, **_options: Any) -> None:
        """Runs all tests, as Slicer asks for."""
        for test in (
            self.test_scenesCloseWhileThePanelIsShown,
            self.test_previewsAreAcceptedAndDiscardedByScripts,
            self.test_previewsAreAcceptedUndoneAndDiscardedInThePanel,
            self.test_nodesOfThePanelAreDeletedByOthers,
            self.test_panelKeepsExamplesAndSettings,
            self.test_rowsTellWhatIsKnown,
            self.test_nextSliceIsShownAndCorrected,
            self.test_consoleCallSegments,
            self.test_panelSegmentsAndAccepts,
            self.test_previewFollowsWhatIsPainted,
            self.test_updatesEndWithWhatTheyAreAbout,
            self.test_effectIsInTheSegmentEditor,
            self.test_effectInitializesFollowsAndApplies,
            self.test_effectEndsWithWhatItIsAbout,
            self.test_examplesAreKeptInALibrary,
            self.test_cohortIsSegmentedAndCorrected,
        ):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as skipped:
                # Slicer's button "Reload and Test" would take it for a failure.
                self.delayDisplay(_("Skipped: {reason}").format(reason=skipped), 2000)

    def test_scenesCloseWhileThePanelIsShown(self) -> None:
        """Empty and filled scenes, with and without an active brush, while other modules are shown, too."""
        slicer.util.selectModule("FewShotSeg")
        for _empty in range(2):
            slicer.mrmlScene.Clear(0)
            self._stir()
        ui = self._panelFor(*madeUpScan()[:2])
        for effect in ("", "Paint"):
            ui.segmentEditorWidget.setActiveEffectByName(effect)
            self._stir()
            slicer.mrmlScene.Clear(0)
            self._stir()
            assert ui.segmentEditorWidget.mrmlSegmentEditorNode() is not None
            self._panelFor(*madeUpScan()[:2])
        slicer.util.selectModule("Data")
        slicer.mrmlScene.Clear(0)
        self._stir()
        slicer.util.selectModule("FewShotSeg")
        self._stir()
        self.delayDisplay(_("Closing a scene is safe."))

    def test_previewsAreAcceptedAndDiscardedByScripts(self) -> None:
        """As the console does it, while the module is shown and while it isn't."""
        logic = FewShotSegLogic()
        for module in ("Data", "FewShotSeg"):
            slicer.mrmlScene.Clear(0)
            slicer.util.selectModule(module)
            volume, segmentation, truth = madeUpScan()
            for target in (None, segmentation):
                logic.discard(makePreview(volume, madeUpResult(truth)))
                self._stir()
                accepted = logic.accept(makePreview(volume, madeUpResult(truth)), target)
                self._checkResult(accepted, volume, truth)
                self._stir()
                logic.undoAccept()
                self._stir()
        logic.removeObservers()
        self.delayDisplay(_("Scripts can accept and discard."))

    def test_previewsAreAcceptedUndoneAndDiscardedInThePanel(self) -> None:
        """By the buttons, with the confidence shown; nothing but what was accepted is left."""
        volume, segmentation, truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        parameters = slicer.util.getModuleWidget("FewShotSeg").logic.getParameterNode()
        for target in (None, segmentation):
            before = _nodeIds()
            parameters.confidenceVolume = writeConfidence(volume, madeUpResult(truth))
            parameters.preview = makePreview(volume, madeUpResult(truth))
            ui.outputSegmentationSelector.setCurrentNode(target)
            ui.confidenceCheckBox.click()
            self._stir()
            ui.acceptButton.click()
            self._stir()
            assert ui.undoButton.enabled, ui.undoButton.toolTip
            ui.undoButton.click()
            self._stir()
            assert parameters.preview is not None
            ui.discardButton.click()
            self._stir()
            assert parameters.preview is None
            assert _nodeIds() == before
        self.delayDisplay(_("Accept, Undo and Discard are safe."))

    def test_nodesOfThePanelAreDeletedByOthers(self) -> None:
        """What the panel shows can be deleted in the module Data or by a script at any time."""
        volume, segmentation, truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        parameters = slicer.util.getModuleWidget("FewShotSeg").logic.getParameterNode()
        parameters.confidenceVolume = writeConfidence(volume, madeUpResult(truth))
        parameters.preview = makePreview(volume, madeUpResult(truth))
        ui.addAllButton.click()
        ui.confidenceCheckBox.click()
        ui.segmentEditorWidget.setActiveEffectByName("Paint")
        editorNode = ui.segmentEditorWidget.mrmlSegmentEditorNode()
        for node in (parameters.confidenceVolume, parameters.preview, editorNode, segmentation, volume):
            slicer.mrmlScene.RemoveNode(node)
            self._stir()
        assert not ui.acceptButton.enabled
        assert not ui.confidenceCheckBox.enabled
        self._waitFor(lambda: ui.exampleTable.rowCount == 0)
        self.delayDisplay(_("Nodes can be deleted."))

    def test_panelKeepsExamplesAndSettings(self) -> None:
        """Rows, pictures, settings and the end of a scene; needs no packages."""
        volume, segmentation, _truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        self._checkTools(ui)
        self._checkRows(ui)
        self._checkCurrentSlice(ui, volume)
        self._checkSettings(ui, volume)
        assert ui.runButton.enabled, ui.runButton.toolTip
        slicer.mrmlScene.Clear(0)
        slicer.app.processEvents()
        assert ui.exampleTable.rowCount == 0
        assert not ui.runButton.enabled
        assert ui.queryVolumeSelector.currentNode() is None
        self.delayDisplay(_("The panel keeps examples and settings."))

    def test_consoleCallSegments(self) -> None:
        """The one call that scripts use gives the structures."""
        self._needPackages()
        volume, segmentation, truth = madeUpScan()
        logic = FewShotSegLogic()
        try:
            result = logic.segmentFromExamples(volume, segmentation, sliceIndices=list(PAINTED), axis=0, device="cpu")
        finally:
            logic.shutdown()
        self._checkResult(result, volume, truth)
        self.delayDisplay(_("The console call works."))

    def test_panelSegmentsAndAccepts(self) -> None:
        """The panel does the same by its buttons, and an accepted result is a segmentation with the examples' names."""
        self._needPackages()
        volume, segmentation, truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        ui.addAllButton.click()
        slicer.app.processEvents()
        assert ui.exampleTable.rowCount == len(PAINTED)
        assert ui.runButton.enabled, ui.runButton.toolTip
        ui.runButton.click()
        self._waitFor(lambda: ui.acceptButton.enabled)
        ui.acceptButton.click()
        slicer.app.processEvents()
        accepted = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            if node is not segmentation and node.GetSegmentation().GetNumberOfSegments()
        ]
        assert len(accepted) == 1
        self._checkResult(accepted[0], volume, truth)
        self.delayDisplay(_("The panel works."))

    def _checkTools(self, ui: Any) -> None:
        """A tool that is chosen neither widens the panel nor brings masking and help along."""
        layout = ui.FewShotSeg.layout()
        width = layout.minimumSize().width()
        for name in ("Paint", "Threshold", ""):
            ui.segmentEditorWidget.setActiveEffectByName(name)
            slicer.app.processEvents()
            assert layout.minimumSize().width() == width, name
            assert ui.MaskingGroupBox.collapsed
            assert not ui.EffectHelpBrowser.visible

    def _checkRows(self, ui: Any) -> None:
        """Use, picture, place with segments, and removal of each row."""
        table = ui.exampleTable
        ui.addAllButton.click()
        slicer.app.processEvents()
        assert table.rowCount == len(PAINTED)
        for row in range(table.rowCount):
            assert table.cellWidget(row, 1).pixmap.width() > 0, "each row shows its slice"
            assert "mm" in table.cellWidget(row, 2).text
            assert "large" in table.cellWidget(row, 2).text
        for row in range(table.rowCount):
            table.cellWidget(row, 0).click()
        assert not ui.runButton.enabled, "no row is checked"
        table.cellWidget(0, 0).click()
        assert ui.runButton.enabled, ui.runButton.toolTip
        table.cellWidget(2, 3).click()
        self._waitFor(lambda: table.rowCount == len(PAINTED) - 1)

    def _checkCurrentSlice(self, ui: Any, volume: Any) -> None:
        """The slice of the Red view is added, and a tilted view is refused."""
        view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        if view is None:  # without a main window there are no views
            return
        rows = ui.exampleTable.rowCount
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
        view.SetOrientationToAxial()
        view.JumpSliceByOffsetting(middle[0], middle[1], SPACING[2] * PAINTED[-1])
        ui.viewSelector.currentIndex = 0
        ui.addSliceButton.click()
        assert ui.exampleTable.rowCount == rows + 1
        view.SetSliceToRASByNTP(0.2, 0.3, 0.9, 1, 0, 0, *middle, 0)
        try:
            sliceOfView(view, volume)
        except ObliqueViewError:
            view.SetOrientationToAxial()
        else:
            raise AssertionError("a tilted view shows no single slice")

    def _checkSettings(self, ui: Any, volume: Any) -> None:
        """What is set in the panel is in the scene."""
        logic = slicer.util.getModuleWidget("FewShotSeg").logic
        ui.refineCheckBox.click()
        assert logic.getParameterNode().refine is False
        assert not ui.refineStrengthSlider.enabled
        ui.deviceSelector.currentIndex = 1
        assert logic.getParameterNode().device == "cpu"
        ui.qualitySelector.currentIndex = 1
        assert logic.getParameterNode().quality == "best"
        ui.qualitySelector.currentIndex = 0
        ui.segmentList.item(0).setCheckState(qt.Qt.Unchecked)
        assert list(logic.getParameterNode().leftOutSegments) == ["large"]
        ui.sliceRangeCheckBox.click()
        ui.sliceRangeWidget.setValues(3, 8)
        assert list(logic.getParameterNode().sliceRange) == [3, 8]
        roi = ui.roiSelector.addNode()
        assert logic.getParameterNode().roi is roi
        around, bounds = [0.0] * 6, [0.0] * 6
        roi.GetRASBounds(around)
        volume.GetRASBounds(bounds)
        assert np.allclose(around, bounds), "a new region surrounds the volume"


def _nodeIds() -> set[str]:
    """All nodes but those that the application and the module's editor keep."""
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return {node.GetID() for node in nodes if node.IsA("vtkMRMLDisplayableNode") or node.IsA("vtkMRMLDisplayNode")}
