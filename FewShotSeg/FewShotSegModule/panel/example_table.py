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
from FewShotSegModule.scene.knowledge import Known

_USE, _PICTURE, _TEXT, _REMOVE, _SAY = range(5)
#: Lines for the segments' names, below the one for the slice; more would make a row higher than its picture.
_NAME_LINES = 2
#: Between text and the edges of its column.
_MARGIN = 12
#: How much wider bold text is.
_BOLD = 1.15
#: What stands before the name of a structure, in its colour.
_SIGNS = {
    Known.PAINTED: "\N{BLACK SQUARE}",
    Known.FOUND: "\N{SQUARE WITH LEFT HALF BLACK}",
    Known.UNKNOWN: "\N{WHITE SQUARE}",
    Known.ABSENT: "\N{EMPTY SET}",
    Known.ASSUMED: "\N{EMPTY SET}",
    Known.ASKED: "?",
}
#: Names of what is not painted; it is read on dark and on light.
_FAINT = "#858585"
#: Where a link leads that is no structure's.
_ALL = "all"

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Unpainted:
    """A structure of the examples that is not painted on a slice.

    :param name: Its name.
    :param color: Its colour (red, green, blue in 0..1) where it is painted.
    :param known: What is known of it on the slice.
    """

    name: str
    color: Color
    known: Known


@dataclass(frozen=True, eq=False)
class ExampleRow:
    """What the table shows of an example slice.

    :param identifier: The example's, stable while the scene exists.
    :param enabled: Whether the example is used.
    :param picture: Array (height, width, 3) of uint8; see `thumbnail`.
    :param volumeName: Name of the volume that the slice belongs to.
    :param position: Where the slice is, in words.
    :param segments: Name and colour (red, green, blue in 0..1) of the segments on it.
    :param others: The other structures, which are not painted on it.
    :param strokes: Whether only what is painted counts.
    """

    identifier: str
    enabled: bool
    picture: np.ndarray
    volumeName: str
    position: str
    segments: tuple[tuple[str, Color], ...]
    others: tuple[Unpainted, ...] = ()
    strokes: bool = False


