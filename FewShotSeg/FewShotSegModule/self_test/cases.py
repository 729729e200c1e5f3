"""What the cases of the self-test share."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.setup import dependencies

_LONGEST_RUN_S = 300.0
#: Views and rows that wait for a pause draw themselves within this time.
STIR_S = 0.3


class Cases(ScriptedLoadableModuleTest):
    """Starts from an empty scene, waits for runs, and compares results with the made-up scan."""

    def setUp(self) -> None:
        """Starts from an empty scene."""
        slicer.mrmlScene.Clear(0)

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

    def _paint(self, segmentation: Any, volume: Any, truth: dict[str, np.ndarray], k: int) -> None:
        """Paints the structures on one more slice."""
        content = segmentation.GetSegmentation()
        for name, mask in truth.items():
            identifier = content.GetSegmentIdBySegmentName(name)
            painted = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume)
            painted[k] = mask[k]
            slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, identifier, volume)

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

    def _checkSlice(self, preview: Any, volume: Any, truth: dict[str, np.ndarray], k: int) -> None:
        """A painted slice comes back exactly as painted."""
        painted = Painted(volume, preview).plane(0, k) > 0
        assert np.array_equal(painted, (truth["large"] | truth["small"])[k])
