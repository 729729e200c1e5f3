"""The examples: adding, removing and showing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegLib.pictures.slice_picture import draw_slice
from FewShotSegModule.panel.chosen_view import ChosenView
from FewShotSegModule.panel.example_table import Color, ExampleRow, ExampleTable, Unpainted
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_list import MOST_EXAMPLES, ExampleList
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.knowledge import Known, foundOn, knownOn
from FewShotSegModule.scene.slice_place import jumpTo, positionText, sliceNormal
from FewShotSegModule.scene.slice_views import sliceOfView

#: A brush stroke changes a segment many times; rows are drawn anew when it pauses this many milliseconds.
_PAUSE = 200


class ExampleSection:
    """Connects the example list of the scene with buttons and table.

    :param ui: Has addSliceButton, addAllButton, exampleTable, and exampleStack with examplesPage and noExamplesPage.
    :param painted: Gives the volume that is painted on and the segmentation that is painted in; either may be None.
    :param onChanged: Called after the list changed: examples added, removed, enabled, repainted.
    :param view: The slice view whose slice is added.
    :param preview: Gives the result that waits to be accepted, which is no place to paint examples in, and tells what
        was found on examples without being painted there; may be None.
    :param query: Gives the volume to segment; may be None.
    :param background: Gives the name of the segments that are painted on what is no structure; "" if there are none.
    :param addShortcut: Keys that add a slice, for the tooltip.
    """

    def __init__(
        self,
        ui: Any,
        *,
        painted: Callable[[], tuple[Any, Any]],
        onChanged: Callable[[], None],
        view: ChosenView,
        preview: Callable[[], Any] = lambda: None,
        query: Callable[[], Any] = lambda: None,
        background: Callable[[], str] = str,
        addShortcut: str = "",
    ) -> None:
        self._ui, self._view, self._query, self._background = ui, view, query, background
        self._painted, self._onChanged, self._preview = painted, onChanged, preview
        self._addShortcut = addShortcut
        self._list: ExampleList | None = None
        self._table = ExampleTable(
            ui.exampleTable,
            onEnabled=self._onEnabled,
            onRemoved=self._onRemoved,
            onChosen=self._onChosen,
            onSaid=self._onSaid,
            onStrokes=self._onStrokes,
        )
        #: What the table shows, by identifier: reading what is painted from the scene again takes time.
        self._rows: dict[str, ExampleRow] = {}
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.connect("timeout()", self._refreshStale)
        ui.addSliceButton.connect("clicked()", self.addCurrentSlice)
        ui.addAllButton.connect("clicked()", self.addAllPainted)

    def setList(self, examples: ExampleList | None) -> None:
        """Shows another list; None lets go of the scene."""
        self._timer.stop()
        if self._list is not None:
            self._list.unobserve()
        self._list = examples
        if examples is not None:
            examples.observe(self._onListStirred)
        self._showAll()

    def enabledRows(self) -> list[ExampleSlice]:
        """The examples that are to be used."""
        return [row for row in self._list.rows() if row.enabled] if self._list is not None else []

    def segmentNames(self) -> list[str]:
        """Names of the segments on the examples that are to be used, in the order of their appearance."""
        names: dict[str, None] = {}
        for row in self.enabledRows():
            shown = self._rows.get(row.identifier)
            names.update(dict.fromkeys(name for name, _color in (shown.segments if shown else ())))
        return list(names)

    def note(self) -> str:
        """What is to be said of the list; empty if nothing."""
        if len(self._rows) < MOST_EXAMPLES:
            return ""
        return _("The list is full: what you paint on further slices is no example before you remove some rows.")

    @property
    def isEmpty(self) -> bool:
        """Whether there is no example at all, used or not."""
        return not self._rows

    # What the user does

    def addCurrentSlice(self) -> None:
        """Adds the slice that the chosen view shows."""
        volume, segmentation = self._painted()
        if self._list is None or self._whatIsMissing():
            return
        with slicer.util.tryWithErrorDisplay(_("The slice can't be added.")):
            self.add(volume, segmentation, *sliceOfView(self._view.require(), volume))

    def add(self, volume: Any, segmentation: Any, axis: int, index: int) -> ExampleSlice | None:
        """Adds a slice and selects its row; returns it.

        :raises SceneError: The nodes can't be used.
        """
        if self._list is None:
            return None
        added = self._list.add(volume, segmentation, axis, index)
        self._showAll()
        self._ui.exampleTable.selectRow(self._table.identifiers().index(added.identifier))
        self._onChanged()
        return added

    def setStrokes(self, row: ExampleSlice, strokes: bool) -> None:
        """Sets whether only what is painted counts on a row."""
        self._onStrokes(row.identifier, strokes)

    def addAllPainted(self) -> None:
        """Adds every painted slice of the segmentation."""
        volume, segmentation = self._painted()
        if self._list is None or self._whatIsMissing():
            return
        with slicer.util.tryWithErrorDisplay(_("The painted slices can't be added.")):
            added = self._list.addAllPainted(volume, segmentation)
            if not added:
                slicer.util.infoDisplay(
                    _("Nothing is painted in {name} yet. Paint some slices first.").format(name=segmentation.GetName())
                )
            self._showAll()
            self._onChanged()

    def takePainted(
        self, volume: Any, segmentation: Any, painted: list[tuple[int, int]], emptied: list[tuple[int, int]]
    ) -> None:
        """Makes what somebody painted an example, and takes a row that was made so off again where all was erased.

        :param painted: Slices (axis, index) of the volume that have something new on them.
        :param emptied: Slices that have nothing on them any more.
        """
        isOurs = (volume, segmentation) == self._painted() and segmentation is not self._preview()
        if self._list is not None and isOurs and self._list.takePainted(volume, segmentation, painted, emptied):
            # Rows that look different since are read when the list has compared them.
            self._showAll(known=self._rows)
            self._onChanged()

    def update(self) -> None:
        """Shows whether slices can be added, and if not, what is missing."""
        missing = self._whatIsMissing()
        add = _("Use the slice that the chosen view shows as an example.")
        if self._addShortcut:
            add = f"{add} ({self._addShortcut})"
        add += "\n" + _("Segments that are not painted on it are looked for there.")
        for button, tip in (
            (self._ui.addSliceButton, add),
            (self._ui.addAllButton, _("Use every slice as an example that has something painted on it.")),
        ):
            button.enabled = not missing
            button.toolTip = missing or tip
        self._tellWhatIsKnown()

    # What happens

    def _whatIsMissing(self) -> str:
        """Why no slice can be added now; empty if one can."""
        volume, segmentation = self._painted()
        if volume is None:
            return _("Select the volume to segment first.")
        if segmentation is None:
            return _("Select or create a segmentation to paint in first.")
        if segmentation is self._preview():
            return _("The preview goes with the next run; accept it first, or paint in another segmentation.")
        return ""

    def _onListStirred(self) -> None:
        self._timer.start()

    def _refreshStale(self) -> None:
        if self._list is None:
            return
        stale = set(self._list.changes())
        rows = {row.identifier: row for row in self._list.rows()}
        if list(rows) != self._table.identifiers():
            self._showAll()
        else:
            for identifier in stale & rows.keys():
                self._rows[identifier] = self._read(rows[identifier])
            self._tellWhatIsKnown()
            for identifier in stale & rows.keys():
                self._table.refresh(self._rows[identifier])
        if stale:
            self._onChanged()

    def _showAll(self, known: Mapping[str, ExampleRow] | None = None) -> None:
        """Shows the list; rows that are known are not read again."""
        rows = self._list.rows() if self._list is not None else []
        self._rows = {row.identifier: (known or {}).get(row.identifier) or self._read(row) for row in rows}
        self._rows |= self._withWhatIsKnown()
        self._table.show(list(self._rows.values()))
        self._ui.exampleStack.setCurrentWidget(self._ui.examplesPage if rows else self._ui.noExamplesPage)

    def _read(self, row: ExampleSlice) -> ExampleRow:
        """A row as it is in the scene now."""
        assert self._list is not None
        try:
            segments = tuple((info.name, info.color) for info in self._list.segmentsOn(row))
            image, labels, pixelMm = self._list.sliceImage(row)
            position = positionText(sliceNormal(row.volume, row.axis), self._list.positionMm(row))
        except SceneError as error:
            # The image was taken out of the volume, for instance; the row comes back to life when it is put back.
            segments, position = (), str(error)
            image, labels, pixelMm = np.zeros((1, 1)), np.zeros((1, 1), int), (1.0, 1.0)
        colors = [color for _name, color in segments]
        return ExampleRow(
            identifier=row.identifier,
            enabled=row.enabled,
            picture=draw_slice(image, labels, pixelMm, colors, ExampleTable.PICTURE_SIZE, _window(row.volume)),
            volumeName=row.volume.GetName(),
            position=position,
            segments=segments,
        )

    def _onEnabled(self, identifier: str, enabled: bool) -> None:
        if self._list is not None:
            self._list.setEnabled(identifier, enabled)
            self._onChanged()

    def _onRemoved(self, identifier: str) -> None:
        if self._list is not None:
            self._list.remove(identifier)
            self._showAll()
            self._onChanged()

    def _onChosen(self, identifier: str) -> None:
        for row in self._list.rows() if self._list is not None else []:
            if row.identifier == identifier:
                jumpTo(row)

    def _onSaid(self, identifier: str, name: str, absent: bool | None) -> None:
        if self._list is not None:
            self._list.say(identifier, name, absent)
            self._onChanged()

    def _onStrokes(self, identifier: str, strokes: bool) -> None:
        if self._list is not None:
            self._list.setStrokes(identifier, strokes)
            self._onChanged()

    def _tellWhatIsKnown(self) -> None:
        """Shows rows anew of whose structures something else is known."""
        for identifier, row in self._withWhatIsKnown().items():
            self._rows[identifier] = row
            self._table.refreshText(row)

    def _withWhatIsKnown(self) -> dict[str, ExampleRow]:
        """The rows of which something else is known than they show."""
        colors: dict[str, Color] = {}
        for shown in self._rows.values():
            colors |= {name: color for name, color in shown.segments if name not in colors}
        colors.pop(self._background(), None)
        found, query = foundOn(self._preview()), self._query()
        changed = {}
        for row in self._list.rows() if self._list is not None else []:
            if row.identifier not in self._rows:
                continue
            shown = self._rows[row.identifier]
            painted = {name for name, _color in shown.segments}
            known = knownOn(row, query, colors, painted, found.get((row.volume, row.axis, row.index), ()))
            others = tuple(
                Unpainted(name, colors[name], state) for name, state in known.items() if state is not Known.PAINTED
            )
            if (others, row.strokes) != (shown.others, shown.strokes):
                changed[row.identifier] = replace(shown, others=others, strokes=row.strokes)
        return changed


def _window(volume: Any) -> tuple[float, float] | None:
    """Intensities that the views show as black and as white."""
    display = volume.GetScalarVolumeDisplayNode()
    return (display.GetWindowLevelMin(), display.GetWindowLevelMax()) if display is not None else None
