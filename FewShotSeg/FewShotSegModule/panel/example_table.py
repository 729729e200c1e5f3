"""The table of example slices."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from FewShotSegModule.panel.example_row import ExampleRow
from FewShotSegModule.panel.pixmaps import pixmapOf

_USE, _PICTURE, _SLICE, _SEGMENTS, _REMOVE = range(5)
#: More names would make a row higher than its picture.
_MOST_NAMES = 4


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
    PICTURE_SIZE = (64, 84)

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
        self._identifiers: list[str] = []
        widget.setColumnCount(5)
        widget.setHorizontalHeaderLabels([_("Use"), "", _("Slice"), _("Segments"), ""])
        widget.verticalHeader().setVisible(False)
        header = widget.horizontalHeader()
        header.setSectionsClickable(False)
        header.setSectionResizeMode(qt.QHeaderView.Fixed)
        for column, width in ((_USE, 34), (_PICTURE, self.PICTURE_SIZE[1] + 8), (_REMOVE, 32)):
            widget.setColumnWidth(column, width)
        for column in (_SLICE, _SEGMENTS):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        widget.connect("cellClicked(int,int)", self._onCellClicked)

    def identifiers(self) -> list[str]:
        """Identifiers of the rows from top to bottom."""
        return list(self._identifiers)

    def show(self, rows: Sequence[ExampleRow]) -> None:
        """Shows these rows and no others."""
        self._identifiers = [row.identifier for row in rows]
        self._widget.setRowCount(len(rows))
        for position, row in enumerate(rows):
            self._fill(position, row)

    def refresh(self, row: ExampleRow) -> None:
        """Shows a row anew; the others, and what is selected, stay."""
        if row.identifier in self._identifiers:
            self._fill(self._identifiers.index(row.identifier), row)

    def _fill(self, position: int, row: ExampleRow) -> None:
        widget = self._widget
        widget.setRowHeight(position, self.PICTURE_SIZE[0] + 6)
        widget.setCellWidget(position, _USE, self._checkBox(row))
        picture = _label("")
        picture.setPixmap(pixmapOf(row.picture))
        picture.setAlignment(qt.Qt.AlignCenter)
        widget.setCellWidget(position, _PICTURE, picture)
        place = f"{html.escape(row.volumeName)}<br><b>{html.escape(row.position)}</b>"
        widget.setCellWidget(position, _SLICE, _label(place))
        widget.setCellWidget(position, _SEGMENTS, _label(_segmentsText(row)))
        widget.setCellWidget(position, _REMOVE, self._removeButton(row))
        tip = _("Click to see this slice.") + "\n" + ", ".join(name for name, _color in row.segments)
        for column in (_PICTURE, _SLICE, _SEGMENTS):
            item = qt.QTableWidgetItem()
            item.setToolTip(tip.strip())
            widget.setItem(position, column, item)

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
        if 0 <= position < len(self._identifiers):
            self._onChosen(self._identifiers[position])


def _label(text: str) -> Any:
    label = qt.QLabel(text)
    label.wordWrap = True
    label.setTextFormat(qt.Qt.RichText)
    # Clicks belong to the row, and so does the tooltip.
    label.setAttribute(qt.Qt.WA_TransparentForMouseEvents)
    return label


def _segmentsText(row: ExampleRow) -> str:
    """Names with a square of the segment's colour, as rich text."""
    if not row.segments:
        return "<i>" + html.escape(_("nothing painted")) + "</i>"
    # A last line "2 more" is worth it only if it stands for two names or more.
    shown = row.segments if len(row.segments) <= _MOST_NAMES else row.segments[: _MOST_NAMES - 1]
    names = []
    for name, color in shown:
        red, green, blue = (round(255 * part) for part in color)
        names.append(
            f'<span style="color:#{red:02x}{green:02x}{blue:02x}">\N{BLACK SQUARE}</span>&nbsp;{html.escape(name)}'
        )
    if len(shown) < len(row.segments):
        names.append(html.escape(_("and {count} more").format(count=len(row.segments) - len(shown))))
    return "<br>".join(names)
