"""Which of the examples' segments are looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt


class SegmentChoice:
    """A list of names with check marks, with a search and buttons that check all and none of what it finds.

    :param ui: Has segmentList, segmentSearchBox, allSegmentsButton and noSegmentsButton.
    :param onChanged: Called with the names that are not to be looked for, when the user changed marks.
    """

    def __init__(self, ui: Any, onChanged: Callable[[list[str]], None]) -> None:
        self._ui, self._list, self._onChanged = ui, ui.segmentList, onChanged
        self._shown: list[tuple[str, bool]] = []
        self._list.connect("itemChanged(QListWidgetItem*)", self._onItemChanged)
        ui.segmentSearchBox.connect("textChanged(QString)", self._filter)
        ui.allSegmentsButton.connect("clicked()", lambda: self._checkAll(qt.Qt.Checked))
        ui.noSegmentsButton.connect("clicked()", lambda: self._checkAll(qt.Qt.Unchecked))

    def show(self, names: Sequence[str], leftOut: Sequence[str]) -> None:
        """Shows names, checked unless they are left out."""
        wanted = [(name, name not in leftOut) for name in names]
        if wanted == self._shown:
            return
        self._shown = wanted
        blocked = self._list.blockSignals(True)
        self._list.clear()
        for name, checked in wanted:
            item = qt.QListWidgetItem(name)
            item.setToolTip(name)
            item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
            self._list.addItem(item)
        self._list.blockSignals(blocked)
        self._filter()

    def _items(self) -> list[Any]:
        return [self._list.item(number) for number in range(len(self._shown))]

    def _filter(self) -> None:
        wanted = self._ui.segmentSearchBox.text.strip().casefold()
        for item in self._items():
            item.setHidden(wanted not in item.text().casefold())

    def _checkAll(self, state: Any) -> None:
        blocked = self._list.blockSignals(True)
        for item in self._items():
            if not item.isHidden():
                item.setCheckState(state)
        self._list.blockSignals(blocked)
        self._onItemChanged()

    def _onItemChanged(self) -> None:
        self._shown = [(item.text(), item.checkState() == qt.Qt.Checked) for item in self._items()]
        self._onChanged([name for name, checked in self._shown if not checked])
