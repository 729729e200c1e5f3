"""A stand-in for Slicer's node selector, on the real MRML scene."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property as _Property
from PySide6.QtCore import Signal

from .qt_manners import Manners

Property: Any = _Property


class qMRMLNodeComboBox(Manners, QtWidgets.QWidget):  # type: ignore[misc]  # PythonQt connects otherwise
    """Lists a scene's nodes of some classes; selects the first by itself unless none is a choice, as Slicer's does."""

    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)
    cppSignals = {  # noqa: RUF012
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: dict[str, Any] = {"noneDisplay": "None", "nodeTypes": [], "showChildNodeTypes": True}
        self._scene: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._current: Any = None
        self._combo = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(self._onActivated)

    # Properties

    def _option(self, name: str) -> Any:
        return self._values.get(name, False)

    def _setOption(self, name: str, value: Any) -> None:
        self._values[name] = list(value) if name == "nodeTypes" else value
        self._refresh()

    noneEnabled = Property(bool, lambda s: bool(s._option("noneEnabled")), lambda s, v: s._setOption("noneEnabled", v))
    addEnabled = Property(bool, lambda s: bool(s._option("addEnabled")), lambda s, v: s._setOption("addEnabled", v))
    removeEnabled = Property(bool, lambda s: bool(s._option("rm")), lambda s, v: s._setOption("rm", v))
    renameEnabled = Property(bool, lambda s: bool(s._option("rename")), lambda s, v: s._setOption("rename", v))
    editEnabled = Property(bool, lambda s: bool(s._option("edit")), lambda s, v: s._setOption("edit", v))
    showHidden = Property(bool, lambda s: bool(s._option("hidden")), lambda s, v: s._setOption("hidden", v))
    selectNodeUponCreation = Property(bool, lambda s: bool(s._option("select")), lambda s, v: s._setOption("select", v))
    showChildNodeTypes = Property(
        bool, lambda s: bool(s._option("showChildNodeTypes")), lambda s, v: s._setOption("showChildNodeTypes", v)
    )
    noneDisplay = Property(str, lambda s: str(s._option("noneDisplay")), lambda s, v: s._setOption("noneDisplay", v))
    baseName = Property(str, lambda s: str(s._option("base") or ""), lambda s, v: s._setOption("base", v))
    nodeTypes = Property("QStringList", lambda s: s._option("nodeTypes"), lambda s, v: s._setOption("nodeTypes", v))

    # Slicer's methods

    def setMRMLScene(self, scene: Any) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed, self._scene = [], scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
                self._observed.append((scene, scene.AddObserver(event, self._onScene)))
            self._observed.append((scene, scene.AddObserver(scene.EndImportEvent, self._onImported)))
        self._refresh()

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        if node is not None and node not in self._nodes():
            node = None
        self._select(node)
        self._refresh()

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier and self._scene else None)

    def nodeCount(self) -> int:
        return len(self._nodes())

    def addNode(self, nodeType: str = "") -> Any:
        """Makes a node as the entry "Create new" does."""
        node = self._scene.AddNewNodeByClass(nodeType or self._values["nodeTypes"][0])
        if self._values.get("base"):
            node.SetName(self._scene.GenerateUniqueName(self._values["base"]))
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    # Inside

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        found = []
        for index in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(index)
            exact = not self._values["showChildNodeTypes"]
            wanted = any(node.GetClassName() == kind if exact else node.IsA(kind) for kind in self._values["nodeTypes"])
            if wanted and (self._values.get("hidden") or not node.GetHideFromEditors()):
                found.append(node)
        return found

    def _onScene(self, _caller: Any, _event: str) -> None:
        # As Slicer's: while a scene is being added, the list stays as it is.
        if not self._scene.IsImporting():
            self._refresh()

    def _onImported(self, _caller: Any, _event: str) -> None:
        # As Slicer's: the list is made anew, whereupon nothing is selected.
        self._select(None)
        self._refresh()

    def _refresh(self) -> None:
        nodes = self._nodes()
        wanted = self._current if self._current in nodes else None
        if wanted is None and nodes and not self._values.get("noneEnabled") and not self._combo.count():
            wanted = nodes[0]
        blocker = QtCore.QSignalBlocker(self._combo)
        self._combo.clear()
        if self._values.get("noneEnabled"):
            self._combo.addItem(str(self._values["noneDisplay"]), None)
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        if self._values.get("addEnabled") and self._values["nodeTypes"]:
            self._combo.insertSeparator(self._combo.count())
            self._combo.addItem("Create new " + self._values["nodeTypes"][0].removeprefix("vtkMRML"), "add")
        position = self._combo.findData(wanted.GetID()) if wanted is not None else -1
        self._combo.setCurrentIndex(position if wanted is not None else (0 if self._values.get("noneEnabled") else -1))
        blocker.unblock()
        self._select(wanted)

    def _select(self, node: Any) -> None:
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)

    def _onActivated(self, position: int) -> None:
        data = self._combo.itemData(position)
        if data == "add":
            self.addNode()
        else:
            self.setCurrentNodeID(data)

    def paintEvent(self, event: Any) -> None:
        # Names are read when they are shown: a rename needs no observer of its own.
        for position in range(self._combo.count()):
            node = self._scene.GetNodeByID(self._combo.itemData(position) or "") if self._scene else None
            if isinstance(node, vtk.vtkObject):
                self._combo.setItemText(position, node.GetName())
        super().paintEvent(event)
