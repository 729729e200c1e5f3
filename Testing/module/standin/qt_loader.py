"""Loads .ui files into widgets with PythonQt's manners, Slicer's and CTK's widgets included."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .qt_manners import withManners


class UiLoader(QtUiTools.QUiLoader):
    """As PythonQt's QUiLoader; a class that it doesn't know is an error, where Qt would put an empty widget."""

    #: Slicer's and CTK's classes by name; filled by the modules that define them.
    customClasses: dict[str, Any] = {}  # noqa: RUF012  # a registry on purpose

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        made: Any
        if className in self.customClasses:
            made = self.customClasses[className](parent)
        elif hasattr(QtWidgets, className):
            made = withManners(getattr(QtWidgets, className))(parent)
        else:
            raise ValueError(f"The .ui file uses {className}, which no stand-in knows.")
        if className == "QTableWidget":
            # In PythonQt what a widget has inside has its manners, too.
            made._header = withManners(QtWidgets.QHeaderView)(QtCore.Qt.Orientation.Horizontal, made)
            made.setHorizontalHeader(made._header)
        made.setObjectName(name)
        return made

    def load(self, file: Any, parent: Any = None) -> Any:
        data = bytes(file.readAll())
        buffer = QtCore.QBuffer()
        buffer.setData(data)
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loaded = super().load(buffer, parent)
        if loaded is None:
            raise RuntimeError(f"The .ui file can't be loaded: {self.errorString()}")
        return loaded
