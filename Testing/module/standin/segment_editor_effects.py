"""What Slicer gives a scripted effect of the Segment Editor: its host, the base class, and the list of effects.

The host keeps parameters and the undo history where Slicer keeps them, in the editor's node and in the real editor
logic. The effect's file is loaded as Slicer loads it: as a module of the name of its folder, with a class of the name
of the file.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from PySide6 import QtWidgets

#: Effects by name, as the factory of the application has them.
registered: dict[str, Any] = {}


class AbstractScriptedSegmentEditorEffect:
    """The base class of effects in Python."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        registered[self.scriptedEffect.name] = self.scriptedEffect


class qSlicerSegmentEditorScriptedEffect:
    """The host of an effect in one editor; the editor's part of it are `edit` and `undo`."""

    def __init__(self, parent: Any = None) -> None:
        self.name = self.title = ""
        self.perSegment = True
        self._self: Any = None
        self._editorNode: Any = None
        self._history: Any = None
        self._defaults: dict[str, str] = {}
        self.frame = QtWidgets.QWidget()
        self._layout = QtWidgets.QFormLayout(self.frame)
        #: How often a state was saved for undo.
        self.savedStates = 0

    def setPythonSource(self, path: str) -> bool:
        import slicer

        file = Path(path)
        name = file.parent.name
        module = sys.modules.get(name)
        if module is None or not hasattr(module, file.stem):
            spec = importlib.util.spec_from_file_location(name, file)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        self._self = getattr(module, file.stem)(self)
        setattr(slicer, name, self._self)
        return True

    def self(self) -> Any:
        return self._self

    def parameterSetNode(self) -> Any:
        return self._editorNode

    def setParameterDefault(self, name: str, value: Any) -> None:
        if self._editorNode is None or self._editorNode.GetAttribute(f"{self.name}.{name}") is None:
            self.setParameter(name, value)

    def setParameter(self, name: str, value: Any) -> None:
        if self._editorNode is not None:
            self._editorNode.SetAttribute(f"{self.name}.{name}", str(value))
            self._self.updateGUIFromMRML()

    def integerParameter(self, name: str) -> int:
        return int(self._editorNode.GetAttribute(f"{self.name}.{name}") or 0)

    def addOptionsWidget(self, added: Any) -> None:
        self._layout.addRow(added)

    def addLabeledOptionsWidget(self, label: str, added: Any) -> None:
        self._layout.addRow(label, added)

    def saveStateForUndo(self) -> None:
        self.savedStates += 1
        self._history.SaveStateForUndo()

    # What the editor does

    def edit(self, editorNode: Any) -> None:
        """The editor turns to a node, and the effect is chosen."""
        import slicer

        self._editorNode = editorNode
        self._history = slicer.vtkSlicerSegmentEditorLogic()
        self._history.SetMRMLScene(slicer.mrmlScene)
        self._history.SetSegmentEditorNode(editorNode)
        self._self.setMRMLDefaults()
        self._self.activate()
        self._self.updateGUIFromMRML()

    def undo(self) -> None:
        self._history.Undo()


def install(slicer: Any) -> None:
    """Puts the modules in place that Slicer has for effects."""
    hosts: Any = ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    hosts.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    bases: Any = ModuleType("SegmentEditorEffects")
    bases.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    for module in (hosts, bases):
        sys.modules[module.__name__] = module
