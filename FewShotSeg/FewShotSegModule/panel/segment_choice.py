"""Which of the examples' segments are looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt


class SegmentChoice:
    """A list of names with check marks.

    :param widget: The QListWidget.
    :param onChanged: Called with the names that are not to be looked for, when the user changed a mark.
    """

    def __init__(self, widget: Any, onChanged: Callable[[list[str]], None]) -> None:
        self._widget, self._onChanged = widget, onChanged
        self._shown: list[tuple[str, bool]] = []
        widget.connect("itemChanged(QListWidgetItem*)", self._onItemChanged)

    def show(self, names: Sequence[str], leftOut: Sequence[str]) -> None:
        """Shows names, checked unless they are left out."""
        wanted = [(name, name not in leftOut) for name in names]
        if wanted == self._shown:
            return
        self._shown = wanted
        blocked = self._widget.blockSignals(True)
        self._widget.clear()
        for name, checked in wanted:
            item = qt.QListWidgetItem(name)
            item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
            self._widget.addItem(item)
        self._widget.blockSignals(blocked)

    def _onItemChanged(self) -> None:
        items = [self._widget.item(number) for number in range(len(self._shown))]
        self._shown = [(item.text(), item.checkState() == qt.Qt.Checked) for item in items]
        self._onChanged([name for name, checked in self._shown if not checked])
