"""The scene and the application as far as they work without Qt; the scene and its logics are Slicer's own."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import vtk


class Application:
    """What the module asks of `slicer.app`; the Qt part may replace methods."""

    def __init__(self, folder: str) -> None:
        self.temporaryPath = folder
        self.applicationVersion = "5.12.0"
        self._slots: dict[str, list[Any]] = {}

    def connect(self, signal: str, slot: Any) -> bool:
        """Remembers what is to be called; see `emit`."""
        self._slots.setdefault(signal, []).append(slot)
        return True

    def emit(self, signal: str, *arguments: Any) -> None:
        """Calls what was connected to a signal."""
        for slot in self._slots.get(signal, []):
            slot(*arguments)

    def processEvents(self) -> None:
        """There are no events without Qt."""

    def testingEnabled(self) -> bool:
        return False

    def startupEnvironment(self) -> dict[str, str]:
        return dict(os.environ)


def makeScene(slicer: Any) -> Any:
    """An empty scene in which all node classes are known, scripted modules' and the Segment Editor's included."""
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    _keepHierarchy(slicer, scene)
    return scene


def _keepHierarchy(slicer: Any, scene: Any) -> None:
    """Gives data nodes an item of the subject hierarchy as long as they are in the scene, as the application does."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onAdded(_scene: Any, _event: str, node: Any) -> None:
        if not scene.IsImporting() and node.IsA("vtkMRMLDisplayableNode") and not node.GetHideFromEditors():
            tree = hierarchy(scene)
            tree.CreateItem(tree.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onAboutToBeRemoved(_scene: Any, _event: str, node: Any) -> None:
        if not scene.IsClosing() and node.IsA("vtkMRMLDisplayableNode"):
            tree = hierarchy(scene)
            item = tree.GetItemByDataNode(node)
            if item:
                tree.RemoveItem(item, False, False)

    scene.AddObserver(scene.NodeAddedEvent, onAdded)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, onAboutToBeRemoved)


def makeLogics(slicer: Any, scene: Any) -> SimpleNamespace:
    """`slicer.modules`: the logics of Slicer's modules that handle this module's nodes."""
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    made = {
        "segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "volumes": slicer.vtkSlicerVolumesLogic(),
        "markups": slicer.vtkSlicerMarkupsLogic(),
    }
    modules = SimpleNamespace()
    for name, logic in made.items():
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        setattr(modules, name, SimpleNamespace(logic=_giver(logic)))
    modules.applicationLogic = application  # kept alive
    modules.colorLogic = colors
    return modules


def _giver(logic: Any) -> Any:
    return lambda: logic
