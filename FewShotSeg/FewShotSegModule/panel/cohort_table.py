"""The table of a cohort's cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from FewShotSegModule.cohort.review import ReviewCase

_PICTURE, _TEXT = range(2)
_SIDE = 72


class CohortTable:
    """Shows cases with their pictures and doubts.

    :param widget: The QTableWidget.
    :param onOpened: Called with the case that the user wants to see, at times twice.
    """

    def __init__(self, widget: Any, onOpened: Callable[[ReviewCase], None]) -> None:
        self._widget, self._onOpened = widget, onOpened
        self._cases: list[ReviewCase] = []
        widget.setColumnCount(2)
        widget.setColumnWidth(_PICTURE, _SIDE + 8)
        widget.horizontalHeader().setStretchLastSection(True)
        widget.horizontalHeader().hide()
        widget.verticalHeader().hide()
        widget.setIconSize(qt.QSize(_SIDE, _SIDE))
        widget.connect("cellClicked(int,int)", self._open)
        # Return does it, too.
        widget.connect("cellActivated(int,int)", self._open)

    @property
    def chosen(self) -> ReviewCase | None:
        """The selected case."""
        row = self._widget.currentRow() if callable(self._widget.currentRow) else self._widget.currentRow
        return self._cases[row] if 0 <= row < len(self._cases) else None

    def show(self, cases: Sequence[ReviewCase]) -> None:
        """Shows cases; the chosen one stays chosen, and rows that stay the same are left alone."""
        chosen, before = self.chosen, self._cases
        self._cases = list(cases)
        self._widget.setRowCount(len(self._cases))
        for row, case in enumerate(self._cases):
            if row >= len(before) or before[row] != case:
                self._fill(row, case)
        names = [case.name for case in self._cases]
        if chosen is not None and chosen.name in names:
            self._widget.selectRow(names.index(chosen.name))

    def _fill(self, row: int, case: ReviewCase) -> None:
        picture = qt.QTableWidgetItem()
        if case.picture.is_file():
            picture.setIcon(qt.QIcon(str(case.picture)))
        text = qt.QTableWidgetItem(_text(case))
        for column, item in ((_PICTURE, picture), (_TEXT, text)):
            item.setToolTip(_("Click to see this case.") + "\n" + _text(case))
            self._widget.setItem(row, column, item)
        self._widget.setRowHeight(row, _SIDE + 6)

    def _open(self, row: int, _column: int) -> None:
        if 0 <= row < len(self._cases):
            self._onOpened(self._cases[row])


def _text(case: ReviewCase) -> str:
    if case.failed:
        return _("{name}: failed").format(name=case.name) + "\n" + "\n".join(case.doubts)
    return "\n".join([case.name, *case.doubts])
