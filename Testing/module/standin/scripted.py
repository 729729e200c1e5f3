"""The base classes of scripted modules."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any


class ScriptedLoadableModule:
    """Describes a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def getDefaultModuleDocumentationLink(self) -> str:
        return ""


class ScriptedLoadableModuleLogic:
    """What a module does; keeps its settings in one node of the scene."""

    def __init__(self, parent: Any = None) -> None:
        # As Slicer's own: the mixins that a module's class has beside this one are initialized, too.
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's node, made where there is none."""
        import slicer

        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            made = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            made.UnRegister(None)
            made.SetSingletonTag(self.moduleName)
            made.SetModuleName(self.moduleName)
            made.SetName(self.moduleName)
            made.SetAttribute("ModuleName", self.moduleName)
            node = slicer.mrmlScene.AddNode(made)
        return node


class ScriptedLoadableModuleWidget:
    """The panel of a module; needs the Qt part for `setup`."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        if parent is None:
            import qt

            self.parent = qt.QWidget()
            self.parent.setLayout(qt.QVBoxLayout())
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()

    def setup(self) -> None:
        """Slicer adds its section for developers here."""

    def cleanup(self) -> None:
        """Called before a panel goes."""

    def resourcePath(self, name: str) -> str:
        import FewShotSegModule

        return str(Path(FewShotSegModule.__file__).resolve().parents[1] / "Resources" / name)

    def onReload(self) -> None:
        """Slicer loads the module's file again."""


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The self-test of a module."""

    def runTest(self, **options: Any) -> None:
        """Overridden by modules."""

    def delayDisplay(self, message: str, *_options: Any, **_named: Any) -> None:
        """Slicer shows the message for a moment."""
