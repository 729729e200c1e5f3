"""The table of example slices."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from FewShotSegModule.panel.names_that_fit import elided, namesThatFit
from FewShotSegModule.panel.pixmaps import pixmapOf

_USE, _PICTURE, _TEXT, _REMOVE = range(4)
#: Lines for the segments' names, below the one for the slice; more would make a row higher than its picture.
_NAME_LINES = 2
#: Between text and the edges of its column.
_MARGIN = 12
#: How much wider bold text is.
_BOLD = 1.15


@dataclass(frozen=True, eq=False)
class ExampleRow:
    """What the table shows of an example slice.

    :param identifier: The example's, stable while the scene exists.
    :param enabled: Whether the example is used.
    :param picture: Array (height, width, 3) of uint8; see `thumbnail`.
    :param volumeName: Name of the volume that the slice belongs to.
    :param position: Where the slice is, in words.
    :param segments: Name and colour (red, green, blue in 0..1) of the segments on it.
    """

    identifier: str
    enabled: bool
    picture: np.ndarray
    volumeName: str
    position: str
    segments: tuple[tuple[str, tuple[float, float, float]], ...]


class ExampleTable:
    """Shows rows and tells what the user does with them; it knows no scene.

    Example::

        table = ExampleTable(ui.exampleTable, onEnabled=examples.setEnabled, onRemoved=examples.remove, onChosen=jump)
        table.show(rows)

    :param widget: The QTableWidget.
    :param onEnabled: Called with an identifier and whether the example is to be used.
    :param onRemoved: Called with the identifier of an example that is to go.
    :param onChosen: Called with the identifier of the row that was clicked.
    """

    #: Height and width of the pictures.
    PICTURE_SIZE = (52, 68)

    def __init__(
        self,
        widget: Any,
        *,
        onEnabled: Callable[[str, bool], None],
        onRemoved: Callable[[str], None],
        onChosen: Callable[[str], None],
    ) -> None:
        self._widget = widget
        self._onEnabled, self._onRemoved, self._onChosen = onEnabled, onRemoved, onChosen
        self._rows: dict[str, ExampleRow] = {}
        widget.setColumnCount(4)
        widget.verticalHeader().setVisible(False)
        header = widget.horizontalHeader()
        # What the columns are is plain to see, and without their names one more row is in sight.
        header.setVisible(False)
        header.setSectionResizeMode(qt.QHeaderView.Fixed)
        for column, width in ((_USE, 28), (_PICTURE, self.PICTURE_SIZE[1] + 6), (_REMOVE, 28)):
            widget.setColumnWidth(column, width)
        header.setSectionResizeMode(_TEXT, qt.QHeaderView.Stretch)
        header.connect("sectionResized(int,int,int)", self._onSectionResized)
        widget.connect("cellClicked(int,int)", self._onCellClicked)

    def identifiers(self) -> list[str]:
        """Identifiers of the rows from top to bottom."""
        return list(self._rows)

    def show(self, rows: Sequence[ExampleRow]) -> None:
        """Shows these rows and no others."""
        self._rows = {row.identifier: row for row in rows}
        self._widget.setRowCount(len(rows))
        for position, row in enumerate(rows):
            self._fill(position, row)

    def refresh(self, row: ExampleRow) -> None:
        """Shows a row anew; the others, and what is selected, stay."""
        if row.identifier in self._rows:
            self._rows[row.identifier] = row
            self._fill(self.identifiers().index(row.identifier), row)

    def _fill(self, position: int, row: ExampleRow) -> None:
        widget = self._widget
        widget.setRowHeight(position, max(self.PICTURE_SIZE[0], (1 + _NAME_LINES) * self._metrics().height()) + 6)
        widget.setCellWidget(position, _USE, self._checkBox(row))
        picture = _label("")
        picture.setPixmap(pixmapOf(row.picture))
        picture.setAlignment(qt.Qt.AlignCenter)
        widget.setCellWidget(position, _PICTURE, picture)
        widget.setCellWidget(position, _TEXT, _label(self._text(row, widget.columnWidth(_TEXT))))
        widget.setCellWidget(position, _REMOVE, self._removeButton(row))
        names = ", ".join(name for name, _color in row.segments)
        tip = "\n".join(line for line in (_("Click to see this slice."), row.volumeName, row.position, names) if line)
        for column in (_PICTURE, _TEXT):
            item = qt.QTableWidgetItem()
            item.setToolTip(tip)
            widget.setItem(position, column, item)

    def _metrics(self) -> Any:
        return qt.QFontMetrics(self._widget.font)

    def _text(self, row: ExampleRow, columnWidth: int) -> str:
        """Slice and segments as rich text, as much as there is room for."""
        metrics, width = self._metrics(), columnWidth - _MARGIN

        def measure(text: str) -> float:
            return float(metrics.size(0, text).width())

        # The position is bold, hence wider.
        position = elided(row.position, width / _BOLD, measure)
        volume = elided(row.volumeName, width - _BOLD * measure(position) - measure("   "), measure)
        first = f"<b>{html.escape(position)}</b>&nbsp; {html.escape(volume)}"
        return "<br>".join([first, *self._segmentLines(row, width, measure)])

    def _segmentLines(self, row: ExampleRow, width: float, measure: Callable[[str], float]) -> list[str]:
        """Names, each with a square of its segment's colour."""
        if not row.segments:
            return ["<i>" + html.escape(_("nothing painted")) + "</i>"]
        square = measure("\N{BLACK SQUARE}   ")
        lines, rest = namesThatFit(
            [name for name, _color in row.segments],
            width=width,
            lines=_NAME_LINES,
            measure=lambda name: square + measure(name),
            more=lambda count: _("and {count} more").format(count=count),
        )
        colors = iter(color for _name, color in row.segments[: len(row.segments) - rest])
        return ["&nbsp; ".join(_segmentText(name, next(colors, None)) for name in line) for line in lines]

    def _onSectionResized(self, column: int, before: int, now: int) -> None:
        if column == _TEXT and before != now:
            for position, row in enumerate(self._rows.values()):
                label = self._widget.cellWidget(position, _TEXT)
                if label is not None:
                    label.text = self._text(row, now)

    def _checkBox(self, row: ExampleRow) -> Any:
        box = qt.QCheckBox()
        box.checked = row.enabled
        box.toolTip = _("Use this example.")
        box.setStyleSheet("margin-left: 8px")
        identifier = row.identifier

        def toggled(enabled: bool) -> None:
            self._onEnabled(identifier, enabled)

        box.connect("toggled(bool)", toggled)
        return box

    def _removeButton(self, row: ExampleRow) -> Any:
        button = qt.QToolButton()
        button.text = "\N{MULTIPLICATION SIGN}"
        button.toolTip = _("Take this slice out of the examples; what is painted stays.")
        button.autoRaise = True
        identifier = row.identifier

        def clicked() -> None:
            # The button goes with its row, so Qt has to be done with the click first.
            qt.QTimer.singleShot(0, removed)

        def removed() -> None:
            self._onRemoved(identifier)

        button.connect("clicked()", clicked)
        return button

    def _onCellClicked(self, position: int, _column: int) -> None:
        if 0 <= position < len(self._rows):
            self._onChosen(self.identifiers()[position])


def _label(text: str) -> Any:
    label = qt.QLabel(text)
    label.margin = 2
    label.setTextFormat(qt.Qt.RichText)
    # Clicks belong to the row, and so does the tooltip.
    label.setAttribute(qt.Qt.WA_TransparentForMouseEvents)
    return label


def _segmentText(name: str, color: tuple[float, float, float] | None) -> str:
    """A name that stays in one line, after a square of its colour; the count of what is not shown has none."""
    text = html.escape(name).replace(" ", "&nbsp;")
    if color is None:
        return text
    red, green, blue = (round(255 * part) for part in color)
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">\N{BLACK SQUARE}</span>&nbsp;{text}'
