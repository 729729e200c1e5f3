"""Stand-ins for the widgets of CTK that the panel uses; they look and behave alike as far as tests and pictures go."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .qt_loader import UiLoader
from .qt_manners import Manners

_HEADER = 24


class ctkCollapsibleButton(Manners, QtWidgets.QWidget):  # type: ignore[misc]  # PythonQt connects otherwise
    """A section with a header that hides its content."""

    contentsCollapsed = Signal(bool)
    clicked = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self._hidden: list[QtWidgets.QWidget] = []
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)

    def _getText(self) -> str:
        return self._text

    def _setText(self, text: str) -> None:
        self._text = text
        self.update()

    def _getCollapsed(self) -> bool:
        return self._collapsed

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._apply()
        self.contentsCollapsed.emit(collapsed)

    text = Property(str, _getText, _setText)
    collapsed = Property(bool, _getCollapsed, _setCollapsed)

    def _apply(self) -> None:
        if self._collapsed:
            shown = [c for c in self.children() if isinstance(c, QtWidgets.QWidget) and not c.isHidden()]
            self._hidden += shown
            for child in shown:
                child.hide()
            self.setMaximumHeight(_HEADER)
        else:
            self.setMaximumHeight(16777215)
            for child in self._hidden:
                child.show()
            self._hidden = []
        self.update()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        self._apply()  # the loader sets the property before there are children
        super().showEvent(event)

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(60, _HEADER) if self._collapsed else super().minimumSizeHint()

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(200, _HEADER) if self._collapsed else super().sizeHint()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() < _HEADER:
            self._setCollapsed(not self._collapsed)
            self.clicked.emit()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        palette = QtWidgets.QWidget.palette(self)
        header = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), _HEADER - 2)
        if not self._collapsed:
            painter.setPen(palette.color(QtGui.QPalette.ColorRole.Mid))
            painter.drawRect(QtWidgets.QWidget.rect(self).adjusted(0, _HEADER // 2, -1, -1))
        painter.fillRect(header, palette.color(QtGui.QPalette.ColorRole.Button).darker(106))
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        arrow = QtGui.QPolygon([QtCore.QPoint(8, 7), QtCore.QPoint(18, 7), QtCore.QPoint(13, 14)])
        if self._collapsed:
            arrow = QtGui.QPolygon([QtCore.QPoint(10, 6), QtCore.QPoint(10, 16), QtCore.QPoint(17, 11)])
        painter.setBrush(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawPolygon(arrow)
        painter.drawText(header.adjusted(26, 0, 0, 0), int(QtCore.Qt.AlignmentFlag.AlignVCenter), self._text)


class _Numbers:
    """Number boxes that share range, step and decimals."""

    _boxes: list[QtWidgets.QDoubleSpinBox]

    def _get(self, name: str) -> Any:
        return getattr(self._boxes[0], name)()

    def _set(self, name: str, value: Any) -> None:
        for box in self._boxes:
            getattr(box, name)(value)
        self._arrange()  # type: ignore[attr-defined]


def _shared(kind: Any, getter: str, setter: str) -> Any:
    return Property(kind, lambda self: self._get(getter), lambda self, value: self._set(setter, value))


class ctkSliderWidget(_Numbers, Manners, QtWidgets.QWidget):  # type: ignore[misc]  # PythonQt connects otherwise
    """A slider and a number box for one number."""

    valueChanged = Signal(float)
    cppSignals = {"valueChanged(double)": "valueChanged"}  # noqa: RUF012

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, box = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal), QtWidgets.QDoubleSpinBox()
        self._boxes = [box]
        box.setRange(0, 99)
        layout.addWidget(self._slider, 1)
        layout.addWidget(box)
        box.valueChanged.connect(self._onBox)
        self._slider.valueChanged.connect(self._onSlider)
        self._arrange()

    def _arrange(self) -> None:
        box = self._boxes[0]
        blocker = QtCore.QSignalBlocker(self._slider)
        steps = max(1, round((box.maximum() - box.minimum()) / (box.singleStep() or 1)))
        self._slider.setRange(0, steps)
        self._slider.setValue(round((box.value() - box.minimum()) / (box.singleStep() or 1)))
        blocker.unblock()

    def _onBox(self, value: float) -> None:
        self._arrange()
        self.valueChanged.emit(value)

    def _onSlider(self, step: int) -> None:
        self._boxes[0].setValue(self._boxes[0].minimum() + step * self._boxes[0].singleStep())

    value = _shared(float, "value", "setValue")
    minimum = _shared(float, "minimum", "setMinimum")
    maximum = _shared(float, "maximum", "setMaximum")
    singleStep = _shared(float, "singleStep", "setSingleStep")
    decimals = _shared(int, "decimals", "setDecimals")
    suffix = _shared(str, "suffix", "setSuffix")
    spinBoxVisible = Property(bool, lambda s: not s._boxes[0].isHidden(), lambda s, v: s._boxes[0].setVisible(v))


class ctkRangeWidget(_Numbers, Manners, QtWidgets.QWidget):  # type: ignore[misc]  # PythonQt connects otherwise
    """Two number boxes for a range, with a bar between them."""

    valuesChanged = Signal(float, float)
    cppSignals = {"valuesChanged(double,double)": "valuesChanged"}  # noqa: RUF012

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes = [QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()]
        self._bar = QtWidgets.QFrame()
        self._bar.setFixedHeight(4)
        self._bar.setStyleSheet("background: palette(highlight); border-radius: 2px")
        for position, part in enumerate((self._boxes[0], self._bar, self._boxes[1])):
            layout.addWidget(part, position == 1)
        for box in self._boxes:
            box.setRange(0, 99)
            box.valueChanged.connect(self._onBox)
        self._boxes[1].setValue(99)

    def _arrange(self) -> None:
        """Nothing follows: the bar shows no numbers."""

    def _onBox(self, _value: float) -> None:
        self.valuesChanged.emit(*self._range())

    def _range(self) -> tuple[float, float]:
        low, high = (box.value() for box in self._boxes)
        return min(low, high), max(low, high)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._set("setMinimum", minimum)
        self._set("setMaximum", maximum)

    def setValues(self, low: float, high: float) -> None:
        for box, value in zip(self._boxes, (low, high), strict=True):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        self.valuesChanged.emit(*self._range())

    minimumValue = Property(float, lambda self: self._range()[0], lambda self, v: self.setValues(v, self._range()[1]))
    maximumValue = Property(float, lambda self: self._range()[1], lambda self, v: self.setValues(self._range()[0], v))
    minimum = _shared(float, "minimum", "setMinimum")
    maximum = _shared(float, "maximum", "setMaximum")
    singleStep = _shared(float, "singleStep", "setSingleStep")
    decimals = _shared(int, "decimals", "setDecimals")


class ctkMessageBox(Manners, QtWidgets.QMessageBox):  # type: ignore[misc]  # PythonQt connects otherwise
    """A message box; tests replace `slicer.util`'s display functions, so it never opens there."""


CLASSES = {cls.__name__: cls for cls in (ctkCollapsibleButton, ctkSliderWidget, ctkRangeWidget, ctkMessageBox)}
UiLoader.customClasses.update(CLASSES)