class ExampleTable:
    """Shows rows and tells what the user does with them; it knows no scene.

    Example::

        table = ExampleTable(
            ui.exampleTable,
            onEnabled=examples.setEnabled,
            onRemoved=examples.remove,
            onChosen=jump,
            onSaid=examples.say,
            onStrokes=examples.setStrokes,
        )
        table.show(rows)

    :param widget: The QTableWidget.
    :param onEnabled: Called with an identifier and whether the example is to be used.
    :param onRemoved: Called with the identifier of an example that is to go.
    :param onChosen: Called with the identifier of the row that was clicked.
    :param onSaid: Called with an identifier, the name of a structure that is not painted there, and whether it is
        absent (False: not painted yet; None: the engine is to find out).
    :param onStrokes: Called with an identifier and whether only what is painted counts.
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
        onSaid: Callable[[str, str, bool | None], None],
        onStrokes: Callable[[str, bool], None],
    ) -> None:
        self._widget = widget
        self._onEnabled, self._onRemoved, self._onChosen = onEnabled, onRemoved, onChosen
        self._onSaid, self._onStrokes = onSaid, onStrokes
        self._rows: dict[str, ExampleRow] = {}
        widget.setColumnCount(5)
        widget.verticalHeader().setVisible(False)
        header = widget.horizontalHeader()
        # What the columns are is plain to see, and without their names one more row is in sight.
        header.setVisible(False)
        header.setSectionResizeMode(qt.QHeaderView.Fixed)
        for column, width in ((_USE, 28), (_PICTURE, self.PICTURE_SIZE[1] + 6), (_REMOVE, 24), (_SAY, 24)):
            widget.setColumnWidth(column, width)
        header.setSectionResizeMode(_TEXT, qt.QHeaderView.Stretch)
        # What can be said comes before what takes the row away.
        header.moveSection(_SAY, _REMOVE)
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

    def refreshText(self, row: ExampleRow) -> None:
        """Shows anew what is said of a row beside its picture, of which nothing has changed."""
        if row.identifier in self._rows:
            self._rows[row.identifier] = row
            position = self.identifiers().index(row.identifier)
            self._widget.cellWidget(position, _TEXT).text = self._text(row, self._widget.columnWidth(_TEXT))
            self._setTip(position, row)

    def _fill(self, position: int, row: ExampleRow) -> None:
        widget = self._widget
        widget.setRowHeight(position, max(self.PICTURE_SIZE[0], (1 + _NAME_LINES) * self._metrics().height()) + 6)
        widget.setCellWidget(position, _USE, self._checkBox(row))
        picture = qt.QLabel()
        # Clicks belong to the row, and so does the tooltip.
        picture.setAttribute(qt.Qt.WA_TransparentForMouseEvents)
        picture.setPixmap(pixmapOf(row.picture))
        picture.setAlignment(qt.Qt.AlignCenter)
        widget.setCellWidget(position, _PICTURE, picture)
        widget.setCellWidget(position, _TEXT, self._textLabel(row))
        widget.setCellWidget(position, _REMOVE, self._removeButton(row))
        widget.setCellWidget(position, _SAY, self._sayButton(row))
        self._setTip(position, row)

    def _setTip(self, position: int, row: ExampleRow) -> None:
        tip = _tip(row)
        for column in (_PICTURE, _TEXT):
            item = qt.QTableWidgetItem()
            item.setToolTip(tip)
            self._widget.setItem(position, column, item)

    def _metrics(self) -> Any:
        return qt.QFontMetrics(self._widget.font)

    def _text(self, row: ExampleRow, columnWidth: int) -> str:
        """Slice and segments as rich text, as much as there is room for."""
        metrics, width = self._metrics(), columnWidth - _MARGIN

        def measure(text: str) -> float:
            return float(metrics.size(0, text).width())

        # The position is bold, hence wider.
        position = elided(row.position, width / _BOLD, measure)
        room = width - _BOLD * measure(position) - measure("   " + (_("strokes") + "   " if row.strokes else ""))
        volume = elided(row.volumeName, room, measure)
        strokes = "&nbsp; <i>" + html.escape(_("strokes")) + "</i>" if row.strokes else ""
        first = f"<b>{html.escape(position)}</b>{strokes}&nbsp; {html.escape(volume)}"
        return "<br>".join([first, *self._segmentLines(row, width, measure)])

    def _segmentLines(self, row: ExampleRow, width: float, measure: Callable[[str], float]) -> list[str]:
        """Names, each after its sign; what is not painted can be clicked."""
        marks = [_Mark(name, Known.PAINTED, color) for name, color in row.segments] or [_Mark(_("nothing painted"))]
        order = list(_SIGNS)
        others = [_Mark(other.name, other.known, other.color, str(n)) for n, other in enumerate(row.others)]
        marks += sorted(others, key=lambda mark: order.index(mark.known) if mark.known is not None else 0)
        sign = measure("\N{BLACK SQUARE}   ")
        lines, rest = namesThatFit(
            [mark.name for mark in marks],
            width=width,
            lines=_NAME_LINES,
            measure=lambda name: sign + measure(name),
            more=lambda count: _("and {count} more").format(count=count),
        )
        shown = iter([*marks[: len(marks) - rest], _Mark("", link=_ALL if row.others else "")])
        return ["&nbsp; ".join(next(shown).text(name) for name in line) for line in lines]

    def _onSectionResized(self, column: int, before: int, now: int) -> None:
        if column == _TEXT and before != now:
            for position, row in enumerate(self._rows.values()):
                label = self._widget.cellWidget(position, _TEXT)
                if label is not None:
                    label.text = self._text(row, now)

    def _textLabel(self, row: ExampleRow) -> Any:
        # What is clicked beside a link reaches the row, which has the tooltip, too.
        label = qt.QLabel(self._text(row, self._widget.columnWidth(_TEXT)))
        label.margin = 2
        label.setTextFormat(qt.Qt.RichText)

        identifier = row.identifier
        # The label may go with its row, so Qt has to be done with the click first.
        label.connect("linkActivated(QString)", lambda link: _later(lambda: self._onLink(identifier, link)))
        return label

    def _onLink(self, identifier: str, link: str) -> None:
        """Switches a structure between absent and not painted yet, or tells of all of them."""
        if link == _ALL:
            self._openMenu(identifier)
        elif identifier in self._rows:
            other = self._rows[identifier].others[int(link)]
            self._onSaid(identifier, other.name, other.known not in (Known.ABSENT, Known.ASSUMED))

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
        button.connect("clicked()", lambda: _later(lambda: self._onRemoved(identifier)))
        return button

    def _sayButton(self, row: ExampleRow) -> Any:
        button = qt.QToolButton()
        button.text = "\N{HORIZONTAL ELLIPSIS}"
        button.toolTip = _("Say what is known of this slice: strokes, structures that are absent or not painted yet.")
        button.autoRaise = True
        identifier = row.identifier
        button.connect("clicked()", lambda: self._openMenu(identifier))
        return button

    def _openMenu(self, identifier: str) -> None:
        """What can be said of a slice."""
        row = self._rows[identifier]
        menu = qt.QMenu(self._widget)
        menu.setAttribute(qt.Qt.WA_DeleteOnClose)
        _addAction(
            menu, _("Only what is painted counts"), row.strokes, lambda: self._onStrokes(identifier, not row.strokes)
        )
        menu.addSeparator()
        for other in row.others:
            choices = menu.addMenu(other.name.replace("&", "&&"))
            for text, absent, chosen in (
                (_("Nothing said"), None, other.known in (Known.ASSUMED, Known.ASKED, Known.FOUND)),
                (_("Not on this slice"), True, other.known is Known.ABSENT),
                (_("There, not painted yet"), False, other.known is Known.UNKNOWN),
            ):
                _addAction(choices, text, chosen, self._saying(identifier, other.name, absent))
        menu.popup(qt.QCursor.pos())

    def _saying(self, identifier: str, name: str, absent: bool | None) -> Callable[[], None]:
        return lambda: self._onSaid(identifier, name, absent)

    def _onCellClicked(self, position: int, _column: int) -> None:
        if 0 <= position < len(self._rows):
            self._onChosen(self.identifiers()[position])


@dataclass(frozen=True)
class _Mark:
    """What is shown of a structure: its name, after a sign in its colour; with a link it is faint.

    Without a sign, it stands for there being none of them, or, without a name, for those that there is no room for.
    """

    name: str
    known: Known | None = None
    color: Color = (0.0, 0.0, 0.0)
    link: str = ""

    def text(self, name: str) -> str:
        """As rich text that stays in one line.

        :param name: The name as far as there is room for it.
        """
        shown = html.escape(name).replace(" ", "&nbsp;")
        if self.link:
            shown = f'<a href="{self.link}" style="color:{_FAINT};text-decoration:none">{shown}</a>'
        if self.known is None:
            return f"<i>{html.escape(name)}</i>" if self.name else shown
        red, green, blue = (round(255 * part) for part in self.color)
        return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">{_SIGNS[self.known]}</span>&nbsp;{shown}'


def _tip(row: ExampleRow) -> str:
    """A row's tooltip: all that there is no room for."""
    lines = [_("Click to see this slice."), row.volumeName, row.position]
    lines += [f"{_SIGNS[Known.PAINTED]} {name}" for name, _color in row.segments]
    lines += [f"{_SIGNS[other.known]} {other.name}: {_knownText(other.known)}" for other in row.others]
    if row.strokes:
        lines.append(_("Only what is painted counts."))
    if row.others:
        lines.append(_("Click on one that is not painted to say that it is not on this slice, or not painted yet."))
    return "\n".join(line for line in lines if line)


def _knownText(known: Known) -> str:
    return {
        Known.PAINTED: _("painted"),
        Known.FOUND: _("found by the engine, not painted yet"),
        Known.UNKNOWN: _("not painted yet"),
        Known.ABSENT: _("not on this slice"),
        Known.ASSUMED: _("not painted, so it counts as absent, this being another volume"),
        Known.ASKED: _("not painted; the engine finds out"),
    }[known]


def _addAction(menu: Any, text: str, checked: bool, action: Callable[[], None]) -> None:
    entry = qt.QAction(text, menu)
    entry.checkable = True
    entry.checked = checked
    entry.connect("triggered()", action)
    menu.addAction(entry)


def _later(action: Callable[[], None]) -> None:
    """Does something that replaces the widget that was clicked, after Qt is done with the click."""
    qt.QTimer.singleShot(0, action)
