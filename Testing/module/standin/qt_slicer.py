"""Puts the Qt part of Slicer in place: `qt`, `ctk`, the qMRML widgets, and what of the application needs Qt."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from . import ctk_widgets, qmrml_widgets, qt


def installQt(slicer: Any) -> None:
    """Makes `import qt`, `import ctk` and `slicer.qMRML...` work; may be called again.

    :param slicer: The module `slicer`, with the parts that need no Qt in place.
    """
    application = qt.application()
    sys.modules["qt"] = qt
    ctk: Any = ModuleType("ctk")
    for name, widget in ctk_widgets.CLASSES.items():
        setattr(ctk, name, widget)
    sys.modules["ctk"] = ctk
    for name, widget in qmrml_widgets.CLASSES.items():
        setattr(slicer, name, widget)
    slicer.qMRMLUtils = qmrml_widgets.qMRMLUtils
    slicer.app.processEvents = application.processEvents
    window = qt.QMainWindow()
    slicer.util.mainWindow = lambda: window
