"""Cases of the loop: what is known, corrected and painted, and the preview that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegLib.worker.protocol import Suggestion
from FewShotSegModule.scene.confidence import writeConfidence
from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import makePreview
from FewShotSegModule.scene.slice_views import sliceOfView
from FewShotSegModule.self_test.cases import Cases
from FewShotSegModule.self_test.made_up import PAINTED, SHAPE, madeUpResult, madeUpScan


class LoopCases(Cases):
    """In the module's panel."""

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

    def _waitForUpdate(self, ui: Any) -> None:
        self._waitFor(lambda: ui.runButton.text == _("Cancel"))
        self._waitFor(lambda: ui.runButton.text == _("Update"))
