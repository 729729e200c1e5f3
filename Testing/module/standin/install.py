"""Puts the stand-ins that need no Qt in place."""

from __future__ import annotations

import sys
import tempfile
from types import ModuleType
from typing import Any

from . import mrml, parameter_node, scripted


def install() -> Any:
    """Completes the module `slicer` of the package slicer-core; may be called again.

    :return: The module `slicer`.
    """
    import slicer

    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer
    slicer.mrmlScene = mrml.makeScene(slicer)
    slicer.modules = mrml.makeLogics(slicer, slicer.mrmlScene)
    slicer.app = mrml.Application(tempfile.gettempdir())
    slicer.app.mrmlScene = lambda: slicer.mrmlScene
    _module("slicer.i18n", tr=lambda text: text, translate=lambda _context, text: text)
    names = ("Choice", "Default", "SlicerParameterNamePropertyName", "WithinRange", "parameterNodeWrapper")
    _module("slicer.parameterNodeWrapper", **{name: getattr(parameter_node, name) for name in names})
    classes = {name: value for name, value in vars(scripted).items() if name.startswith("ScriptedLoadableModule")}
    _module("slicer.ScriptedLoadableModule", **classes)
    return slicer


def _module(name: str, **content: Any) -> None:
    module = ModuleType(name)
    for key, value in content.items():
        setattr(module, key, value)
    sys.modules[name] = module
    parent, _dot, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
