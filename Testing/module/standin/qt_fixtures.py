"""Fixtures that open the panel; imported by conftest.py, so nothing here needs Qt before a test asks for it."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import qt_panel


class TestedPanel(qt_panel.Panel):
    """A panel with a made-up scan, and the messages that it showed."""

    __test__ = False

    def __init__(self, slicer: Any, module: Any, messages: list[str]) -> None:
        super().__init__(slicer, module)
        self.messages = messages
        self.scan = np.zeros(0)
        self.truth: dict[str, np.ndarray] = {}
        self.painted: tuple[int, ...] = ()
        self.volume: Any = None
        self.drawn: Any = None

    def prepareScene(self) -> None:
        """Views and the made-up scan, in an empty scene."""
        from FewShotSegModule.self_test.made_up import PAINTED, madeUpScan

        qt_panel.addSliceViews(self.slicer)
        self.volume, self.drawn, self.truth = madeUpScan()
        self.scan, self.painted = self.slicer.util.arrayFromVolume(self.volume), PAINTED

    def addVolume(self, name: str) -> Any:
        """Another volume with the made-up scan."""
        matrix = self.slicer.util.arrayFromVTKMatrix(_ijkToRas(self.volume))
        return qt_panel.addVolume(self.slicer, name, self.scan.copy(), matrix)

    def worldOf(self, k: float, j: float, i: float) -> tuple[float, float, float]:
        """Where a voxel is, RAS."""
        right, anterior, superior = _ijkToRas(self.volume).MultiplyPoint((i, j, k, 1.0))[:3]
        return right, anterior, superior

    def disc(self, k: int, radius: float = 10, middle: tuple[int, int] = (30, 30)) -> np.ndarray:
        """A mask of the scan's shape with a disc on one slice."""
        mask = np.zeros(self.scan.shape, bool)
        j, i = np.indices(mask.shape[1:])
        mask[k] = (j - middle[0]) ** 2 + (i - middle[1]) ** 2 < radius**2
        return mask

    def showSlice(self, k: int, view: str = "Red") -> None:
        """Moves a slice view."""
        node = self.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNode" + view)
        node.JumpSliceByOffsetting(*self.worldOf(k, 30, 30))

    def swallow(self, action: Callable[[], Any]) -> None:
        """Does something whose error is shown to the user; Slicer's helper raises it again afterwards."""
        with warnings.catch_warnings():
            action()

    def killWorker(self) -> None:
        """Ends the worker process as the system does when memory is short."""
        os.kill(self.widget.logic.host.client.processId, signal.SIGKILL)

    def saveAndReopen(self, folder: Path) -> None:
        """Saves the scene with all its data, closes it and opens it again."""
        scene = self.slicer.mrmlScene
        cache, manager = self.slicer.vtkCacheManager(), self.slicer.vtkDataIOManager()
        cache.SetRemoteCacheDirectory(str(folder))
        manager.SetCacheManager(cache)
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(manager)
        try:
            file = str(folder / "scene.mrb")
            assert scene.WriteToMRB(file)
            scene.Clear(0)
            assert self.ui.exampleTable.rowCount == 0
            scene.SetURL(file)
            assert scene.ReadFromMRB(file, False)
        finally:
            scene.SetCacheManager(None)
            scene.SetDataIOManager(None)


def _ijkToRas(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


@pytest.fixture(scope="session")
def slicer_with_qt(installed_slicer: Any) -> Any:
    """The module `slicer` with the stand-ins for its widgets."""
    pytest.importorskip("PySide6.QtWidgets", reason="the stand-in for Slicer's Qt needs PySide6", exc_type=ImportError)
    pytest.importorskip("PySide6.QtUiTools", reason="the stand-in for Slicer's Qt needs PySide6", exc_type=ImportError)
    from .qt_slicer import installSlicer

    return installSlicer()


@pytest.fixture
def empty_panel(slicer_with_qt: Any, slicer: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel, entered in a scene without volumes."""
    monkeypatch.syspath_prepend(str(repository / "FewShotSeg"))
    messages: list[str] = []

    def shown(text: str, *_arguments: Any, **_options: Any) -> None:
        messages.append(text)

    for name in ("errorDisplay", "warningDisplay", "infoDisplay"):
        monkeypatch.setattr(slicer.util, name, shown)
    panel = TestedPanel(slicer, qt_panel.loadModule(), messages)
    panel.enter()
    yield panel
    panel.close()


@pytest.fixture
def panel(empty_panel: Any) -> Any:
    """The panel with a volume and an empty segmentation to paint in."""
    empty_panel.exit()
    empty_panel.prepareScene()
    empty_panel.slicer.mrmlScene.RemoveNode(empty_panel.drawn)
    empty_panel.enter()
    return empty_panel


@pytest.fixture
def painted_panel(empty_panel: Any) -> Any:
    """The panel with a volume and two structures painted on three of its slices."""
    empty_panel.exit()
    empty_panel.prepareScene()
    empty_panel.enter()
    empty_panel.ui.paintSegmentationSelector.setCurrentNode(empty_panel.drawn)
    return empty_panel
