"""Which volumes of the scene are cases of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

from FewShotSegModule.scene.required import inScene


class SceneCaseList:
    """A list of volumes with check marks; new ones are checked.

    :param widget: The QListWidget.
    :param onChanged: Called when the user changed marks.
    """

    def __init__(self, widget: Any, onChanged: Callable[[], None]) -> None:
        self._widget, self._onChanged = widget, onChanged
        self._nodes: list[Any] = []
        self._shown: list[tuple[str, str]] = []
        #: Identifiers of the volumes whose marks were taken away.
        self._leftOut: set[str] = set()
        widget.connect("itemChanged(QListWidgetItem*)", self._onItemChanged)

    @property
    def chosen(self) -> list[Any]:
        """The volumes that are checked."""
        return [node for node in self._nodes if inScene(node) and node.GetID() not in self._leftOut]

    def show(self, nodes: Sequence[Any]) -> None:
        """Shows these volumes."""
        self._nodes = list(nodes)
        wanted = [(node.GetID(), node.GetName()) for node in nodes]
        if wanted == self._shown:
            return
        self._shown = wanted
        blocked = self._widget.blockSignals(True)
        self._widget.clear()
        for node in nodes:
            item = qt.QListWidgetItem(node.GetName())
            item.setToolTip(node.GetName())
            item.setCheckState(qt.Qt.Unchecked if node.GetID() in self._leftOut else qt.Qt.Checked)
            self._widget.addItem(item)
        self._widget.blockSignals(blocked)

    def forget(self) -> None:
        """Lets go of the scene."""
        self.show([])
        self._leftOut.clear()

    def _onItemChanged(self) -> None:
        for number, node in enumerate(self._nodes):
            isChecked = self._widget.item(number).checkState() == qt.Qt.Checked
            (self._leftOut.discard if isChecked else self._leftOut.add)(node.GetID())
        self._onChanged()
