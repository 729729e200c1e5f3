"""The place that Slicer gives a module's panel: its column at the left of the window, and its style's distances."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

#: The column of a window of 1600 x 1000 pixels, with Data Probe open below.
HEIGHT = 695
_FUSIONS_MARGIN, _FUSIONS_SPACING = 9, 6


class ModulePanel(QtWidgets.QScrollArea):
    """Scrolls a module's panel where it is too high, and is never narrower than the panel needs, which moves the views.

    :param panel: The widget of the module.
    """

    def __init__(self, panel: QtWidgets.QWidget) -> None:
        super().__init__()
        content = self._content = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(content)
        aboutIt = QtWidgets.QPushButton("▸  Help && Acknowledgement")
        aboutIt.setStyleSheet("text-align: left")
        aboutIt.setFixedHeight(22)
        column.addWidget(aboutIt)
        column.addWidget(panel, 1)
        layout = panel.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        panel.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        useSlicersDistances(content)

    def neededWidth(self) -> int:
        """What the column is widened to."""
        return self._content.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()

    def isInSight(self, part: QtWidgets.QWidget) -> bool:
        """Whether a part of the panel is shown whole, without scrolling."""
        return part.visibleRegion().boundingRect() == QtWidgets.QWidget.rect(part)


def useSlicersDistances(content: QtWidgets.QWidget) -> None:
    """Margins and spacings of Slicer's style where those of Fusion were taken.

    A style of its own would do, but PySide6 crashes with styles that are written in Python.
    """
    for layout in content.findChildren(QtWidgets.QLayout):
        margins, parent = layout.contentsMargins(), layout.parent()
        if margins.left() == margins.top() == _FUSIONS_MARGIN:
            own = 4 if type(parent).__name__ == "ctkCollapsibleButton" else 6
            layout.setContentsMargins(own, own, own, own)
        if layout.spacing() == _FUSIONS_SPACING:
            layout.setSpacing(3)
