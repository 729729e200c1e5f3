"""What one sees of Slicer's Segment Editor, as far as its arrangement matters: names, nesting and sizes of its parts.

The panel embeds the editor and rearranges it, so its parts are named and nested as in Slicer, and take about the room
that they take there (measured in a real one). They look like it in pictures, and paint nothing.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .qt_manners import Manners, withManners

EFFECTS = {
    "": ("arrow", ""),
    "Paint": ("brush", "Paint with a round brush. Left-button click: paint. Shift + mouse wheel: brush size."),
    "Draw": ("pen", "Draw segment outline in slice viewers. Left-click: add point. Right-click: close."),
    "Erase": ("eraser", "Erase with a round brush."),
    "Level tracing": ("contour", "Add uniform intensity region to selected segment."),
    "Scissors": ("scissors", "Cut through the entire segment from the current viewpoint."),
    "Threshold": ("levels", "Fill segment based on source volume intensity range."),
    "Islands": ("islands", "Edit islands (connected components) in a segment."),
}
_SIGNS = {"arrow": "↖", "brush": "✎", "pen": "✐", "eraser": "◪", "contour": "◎", "scissors": "✂", "levels": "▤"}


class ctkCollapsibleGroupBox(Manners, QtWidgets.QGroupBox):  # type: ignore[misc]  # PythonQt connects otherwise
    """A group box that hides its content."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        QtWidgets.QGroupBox.setCheckable(self, True)
        QtWidgets.QGroupBox.setChecked(self, True)
        self.toggled.connect(self._expand)

    def _setCollapsed(self, collapsed: bool) -> None:
        QtWidgets.QGroupBox.setChecked(self, not collapsed)

    collapsed = Property(bool, lambda self: not QtWidgets.QGroupBox.isChecked(self), _setCollapsed)

    def _expand(self, expanded: bool) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                QtWidgets.QWidget.setVisible(child, expanded)
        self.setMaximumHeight(16777215 if expanded else 24)


class ctkFittedTextBrowser(Manners, QtWidgets.QTextBrowser):  # type: ignore[misc]  # PythonQt connects otherwise
    """A text that shows its first sentence, until one asks for the others."""

    textChanged = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Minimum)
        self.setFixedHeight(40)

    def setCollapsibleText(self, text: str) -> None:
        self._whole = text
        self.setText(text.split(".")[0] + "... Show details." if text else "")
        self.textChanged.emit()

    def collapsibleText(self) -> str:
        return self._whole


