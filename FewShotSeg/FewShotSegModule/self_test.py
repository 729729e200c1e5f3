"""The self-test of the module; it runs inside Slicer ("Reload and Test", or ctest), with Slicer's own widgets."""

from __future__ import annotations

import time
import unittest
from dataclasses import replace
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from FewShotSegLib.worker.protocol import Suggestion
from FewShotSegModule.effect.effect_session import previewOf
from FewShotSegModule.logic import FewShotSegLogic
from FewShotSegModule.runs.run_input import Structure
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene.confidence import writeConfidence
from FewShotSegModule.scene.errors import ObliqueViewError
from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import makePreview
from FewShotSegModule.scene.slice_views import sliceOfView
from FewShotSegModule.setup import dependencies

SHAPE = (12, 64, 64)
SPACING = (1.5, 1.5, 5.0)
#: Slices (k) that are painted; the structures reach from slice 1 to slice 10.
PAINTED = (2, 5, 9)
#: The Segment Editor effect's name.
EFFECT = "Segment from examples"
_LONGEST_RUN_S = 300.0
#: Views and rows that wait for a pause draw themselves within this time.
STIR_S = 0.3


class FewShotSegTest(ScriptedLoadableModuleTest):
    """Paints two structures of a made-up scan on three slices and expects to get them on the others.

    What needs no Python packages beyond Slicer's own is tested in any case. Some tests only go where the application
    once went down, since nothing but the application with its views and widgets can show that.
    """

    def setUp(self) -> None:
        """Starts from an empty scene."""
        slicer.mrmlScene.Clear(0)

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

    def test_rowsTellWhatIsKnown(self) -> None:
        """What is said of structures that are not painted, strokes and background; needs no packages."""
        volume, segmentation, _truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        logic = slicer.util.getModuleWidget("FewShotSeg").logic
        examples = ExampleList(logic.getParameterNode().parameterNode)
        identifier = segmentation.GetSegmentation().AddEmptySegment("", "not this")
        strokes = np.zeros(SHAPE, np.uint8)
        strokes[PAINTED[0], 2, 2:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(strokes, segmentation, identifier, volume)
        ui.addAllButton.click()
        self._waitFor(lambda: "not this" in ui.exampleTable.item(1, 2).toolTip())
        ui.backgroundSelector.currentIndex = 3
        self._waitFor(lambda: "not this" not in ui.exampleTable.item(1, 2).toolTip())
        assert [ui.segmentList.item(n).text() for n in range(ui.segmentList.count)] == ["large", "small"]
        ui.backgroundSelector.currentIndex = 0
        assert logic.getParameterNode().background == ""
        row = examples.rows()[1]
        examples.say(row.identifier, "not this", True)
        self._waitFor(lambda: "not on this slice" in ui.exampleTable.item(1, 2).toolTip())
        examples.setStrokes(row.identifier, True)
        self._waitFor(lambda: "strokes" in ui.exampleTable.cellWidget(1, 2).text)
        ui.exampleTable.cellWidget(1, 4).click()
        menu = qt.QApplication.activePopupWidget()
        assert len(menu.actions()) == 3, "strokes, a separator, and the structure that is not painted"
        menu.close()
        slicer.app.processEvents()
        self.delayDisplay(_("Rows tell what is known."))

    def test_nextSliceIsShownAndCorrected(self) -> None:
        """The next slice, the strip of confidence, and a slice that is copied to be mended; needs no packages."""
        volume, segmentation, truth = madeUpScan()
        ui = self._panelFor(volume, segmentation)
        view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        if view is None:  # without a main window there are no views
            self.skipTest(_("There are no slice views."))
        view.SetOrientationToAxial()
        parameters = slicer.util.getModuleWidget("FewShotSeg").logic.getParameterNode()
        result = replace(madeUpResult(truth), suggestions=(Suggestion(0, 7, (2,), "small unsure"),))
        ui.addAllButton.click()
        parameters.confidenceVolume = writeConfidence(volume, result)
        parameters.preview = makePreview(volume, result)
        ui.nextSliceButton.click()
        assert sliceOfView(view, volume) == (0, 7)
        assert "small unsure" in ui.nextSliceLabel.toolTip
        strip = ui.confidenceStrip
        self._waitFor(lambda: not strip.toolTip)
        assert strip.pixmap.width() == strip.width
        at = qt.QPointF((3.5 / SHAPE[0]) * strip.width, 4)
        button, none = qt.Qt.LeftButton, qt.Qt.NoModifier
        qt.QCoreApplication.sendEvent(strip, qt.QMouseEvent(qt.QEvent.MouseButtonPress, at, button, button, none))
        assert sliceOfView(view, volume) == (0, 3)
        ui.correctSliceButton.click()
        self._stir()
        painted = Painted(volume, segmentation)
        assert np.array_equal(painted.plane(0, 3) > 0, (truth["large"] | truth["small"])[3])
        assert ui.exampleTable.rowCount == len(PAINTED) + 1
        ui.segmentEditorWidget.undo()
        self._stir()
        assert not painted.plane(0, 3).any()
        assert painted.plane(0, PAINTED[0]).any()
        self.delayDisplay(_("Next slice and corrections work."))

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

    def test_previewFollowsWhatIsPainted(self) -> None:
        """The loop: a first result, then one by Update, one by itself after a stroke, and one that is cancelled."""
        self._needPackages()
        volume, segmentation, truth = madeUpScan()
        ui = self._firstResult(volume, segmentation)
        parameters = slicer.util.getModuleWidget("FewShotSeg").logic.getParameterNode()
        preview = parameters.preview
        ui.autoUpdateCheckBox.click()
        self._paint(segmentation, volume, truth, 7)
        self._waitFor(lambda: ui.exampleTable.rowCount == len(PAINTED) + 1)
        assert ui.runButton.text == _("Update")
        assert ui.stateLabel.text, "that it is outdated is said"
        ui.runButton.click()
        self._waitForUpdate(ui)
        self._checkSlice(preview, volume, truth, 7)
        ui.autoUpdateCheckBox.click()
        self._paint(segmentation, volume, truth, 4)
        self._waitForUpdate(ui)
        self._checkSlice(preview, volume, truth, 4)
        assert parameters.preview is preview, "it stays the same node"
        assert ui.exampleTable.rowCount == len(PAINTED) + 2
        self._paint(segmentation, volume, truth, 6)
        self._waitFor(lambda: ui.runButton.text == _("Cancel"))
        ui.runButton.click()
        self._stir()
        assert ui.runButton.text == _("Update")
        assert parameters.preview is preview
        self.delayDisplay(_("The preview follows what is painted."))

    def test_updatesEndWithWhatTheyAreAbout(self) -> None:
        """The scene is closed, or a node deleted, while an update is on its way, also while a brush is active."""
        self._needPackages()
        for number in range(4):
            slicer.mrmlScene.Clear(0)
            volume, segmentation, truth = madeUpScan()
            ui = self._firstResult(volume, segmentation)
            ui.segmentEditorWidget.setActiveEffectByName("Paint")
            self._paint(segmentation, volume, truth, 7)
            self._waitFor(lambda: ui.runButton.text == _("Cancel"))  # noqa: B023  # it is called here
            preview = slicer.util.getModuleWidget("FewShotSeg").logic.getParameterNode().preview
            if number == 0:
                slicer.mrmlScene.Clear(0)
            else:
                slicer.mrmlScene.RemoveNode((volume, segmentation, preview)[number - 1])
            self._waitFor(lambda: ui.runButton.text != _("Cancel"))  # noqa: B023
            self._stir()
        self.delayDisplay(_("Updates end with what they are about."))

    def test_effectIsInTheSegmentEditor(self) -> None:
        """The effect can be chosen with nothing painted, and in scenes that close; the module's own editor has none."""
        self._needEditor()
        volume, segmentation, _truth = madeUpScan()
        editor = self._editorWithEffect(volume, segmentation)
        effect = editor.activeEffect()
        assert effect is not None
        assert effect.name == EFFECT
        assert not self._effectButton(editor, "Apply").enabled
        self._stir()
        slicer.mrmlScene.Clear(0)
        self._stir()
        assert EFFECT not in self._panelFor(*madeUpScan()[:2]).segmentEditorWidget.effectNameOrder()
        self.delayDisplay(_("The effect is in the Segment Editor."))

    def test_effectInitializesFollowsAndApplies(self) -> None:
        """A preview that follows another effect's strokes, is shown in 3D and applied in one step of undo."""
        self._needEditor()
        self._needPackages()
        volume, segmentation, truth = madeUpScan()
        slicer.util.getModuleLogic("FewShotSeg").getParameterNode().improve = False
        editor = self._editorWithEffect(volume, segmentation)
        preview = self._initialized(editor)
        editor.setActiveEffectByName("Paint")
        self._paint(segmentation, volume, truth, 7)
        self._waitFor(
            lambda: np.array_equal(Painted(volume, preview).plane(0, 7) > 0, (truth["large"] | truth["small"])[7])
        )
        editor.setActiveEffectByName(EFFECT)
        self._waitFor(lambda: self._effectButton(editor, "Preview").text == _("Update"))
        self._effectButton(editor, "NextSlice").click()
        self._stir()
        before = Painted(volume, segmentation).whole()
        self._effectButton(editor, "Apply").click()
        self._stir()
        assert not slicer.mrmlScene.IsNodePresent(preview)
        self._checkResult(segmentation, volume, truth)
        editor.undo()
        self._stir()
        assert np.array_equal(Painted(volume, segmentation).whole(), before), "one step of undo"
        self.delayDisplay(_("The effect works."))

    def test_effectEndsWithWhatItIsAbout(self) -> None:
        """The scene is closed, a node deleted or another one chosen, or the effect cancelled, during an update."""
        self._needEditor()
        self._needPackages()
        for number in range(5):
            slicer.mrmlScene.Clear(0)
            volume, segmentation, _truth = madeUpScan()
            slicer.util.getModuleLogic("FewShotSeg").getParameterNode().improve = False
            editor = self._editorWithEffect(volume, segmentation)
            preview = self._initialized(editor)
            self._effectButton(editor, "Preview").click()
            assert self._effectButton(editor, "Preview").text == _("Stop")
            if number == 0:
                slicer.mrmlScene.Clear(0)
            elif number == 1:
                editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
            elif number == 2:
                self._effectButton(editor, "Cancel").click()
            else:
                slicer.mrmlScene.RemoveNode((volume, segmentation)[number - 3])
            self._stir()
            assert not slicer.mrmlScene.IsNodePresent(preview)
            editor.setActiveEffectByName("")
        self.delayDisplay(_("The effect ends with what it is about."))

    def _needEditor(self) -> None:
        if not hasattr(slicer.modules, "segmenteditor"):
            self.skipTest(_("There is no Segment Editor."))

    def _editorWithEffect(self, volume: Any, segmentation: Any) -> Any:
        """The Segment Editor of the application, with the effect chosen."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        editor.setActiveEffectByName(EFFECT)
        slicer.app.processEvents()
        return editor

    def _effectButton(self, editor: Any, name: str) -> Any:
        return slicer.util.findChild(editor, "FewShotSegEffect" + name)

    def _initialized(self, editor: Any) -> Any:
        """The preview after Initialize."""
        self._effectButton(editor, "Preview").click()
        self._waitFor(lambda: self._effectButton(editor, "Apply").enabled)
        self._waitFor(lambda: self._effectButton(editor, "Preview").text == _("Update"))
        return previewOf(editor.mrmlSegmentEditorNode())

    def _firstResult(self, volume: Any, segmentation: Any) -> Any:
        """The panel with a first result, which nothing in the background changes."""
        ui = self._panelFor(volume, segmentation)
        if ui.improveCheckBox.checked:
            ui.improveCheckBox.click()
        ui.addAllButton.click()
        slicer.app.processEvents()
        ui.runButton.click()
        self._waitFor(lambda: ui.acceptButton.enabled)
        return ui

    def _paint(self, segmentation: Any, volume: Any, truth: dict[str, np.ndarray], k: int) -> None:
        """Paints the structures on one more slice."""
        content = segmentation.GetSegmentation()
        for name, mask in truth.items():
            identifier = content.GetSegmentIdBySegmentName(name)
            painted = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume)
            painted[k] = mask[k]
            slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, identifier, volume)

    def _waitForUpdate(self, ui: Any) -> None:
        self._waitFor(lambda: ui.runButton.text == _("Cancel"))
        self._waitFor(lambda: ui.runButton.text == _("Update"))

    def _checkSlice(self, preview: Any, volume: Any, truth: dict[str, np.ndarray], k: int) -> None:
        """A painted slice comes back exactly as painted."""
        painted = Painted(volume, preview).plane(0, k) > 0
        assert np.array_equal(painted, (truth["large"] | truth["small"])[k])

    def _panelFor(self, volume: Any, segmentation: Any) -> Any:
        slicer.util.selectModule("FewShotSeg")
        ui = slicer.util.getModuleWidget("FewShotSeg").ui
        ui.queryVolumeSelector.setCurrentNode(volume)
        ui.paintSegmentationSelector.setCurrentNode(segmentation)
        slicer.app.processEvents()
        assert ui.segmentEditorWidget.segmentationNode() is segmentation
        assert ui.segmentEditorWidget.sourceVolumeNode() is volume
        assert not ui.runButton.enabled, "no examples, so there is nothing to run"
        return ui

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

    def _needPackages(self) -> None:
        missing = dependencies.missing()
        if missing:
            self.skipTest(_("not installed: {packages}").format(packages=", ".join(missing)))

    def _stir(self) -> None:
        """Makes views and widgets use what they hold: by another layout, changed segments and the waiting events."""
        manager = slicer.app.layoutManager()
        if manager is not None:
            layout = manager.layout
            manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
            slicer.app.processEvents()
            manager.setLayout(layout)
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            content = node.GetSegmentation()
            for number in range(content.GetNumberOfSegments()):
                segment = content.GetNthSegment(number)
                color = segment.GetColor()
                segment.SetColor(*reversed(color))
                segment.SetColor(*color)
        end = time.monotonic() + STIR_S
        while time.monotonic() < end:
            slicer.app.processEvents()

    def _waitFor(self, condition: Any) -> None:
        end = time.monotonic() + _LONGEST_RUN_S
        while not condition():
            assert time.monotonic() < end, "the run took too long"
            slicer.app.processEvents()
            time.sleep(0.02)

    def _checkResult(self, result: Any, volume: Any, truth: dict[str, np.ndarray]) -> None:
        content = result.GetSegmentation()
        names = [content.GetNthSegment(number).GetName() for number in range(content.GetNumberOfSegments())]
        assert sorted(names) == sorted(truth)
        for name, expected in truth.items():
            identifier = content.GetSegmentIdBySegmentName(name)
            found = slicer.util.arrayFromSegmentBinaryLabelmap(result, identifier, volume) > 0
            dice = 2 * np.count_nonzero(found & expected) / (np.count_nonzero(found) + np.count_nonzero(expected))
            assert dice > 0.8, name


def madeUpScan() -> tuple[Any, Any, dict[str, np.ndarray]]:
    """A volume, a segmentation with three painted slices, and the structures by name as they really are."""
    k, j, i = np.indices(SHAPE)
    truth = {
        "large": ((k - 5.5) / 5) ** 2 + ((j - 26) / 16) ** 2 + ((i - 22) / 12) ** 2 < 1,
        "small": ((k - 5.5) / 5) ** 2 + ((j - 40) / 9) ** 2 + ((i - 46) / 8) ** 2 < 1,
    }
    body = ((j - 31.5) / 29) ** 2 + ((i - 31.5) / 30) ** 2 < 1
    image = np.where(body, 40.0, -900.0) + 60 * truth["large"] + 140 * truth["small"]
    image += np.random.default_rng(0).normal(0, 12, SHAPE)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "made-up scan")
    toPatient = vtk.vtkMatrix4x4()
    for axis, (millimetres, sign) in enumerate(zip(SPACING, (-1, -1, 1), strict=True)):
        toPatient.SetElement(axis, axis, sign * millimetres)
    volume.SetIJKToRASMatrix(toPatient)
    slicer.util.updateVolumeFromArray(volume, image.astype(np.int16))
    volume.CreateDefaultDisplayNodes()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "painted")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, mask in truth.items():
        painted = np.zeros(SHAPE, np.uint8)
        painted[list(PAINTED)] = mask[list(PAINTED)]
        identifier = segmentation.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, identifier, volume)
    return volume, segmentation, truth


def madeUpResult(truth: dict[str, np.ndarray]) -> RunResult:
    """What a run would give that finds all structures, in doubt about their insides."""
    labels, confidence = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.float32)
    structures = []
    for value, (name, mask) in enumerate(truth.items(), start=1):
        labels[mask], confidence[mask] = value, 0.5
        structures.append(Structure(value, name, (0.9, 0.2 * value, 0.1)))
    return RunResult(labels, confidence, ((0, 0, 0), SHAPE), SHAPE, structures)


def _nodeIds() -> set[str]:
    """All nodes but those that the application and the module's editor keep."""
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return {node.GetID() for node in nodes if node.IsA("vtkMRMLDisplayableNode") or node.IsA("vtkMRMLDisplayNode")}
