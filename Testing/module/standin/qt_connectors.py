"""Binds widgets to the parameter node's attributes by their property SlicerParameterName.

As strict as Slicer's own connectors: what Slicer can't bind, for its widget's class or its type, is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk

from . import qt
from .ctk_widgets import ctkSliderWidget
from .parameter_node import Choice, SlicerParameterNamePropertyName, WithinRange
from .qmrml_node_combo_box import qMRMLNodeComboBox


class Binding:
    """One widget and one attribute."""

    def __init__(self, wrapper: Any, field: Any, read: Callable[[], Any], write: Callable[[Any], None], signal: Any):
        self._wrapper, self._field, self._read, self._write, self._signal = wrapper, field, read, write, signal
        self._busy = False
        self.toWidget()
        signal.connect(self.toNode)

    def toWidget(self) -> None:
        value = getattr(self._wrapper, self._field.name)
        if not self._busy and self._read() != value:
            self._busy = True
            try:
                self._write(value)
            finally:
                self._busy = False

    def toNode(self, *_arguments: Any) -> None:
        if not self._busy and self._read() != getattr(self._wrapper, self._field.name):
            self._busy = True
            try:
                setattr(self._wrapper, self._field.name, self._read())
            finally:
                self._busy = False
            self.toWidget()

    def disconnect(self) -> None:
        self._signal.disconnect(self.toNode)


class Connection:
    """All bindings of a panel."""

    def __init__(self, wrapper: Any, gui: Any) -> None:
        self._wrapper = wrapper
        self._bindings = []
        for widget in vars(gui).values():
            name = widget.property(SlicerParameterNamePropertyName)
            if name:
                if name not in wrapper.fields:
                    raise ValueError(f"{widget.name} wants the parameter {name}, which there is not")
                self._bindings.append(_bind(wrapper, wrapper.fields[name], widget))
        self._tag = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)

    def disconnect(self) -> None:
        self._wrapper.RemoveObserver(self._tag)
        for binding in self._bindings:
            binding.disconnect()

    def _onModified(self, _caller: Any, _event: Any) -> None:
        for binding in self._bindings:
            binding.toWidget()


def connect(wrapper: Any, gui: Any) -> Connection:
    return Connection(wrapper, gui)


def disconnect(_wrapper: Any, connection: Connection) -> None:
    connection.disconnect()


def _bind(wrapper: Any, field: Any, widget: Any) -> Binding:
    kind = type(widget)
    if field.isNode and kind is qMRMLNodeComboBox:
        # Slicer replaces what the .ui file says by the attribute's type, whose name it asks an object for: an abstract
        # class is an error.
        widget.nodeTypes = [field.kind().GetClassName()]
        return Binding(wrapper, field, widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged)
    if field.kind is bool and kind is qt.QCheckBox:
        return Binding(wrapper, field, lambda: widget.checked, _setter(widget, "checked"), widget.stateChanged)
    if field.kind is float and kind in (ctkSliderWidget, qt.QDoubleSpinBox):
        for validator in field.validators:
            if isinstance(validator, WithinRange):
                widget.minimum, widget.maximum = validator.minimum, validator.maximum
        return Binding(wrapper, field, lambda: widget.value, _setter(widget, "value"), widget.valueChanged)
    if field.kind is str and kind is qt.QLineEdit:
        return Binding(wrapper, field, lambda: widget.text, widget.setText, widget.textChanged)
    if field.kind is str and kind is qt.QComboBox:
        choices = next(validator.choices for validator in field.validators if isinstance(validator, Choice))
        widget.clear()
        widget.addItems(choices)
        return Binding(
            wrapper, field, lambda: choices[widget.currentIndex], widget.setCurrentText, widget.currentIndexChanged
        )
    raise TypeError(f"Slicer has no connector from {kind.__name__} {widget.name} to {field.name}: {field.kind}")


def _setter(widget: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(widget, name, value)
