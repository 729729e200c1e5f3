"""The self-test of the module; it runs inside Slicer ("Reload and Test", or ctest), with Slicer's own widgets."""

from __future__ import annotations

import time
import unittest
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from FewShotSegModule.logic import FewShotSegLogic
from FewShotSegModule.setup import dependencies

SHAPE = (12, 64, 64)
SPACING = (1.5, 1.5, 5.0)
#: Slices (k) that are painted; the structures reach from slice 1 to slice 10.
PAINTED = (2, 5, 9)
_LONGEST_RUN_S = 300.0


class FewShotSegTest(ScriptedLoadableModuleTest):
    """Paints two structures of a made-up scan on three slices and expects to get them on the others."""

    def setUp(self) -> None:
        """Starts from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self, **_options: Any) -> None:
        """Runs all tests, as Slicer asks for."""
        for test in (self.test_consoleCallSegments, self.test_panelSegmentsAndAccepts):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as skipped:
                # Slicer's button "Reload and Test" would take it for a failure.
                self.delayDisplay(_("Skipped: {reason}").format(reason=skipped), 2000)

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
        slicer.util.selectModule("FewShotSeg")
        ui = slicer.util.getModuleWidget("FewShotSeg").ui
        ui.queryVolumeSelector.setCurrentNode(volume)
        ui.paintSegmentationSelector.setCurrentNode(segmentation)
        slicer.app.processEvents()
        assert not ui.runButton.enabled, "no examples, so there is nothing to run"
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

    def _needPackages(self) -> None:
        missing = dependencies.missing()
        if missing:
            self.skipTest(_("not installed: {packages}").format(packages=", ".join(missing)))

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
