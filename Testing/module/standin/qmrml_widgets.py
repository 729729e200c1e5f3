"""Stand-ins for the other qMRML widgets: a container, the Segment Editor's place, and image conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Signal
from vtk.util.numpy_support import vtk_to_numpy

from . import safety
from .qmrml_node_combo_box import qMRMLNodeComboBox
from .qt_loader import UiLoader
from .qt_manners import Manners
from .segment_editor_parts import Parts


class qMRMLWidget(Manners, QtWidgets.QWidget):  # type: ignore[misc]  # PythonQt connects otherwise
    """A widget that knows the scene; a .ui file may connect others to it."""

    mrmlSceneChanged = Signal(object)
    cppSignals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}  # noqa: RUF012

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """What Slicer puts a module's panel into; it knows whether the module is shown."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._entered = False
        self.setLayout(QtWidgets.QVBoxLayout())

    isEntered = Property(bool, lambda self: self._entered)


class qMRMLSegmentEditorWidget(Manners, QtWidgets.QFrame):  # type: ignore[misc]  # PythonQt connects otherwise
    """Slicer's Segment Editor without its tools: keeps what it is told, and shows it in parts as Slicer's has them."""

    currentSegmentIDChanged = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._editorNode: Any = None
        self._effectOrder: list[str] = []
        self._activeEffect: Any = None
        self._unordered = True
        self.observing = False
        self._undoStates = 0
        self._history = slicer.vtkSlicerSegmentEditorLogic()
        self._visible: dict[str, bool] = {}
        # They have names, and so are among a panel's widgets, too.
        self._parts = Parts(self, self.setActiveEffectByName)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)

    unorderedEffectsVisible = Property(bool, lambda s: s._unordered, lambda s, v: setattr(s, "_unordered", v))

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        scene.AddObserver(scene.NodeRemovedEvent, self._onNodeRemoved)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _scene: Any, _event: str, node: Any) -> None:
        # As Slicer's, which holds it by a weak pointer.
        if node is self._editorNode:
            self.setMRMLSegmentEditorNode(None)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is None and self.observing:
            safety.report("the editor node became None while the views are observed: the next layout change crashes")
        self._editorNode = node
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editorNode

    def setSegmentationNode(self, node: Any) -> None:
        if self._editorNode is not None:
            self._editorNode.SetAndObserveSegmentationNode(node)
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        # As Slicer's: its selector has no entry "None", so it shows the first one of the scene where none is selected.
        selected = self._editorNode.GetSegmentationNode() if self._editorNode is not None else None
        return selected or (self._scene.GetFirstNodeByClass("vtkMRMLSegmentationNode") if self._scene else None)

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._editorNode is not None:
            self._editorNode.SetAndObserveSourceVolumeNode(node)
        self.update()

    def sourceVolumeNode(self) -> Any:
        return self._editorNode.GetSourceVolumeNode() if self._editorNode is not None else None

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._effectOrder = list(names)
        self._parts.arrange(order=self._effectOrder)

    def setEffectColumnCount(self, count: int) -> None:
        self._parts.arrange(columns=count)

    def effectNameOrder(self) -> list[str]:
        return self._effectOrder

    def setActiveEffect(self, effect: Any) -> None:
        # As Slicer's: without an editor node nothing happens; else the views are observed while an effect is active.
        if self._editorNode is None:
            return
        if effect is not None:
            self.setupViewObservations()
        elif self._activeEffect is not None:
            self.removeViewObservations()
        self._activeEffect = effect
        self._parts.showEffect(effect or "")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(name or None)

    def activeEffect(self) -> Any:
        return self._activeEffect

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._undoStates = count

    def saveStateForUndo(self) -> None:
        self._history.SetMRMLScene(self._scene)
        self._history.SetSegmentEditorNode(self._editorNode)
        self._history.SaveStateForUndo()

    def undo(self) -> None:
        self._history.Undo()

    def setupViewObservations(self) -> None:
        if self._editorNode is None:
            safety.report("the views are observed without an editor node: the next layout change crashes")
        self.observing = True

    def removeViewObservations(self) -> None:
        self.observing = False

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self._visible["segmentation"] = visible

    def setSourceVolumeNodeSelectorVisible(self, visible: bool) -> None:
        self._visible["source"] = visible

    def setSwitchToSegmentationsButtonVisible(self, visible: bool) -> None:
        self._visible["switch"] = visible

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        self._visible["shortcuts"] = True

    def uninstallKeyboardShortcuts(self) -> None:
        self._visible["shortcuts"] = False

    def updateWidgetFromMRML(self) -> None:
        self._parts.showSegments(self.segmentationNode())


class qMRMLUtils:
    """Conversions between VTK's and Qt's images."""

    @staticmethod
    def vtkImageDataToQImage(image: Any, qImage: QtGui.QImage) -> bool:
        """Fills `qImage`; VTK's first row is the lowest one, as in Slicer."""
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
        pixels = np.ascontiguousarray(pixels, np.uint8)
        made = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        qImage.swap(made.copy())
        return True


CLASSES = {
    cls.__name__: cls
    for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentEditorWidget, qSlicerScriptedLoadableModuleWidget)
}
UiLoader.customClasses.update(CLASSES)
