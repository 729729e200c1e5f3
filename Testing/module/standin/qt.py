"""A stand-in for the module `qt` of Slicer's Python, made of PySide6.

Classes of widgets and other QObjects get PythonQt's manners; values (images, colours, sizes) and enumerations are
PySide6's own. Only what a test needs has been tried.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets

from .qt_loader import UiLoader as QUiLoader
from .qt_manners import withManners

__all__ = ["QUiLoader", "application"]


def application() -> QtWidgets.QApplication:
    """The one application object; made on first use."""
    existing = QtWidgets.QApplication.instance()
    if isinstance(existing, QtWidgets.QApplication):
        return existing
    made = QtWidgets.QApplication(["FewShotSeg-tests"])
    made.setStyle("Fusion")
    # Nothing may depend on, or change, what the person who runs the tests has stored.
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    return made


def __getattr__(name: str) -> Any:
    for module in (QtCore, QtGui, QtWidgets):
        found = getattr(module, name, None)
        if found is None:
            continue
        if isinstance(found, type) and issubclass(found, QtCore.QObject) and hasattr(found, "staticMetaObject"):
            return withManners(found)
        return found
    raise AttributeError(f"module 'qt' has no attribute {name!r}")
