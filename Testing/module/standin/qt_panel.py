"""Opens the module's real panel outside of Slicer, for tests and pictures."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import vtk

WIDTH = 450
#: Keys of Slicer's main window, its toolbars (markups, sequences) and its Segment Editor.
SLICERS_KEYS = frozenset(
    [f"Ctrl+{key}" for key in ("2", "4", "5", "6", "C", "F", "H", "O", "S", "V", "W", "X", "Y", "Z", "Left", "Right")]
    + [f"Ctrl+Shift+{key}" for key in ("A", "T", "Space", "Down", "Left", "Right")]
    + [*"1234567890ZYIQW", *(f"Shift+{number}" for number in range(10)), "Esc", "Space"]
)


class Panel:
    """The panel as a user meets it: the module's file loaded by its path, set up and entered.

    Example:
        >>> panel = Panel(slicer, loadModule())
        >>> panel.ui.runButton.click()
        >>> panel.waitFor(lambda: panel.ui.acceptButton.enabled)
        >>> panel.close()
    """

    def __init__(self, slicer: Any, module: Any) -> None:
        from . import qt

        self.slicer, self._qt = slicer, qt
        self.window = slicer.qSlicerScriptedLoadableModuleWidget()
        self.window.resize(WIDTH, 1000)
        self._setUp(module)

    def _setUp(self, module: Any) -> None:
        from .module_panel import useSlicersDistances

        self.widget = module.FewShotSegWidget(self.window)
        self.widget.setup()
        self.ui = self.widget.ui
        useSlicersDistances(self.window)

    @property
    def parameters(self) -> Any:
        return self.widget.logic.getParameterNode()

    def enter(self) -> None:
        self.window._entered = True
        self.window.show()
        self.widget.enter()
        self.events()

    def exit(self) -> None:
        self.window._entered = False
        self.widget.exit()
        self.window.hide()

    def reload(self, module: Any) -> None:
        """What Slicer does with a panel whose code is reloaded: it gets another in the same place."""
        old = self.ui.FewShotSeg
        old.hide()
        self.widget.cleanup()
        self.window.layout().removeWidget(old)
        self._setUp(module)

    def events(self) -> None:
        """Lets Qt do what waits to be done."""
        for _round in range(3):
            self._qt.application().processEvents()

    def waitFor(self, condition: Callable[[], object], seconds: float = 900) -> float:
        """Lets the application run until something is so; how long that took."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > seconds:
                raise TimeoutError(f"still not so after {seconds} s; stage: {self.ui.stageLabel.text}")
            self._qt.application().processEvents()
            time.sleep(0.005)
        return time.monotonic() - start

    def settle(self) -> None:
        """Waits until rows that were painted on are drawn anew."""
        time.sleep(0.25)
        self.events()

    def press(self, keys: str) -> None:
        """Does what a shortcut of the main window does; where several have the same keys, Qt calls none."""
        children = self.slicer.util.mainWindow().children()
        found = [c for c in children if isinstance(c, self._qt.QShortcut) and c.key.toString() == keys and c.enabled]
        assert len(found) == 1, f"{keys} belong to {len(found)} shortcuts"
        assert keys not in SLICERS_KEYS, f"{keys} are Slicer's own"
        found[0].activated.emit()

    def shortcuts(self) -> list[str]:
        window = self.slicer.util.mainWindow()
        return [c.key.toString() for c in window.children() if isinstance(c, self._qt.QShortcut) and c.enabled]

    def picture(self, height: int = 750) -> Any:
        """A picture of the panel."""
        self.window.resize(WIDTH, height)
        self.ui.segmentEditorWidget.updateWidgetFromMRML()
        self.events()
        return self.window.grab()

    def close(self) -> None:
        self.exit()
        self.widget.cleanup()
        self.window.deleteLater()
        self.events()


def loadModule() -> Any:
    """The module's file, imported as Slicer does by its name."""
    return importlib.import_module("FewShotSeg")


def addSliceViews(slicer: Any) -> None:
    """The nodes of the views Red, Green and Yellow, which Slicer's layout makes."""
    kind = slicer.vtkMRMLSliceNode
    matrices = (kind.GetAxialSliceToRASMatrix, kind.GetCoronalSliceToRASMatrix, kind.GetSagittalSliceToRASMatrix)
    for name, matrix in zip(("Red", "Green", "Yellow"), matrices, strict=True):
        if slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNode" + name) is None:
            node = kind()
            node.SetSingletonTag(name)
            node.SetLayoutName(name)
            node.SetName(name)
            directions = vtk.vtkMatrix3x3()
            matrix(directions)
            node.AddSliceOrientationPreset(name, directions)
            slicer.mrmlScene.AddNode(node).SetOrientation(name)
        if slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNode" + name) is None:
            composite = slicer.vtkMRMLSliceCompositeNode()
            composite.SetSingletonTag(name)
            composite.SetLayoutName(name)
            slicer.mrmlScene.AddNode(composite)


def addVolume(slicer: Any, name: str, array: np.ndarray, ijkToRas: np.ndarray) -> Any:
    """A volume node of an array (k, j, i)."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
    slicer.util.updateVolumeFromArray(volume, array)
    volume.CreateDefaultDisplayNodes()
    return volume


def paint(slicer: Any, segmentation: Any, volume: Any, name: str, mask: np.ndarray, color: Any = None) -> str:
    """Paints a segment by name (made if there is none); its identifier."""
    content = segmentation.GetSegmentation()
    identifier = content.GetSegmentIdBySegmentName(name) or content.AddEmptySegment("", name)
    if color is not None:
        content.GetSegment(identifier).SetColor(*color)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, identifier, volume)
    return identifier
