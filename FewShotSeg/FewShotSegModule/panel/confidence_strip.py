"""The strip along a volume's slices: how sure the result is on each, which are painted, which one is seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from FewShotSegModule.panel.pixmaps import pixmapOf
from FewShotSegModule.panel.strip_picture import drawStrip, sliceAt
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.representations import LABELMAP, stateOf
from FewShotSegModule.scene.segment_info import segmentNames
from FewShotSegModule.scene.slice_confidence import SliceConfidence
from FewShotSegModule.scene.slice_place import placeText, sliceNormal

#: Seconds that voxels are looked at before the application has a word.
_AT_ONCE_S = 0.008


class ConfidenceStrip:
    """Draws the strip, and tells where it is clicked. Slices go from right, posterior, inferior to the other side.

    Example::

        strip = ConfidenceStrip(ui.confidenceStrip, ui.stripSegmentSelector, onChosen=jump)
        strip.show(volume, preview, confidence)
        strip.mark(axis=0, painted={12, 20}, current=14)

    :param label: The QLabel to draw in.
    :param selector: The QComboBox that chooses a structure, or all of them.
    :param onChosen: Called with axis and number of the slice that was clicked.
    """

    def __init__(self, label: Any, selector: Any, *, onChosen: Callable[[int, int], None]) -> None:
        self._label, self._selector, self._onChosen = label, selector, onChosen
        self._shown: object = None
        self._volume: Any = None
        self._names: list[str] = []
        self._confidence: SliceConfidence | None = None
        self._steps: Iterator[None] = iter(())
        self._axis, self._painted = 0, frozenset[int]()
        self._current: int | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._goOn)
        self._mouse = _Mouse(self._onPressed, self._onHovered, self._draw)
        label.setMouseTracking(True)
        label.installEventFilter(self._mouse)
        selector.connect("currentIndexChanged(int)", self._draw)
        self._offer([])

    def show(self, volume: Any, preview: Any, confidence: Any) -> None:
        """Shows a result; any of the three may be None, and nothing is shown then.

        Voxels are looked at again only where they are others than before, and little by little.
        """
        if volume is None or preview is None or confidence is None or confidence.GetImageData() is None:
            self.release()
            return
        content = preview.GetSegmentation()
        names = segmentNames(preview)
        shown = (volume, preview, confidence, confidence.GetImageData().GetMTime(), names, stateOf(content, LABELMAP))
        if shown == self._shown:
            return
        self._shown, self._volume = shown, volume
        self._offer(names)
        try:
            self._confidence = SliceConfidence(volume, preview, confidence)
        except SceneError:
            self.release()
            return
        self._steps = self._confidence.steps()
        self._timer.start()

    def mark(self, axis: int, painted: Collection[int], current: int | None) -> None:
        """Marks slices.

        :param axis: Array axis along which the strip goes through the volume.
        :param painted: Numbers of painted slices.
        :param current: Number of the slice that is being looked at; None if none is.
        """
        marks = (axis, frozenset(painted), current)
        if marks != (self._axis, self._painted, self._current):
            self._axis, self._painted, self._current = marks
            self._draw()

    def release(self) -> None:
        """Lets go of the scene."""
        self._timer.stop()
        self._shown = self._volume = self._confidence = None
        self._steps = iter(())
        self._offer([])
        self._draw()

    def close(self) -> None:
        """Ends it for good."""
        self.release()
        self._label.removeEventFilter(self._mouse)

    def _offer(self, names: list[str]) -> None:
        if names == self._names and self._selector.count:
            return
        chosen = self._name()
        self._names = names
        blocked = self._selector.blockSignals(True)
        self._selector.clear()
        self._selector.addItems([_("all structures"), *names])
        self._selector.currentIndex = 1 + names.index(chosen) if chosen in names else 0
        self._selector.blockSignals(blocked)
        self._selector.enabled = bool(names)

    def _name(self) -> str | None:
        """The structure that is chosen; None for all."""
        index = self._selector.currentIndex
        return self._names[index - 1] if 0 < index <= len(self._names) else None

    def _goOn(self) -> None:
        end = time.perf_counter() + _AT_ONCE_S
        for _step in self._steps:
            if time.perf_counter() > end:
                return
        self._timer.stop()
        self._draw()

    # Drawing and clicking

    def _values(self) -> np.ndarray:
        """Confidence of each slice, by its number; empty without a result."""
        return self._confidence.of(self._axis, self._name()) if self._confidence is not None else np.zeros(0)

    def _isTurned(self) -> bool:
        """Whether the first slice is at the right end."""
        return self._volume is not None and max(sliceNormal(self._volume, self._axis), key=abs) < 0

    def _draw(self) -> None:
        values, label = self._values(), self._label
        turned = self._isTurned()

        def placeOf(index: int) -> int:
            return len(values) - 1 - index if turned else index

        picture = drawStrip(
            values[::-1] if turned else values,
            [placeOf(index) for index in self._painted],
            placeOf(self._current) if self._current is not None else None,
            (label.height, label.width),
            _rgb(label.palette.color(qt.QPalette.WindowText)),
            _rgb(label.palette.color(qt.QPalette.Window)),
        )
        if picture.size:
            label.setPixmap(pixmapOf(picture))
        label.toolTip = "" if len(values) else _("How sure the result is on each slice; there is none yet.")

    def _indexAt(self, x: int) -> int | None:
        """The slice that is drawn at a column of pixels; None where none is."""
        count = len(self._values())
        if not count:
            return None
        place = sliceAt(x, self._label.width, count)
        return count - 1 - place if self._isTurned() else place

    def _onPressed(self, x: int) -> None:
        index = self._indexAt(x)
        if index is not None:
            self._onChosen(self._axis, index)

    def _onHovered(self, x: int) -> None:
        index = self._indexAt(x)
        if index is None:
            return
        sureness = self._values()[index]
        said = [placeText(self._volume, self._axis, index)]
        said.append(_("nothing there") if np.isnan(sureness) else _("{part} % sure").format(part=round(100 * sureness)))
        if index in self._painted:
            said.append(_("painted"))
        self._label.toolTip = ", ".join(said) + "\n" + _("Click to see this slice.")


class _Mouse(qt.QObject):
    """Tells where the label is pressed or dragged, where the mouse is, and when its size or colours change."""

    def __init__(
        self, onPressed: Callable[[int], None], onHovered: Callable[[int], None], onChanged: Callable[[], None]
    ) -> None:
        qt.QObject.__init__(self)
        self._onPressed, self._onHovered, self._onChanged = onPressed, onHovered, onChanged

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        """Called by Qt; no event is kept from the label."""
        kind = event.type()
        if kind in (qt.QEvent.Resize, qt.QEvent.PaletteChange):
            self._onChanged()
        elif kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseMove):
            isPressed = bool(event.buttons() & qt.Qt.LeftButton)
            (self._onPressed if isPressed else self._onHovered)(event.pos().x())
        return False


def _rgb(color: Any) -> tuple[int, int, int]:
    return color.red(), color.green(), color.blue()