class Parts:
    """The parts of one editor.

    :param editor: The widget that gets them.
    :param onEffect: Called with the name of the effect whose button was clicked.
    """

    def __init__(self, editor: QtWidgets.QWidget, onEffect: Any) -> None:
        self._onEffect = onEffect
        self._columns = 2
        self._order: list[str] = list(EFFECTS)[1:]
        grid = QtWidgets.QGridLayout(editor)
        grid.addLayout(self._actions(), 1, 0)
        main = QtWidgets.QHBoxLayout()
        grid.addLayout(main, 3, 0)
        left, right = QtWidgets.QVBoxLayout(), QtWidgets.QVBoxLayout()
        left.setSpacing(7)
        main.addLayout(left)
        main.addLayout(right)
        self.effects, undo = _named(QtWidgets.QFrame, "EffectsGroupBox"), _named(QtWidgets.QFrame, "UndoRedoGroupBox")
        for frame in (self.effects, undo):
            frame.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
            left.addWidget(frame)
        left.addItem(_spring())
        self.effects.setLayout(QtWidgets.QGridLayout())
        self._buttons: dict[str, QtWidgets.QToolButton] = {}
        row = QtWidgets.QHBoxLayout(undo)
        for sign in ("↶", "↷"):
            row.addWidget(_tool(sign))
        right.addWidget(self._segmentsFrame())
        self.options = self._optionsBox()
        right.addWidget(self.options)
        self.masking = self._maskingBox()
        right.addWidget(self.masking)
        right.addItem(_spring())
        self.options.hide()
        self.masking.hide()
        self.arrange()

    def arrange(self, order: list[str] | None = None, columns: int | None = None) -> None:
        """Puts the effects' buttons into their order and number of columns."""
        self._order, self._columns = order or self._order, columns or self._columns
        for button in self._buttons.values():
            button.setParent(None)
        self._buttons = {}
        grid: Any = QtWidgets.QWidget.layout(self.effects)
        for number, name in enumerate(["", *self._order]):
            button = _tool(_SIGNS.get(EFFECTS[name][0], "∴"))
            button.setCheckable(True)
            button.setToolTip(name or "No editing")
            button.setObjectName(name or "NULL")
            button.clicked.connect(lambda _checked=False, name=name: self._onEffect(name))
            grid.addWidget(button, number // self._columns, number % self._columns)
            self._buttons[name] = button

    def showEffect(self, name: str) -> None:
        """Shows the options of the active effect; "" for none."""
        for other, button in self._buttons.items():
            button.setChecked(other == name)
        self.options.setTitle(name)
        self._help.setCollapsibleText(EFFECTS.get(name, ("", ""))[1])
        for other, frame in self._frames.items():
            frame.setVisible(other == name)
        self.options.setVisible(bool(name))
        self.masking.setVisible(bool(name))

    def showSegments(self, segmentation: Any) -> None:
        """Lists the segments; None for no segmentation."""
        content = segmentation.GetSegmentation() if segmentation is not None else None
        count = content.GetNumberOfSegments() if content is not None else 0
        self._table.setRowCount(count)
        for row, segment in enumerate([content.GetNthSegment(n) for n in range(count)] if content is not None else []):
            color = QtWidgets.QTableWidgetItem("")
            color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            for column, item in enumerate(("◉", color, segment.GetName(), "✎")):
                made = item if isinstance(item, QtWidgets.QTableWidgetItem) else QtWidgets.QTableWidgetItem(item)
                self._table.setItem(row, column, made)
            self._table.setRowHeight(row, 22)

    def _actions(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(4)
        for text, name in (("+ Add", "AddSegment"), ("− Remove", "RemoveSegment"), ("Show 3D", "Show3D")):
            button = _named(QtWidgets.QPushButton, name + "Button")
            button.setText(text)
            row.addWidget(button)
        return row

    def _segmentsFrame(self) -> QtWidgets.QWidget:
        frame = _named(QtWidgets.QFrame, "SegmentsTableResizableFrame")
        frame.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)
        layout = QtWidgets.QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 8)  # the grip is below
        self._table = _named(QtWidgets.QTableWidget, "SegmentsTableView")
        self._table.setColumnCount(4)
        self._table.setHorizontalHeaderLabels(["◉", "■", "Name", "⚑"])
        self._table.verticalHeader().hide()
        header = self._table.horizontalHeader()
        for column, width in ((0, 26), (1, 26), (3, 26)):
            header.setSectionResizeMode(column, QtWidgets.QHeaderView.ResizeMode.Fixed)
            self._table.setColumnWidth(column, width)
        header.setSectionResizeMode(2, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self._table.setShowGrid(False)
        layout.addWidget(self._table)
        return frame

    def _optionsBox(self) -> QtWidgets.QGroupBox:
        box = _named(QtWidgets.QGroupBox, "OptionsGroupBox")
        layout = QtWidgets.QVBoxLayout(box)
        layout.setSpacing(0)
        layout.setContentsMargins(4, 4, 4, 4)
        self._help = ctkFittedTextBrowser()
        self._help.setObjectName("EffectHelpBrowser")
        layout.addWidget(self._help)
        frames = _named(QtWidgets.QFrame, "EffectsOptionsFrame")
        layout.addWidget(frames)
        inside = QtWidgets.QVBoxLayout(frames)
        inside.setContentsMargins(0, 0, 0, 0)
        # The widest and highest of a real Slicer.
        self._frames = {name: _brushOptions() for name in ("Paint", "Erase")} | {"Threshold": _thresholdOptions()}
        for frame in self._frames.values():
            inside.addWidget(frame)
        return box

    def _maskingBox(self) -> ctkCollapsibleGroupBox:
        box = ctkCollapsibleGroupBox()
        box.setObjectName("MaskingGroupBox")
        box.setTitle("Masking")
        form = QtWidgets.QFormLayout(box)
        for text, field in (
            ("Editable area:", QtWidgets.QComboBox()),
            ("Editable intensity range:", QtWidgets.QCheckBox()),
            ("Modify other segments:", QtWidgets.QComboBox()),
        ):
            field.setMinimumWidth(180 if isinstance(field, QtWidgets.QComboBox) else 0)
            form.addRow(text, field)
        return box


def _brushOptions() -> QtWidgets.QFrame:
    frame = QtWidgets.QFrame()
    column = QtWidgets.QVBoxLayout(frame)
    row = QtWidgets.QHBoxLayout()
    row.addWidget(QtWidgets.QLabel("Diameter:"))
    spin = QtWidgets.QDoubleSpinBox()
    spin.setSuffix(" %")
    spin.setMinimumWidth(90)
    row.addWidget(spin)
    for text in ("1", "3", "5", "10", "20", "40", "%"):
        button = QtWidgets.QToolButton()
        button.setText(text)
        button.setMinimumWidth(25)
        row.addWidget(button)
    column.addLayout(row)
    column.addWidget(QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal))
    checks = QtWidgets.QHBoxLayout()
    for text in ("Sphere brush", "Edit in 3D views"):
        checks.addWidget(QtWidgets.QCheckBox(text))
    column.addLayout(checks)
    return frame


def _thresholdOptions() -> QtWidgets.QFrame:
    frame = QtWidgets.QFrame()
    column = QtWidgets.QVBoxLayout(frame)
    column.addWidget(QtWidgets.QLabel("Threshold Range:"))
    spacer = QtWidgets.QLabel("(range, local histogram, automatic threshold)")
    spacer.setMinimumSize(364, 150)
    column.addWidget(spacer)
    for text in ("Use for masking", "Apply"):
        column.addWidget(QtWidgets.QPushButton(text))
    return frame


def _named(kind: Any, name: str) -> Any:
    made = withManners(kind)()
    made.setObjectName(name)
    return made


def _tool(sign: str) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(sign)
    button.setFixedSize(31, 31)
    return button


def _spring() -> QtWidgets.QSpacerItem:
    policy = QtWidgets.QSizePolicy.Policy
    return QtWidgets.QSpacerItem(20, 40, policy.Minimum, policy.Expanding)
