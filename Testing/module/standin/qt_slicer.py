"""Puts the Qt part of Slicer in place: `qt`, `ctk`, the qMRML widgets, and what of the application needs Qt."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from . import ctk_widgets, qmrml_widgets, qt, qt_connectors, segment_editor_effects, slicers_own
from .install import install
from .parameter_node import Connector


def installSlicer() -> Any:
    """The module `slicer` with all stand-ins in place; may be called again."""
    slicer = install()
    if hasattr(slicer, "qMRMLUtils"):
        return slicer
    application = qt.application()
    sys.modules["qt"] = qt
    ctk: Any = ModuleType("ctk")
    for name, ctkWidget in ctk_widgets.CLASSES.items():
        setattr(ctk, name, ctkWidget)
    sys.modules["ctk"] = ctk
    for name, widget in qmrml_widgets.CLASSES.items():
        setattr(slicer, name, widget)
    slicer.qMRMLUtils = qmrml_widgets.qMRMLUtils
    slicer.app.processEvents = application.processEvents
    slicer.app.layoutManager = lambda: None
    slicer.app.applicationName = "Slicer"
    slicer.app.setOverrideCursor = application.setOverrideCursor
    slicer.app.restoreOverrideCursor = application.restoreOverrideCursor
    window = qt.QMainWindow()
    slicer.util.mainWindow = lambda: window
    Connector.connect, Connector.disconnect = qt_connectors.connect, qt_connectors.disconnect
    segment_editor_effects.install(slicer)
    slicers_own.use(slicer, ctk)
    return slicer
