"""What comes after a result: the next slice to paint, the confidence of each, and the correction of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from FewShotSegModule.panel.chosen_view import ChosenView
from FewShotSegModule.panel.confidence_strip import ConfidenceStrip
from FewShotSegModule.panel.example_section import ExampleSection
from FewShotSegModule.panel.names_that_fit import elided
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.next_slice import NextSlice, reasonText
from FewShotSegModule.scene.preview import queryOf, suggestionsOf
from FewShotSegModule.scene.slice_place import placeText, showSlice
from FewShotSegModule.scene.slice_views import axisOfView, sliceOfView, viewsAlong

#: A view that is scrolled changes many times; the strip follows after so many milliseconds.
_PAUSE = 30


class SliceSection(VTKObservationMixin):
    """Connects the buttons *Show next slice* and *Correct this slice* and the strip with the scene.

    :param ui: Has nextSliceButton, correctSliceButton, nextSliceLabel, confidenceStrip and stripSegmentSelector.
    :param view: The slice view whose slice is corrected, and marked in the strip.
    :param examples: Has the examples, to which a corrected slice is added.
    :param painted: Gives the volume that is painted on and the segmentation that is painted in; either may be None.
    :param copySlice: Copies a slice of the result, see `FewShotSegLogic.copySlice`.
    :param saveStateOf: Gives what saves a segmentation for the editor's undo.
    :param nextKeys: Keys that show the next slice, for the tooltip.
    """

    def __init__(
        self,
        ui: Any,
        *,
        view: ChosenView,
        examples: ExampleSection,
        painted: Callable[[], tuple[Any, Any]],
        copySlice: Callable[[Any, Any, int, int, Callable[[], Any] | None], list[str]],
        saveStateOf: Callable[[Any], Callable[[], Any] | None],
        nextKeys: str = "",
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._view, self._examples = ui, view, examples
        self._painted, self._copySlice, self._saveStateOf = painted, copySlice, saveStateOf
        self._nextKeys = nextKeys
        self._next = NextSlice()
        self._preview: Any = None
        self._said = ""
        self._strip = ConfidenceStrip(ui.confidenceStrip, ui.stripSegmentSelector, onChosen=self._onChosen)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.connect("timeout()", self._mark)
        ui.nextSliceButton.connect("clicked()", self.showNext)
        ui.correctSliceButton.connect("clicked()", self.correct)
        ui.viewSelector.connect("currentIndexChanged(int)", self._onViewChosen)

    def show(self, preview: Any, confidence: Any) -> None:
        """Takes a result and its confidence; either may be None."""
        if preview is not self._preview:
            self._said = ""
        self._preview = preview
        query = queryOf(preview) if preview is not None else None
        self._strip.show(query, preview, confidence)
        self._watch(self._view.node if query is not None else None)
        self._mark()
        self._update()

    def showNext(self) -> None:
        """Shows the next slice to paint, and says why; does nothing where the button is disabled."""
        if not self._ui.nextSliceButton.enabled:
            return
        with slicer.util.tryWithErrorDisplay(_("The next slice can't be shown.")):
            painted = {(row.axis, row.index) for row in self._rows()}
            suggested = self._next.show(self._preview, painted)
            if suggested is None:
                self._said = _("All slices that were suggested are painted; segment again.")
            else:
                self._said = reasonText(self._preview, suggested)
                self._chooseViewAlong(suggested.axis)
        self._update()

    def correct(self) -> None:
        """Copies the chosen view's slice of the result into what is painted, and makes it an example."""
        if self._whyNotCorrect():
            return
        volume, segmentation = self._painted()
        with slicer.util.tryWithErrorDisplay(_("The slice can't be corrected.")):
            axis, index = sliceOfView(self._view.require(), volume)
            added = self._copySlice(self._preview, segmentation, axis, index, self._saveStateOf(segmentation))
            place = placeText(volume, axis, index)
            if added:
                self._said = _("{place}: {segments} copied; mend it with the tools above.").format(
                    place=place, segments=", ".join(added)
                )
                row = self._examples.add(volume, segmentation, axis, index)
                # What was filled in makes areas of strokes.
                if row is not None and row.strokes:
                    self._examples.setStrokes(row, False)
            else:
                self._said = _("{place}: the result adds nothing to what is painted or marked as completed.").format(
                    place=place
                )
        self._update()

    def release(self) -> None:
        """Lets go of the scene."""
        self._soon.stop()
        self._preview, self._said = None, ""
        self._watch(None)
        self._strip.release()
        self._update()

    def close(self) -> None:
        """Ends it for good."""
        self.release()
        self._strip.close()

    def _rows(self) -> list[Any]:
        """The examples on the volume of the result."""
        query = queryOf(self._preview) if self._preview is not None else None
        return [row for row in self._examples.enabledRows() if row.volume is query]

    def _chooseViewAlong(self, axis: int) -> None:
        """Chooses a view that shows slices across an axis, and tells where the layout has none."""
        views = viewsAlong(queryOf(self._preview), axis)
        if not views:
            return
        self._view.choose(views[0])
        others = slicer.util.getNodesByClass("vtkMRMLSliceNode")
        if not views[0].IsMappedInLayout() and any(other.IsMappedInLayout() for other in others):
            self._said += " " + _("(view {name}, which this layout does not show)").format(name=views[0].GetName())

    def _whyNotCorrect(self) -> str:
        """Why no slice can be corrected now; empty if one can."""
        volume, segmentation = self._painted()
        if self._preview is None:
            return _("There is no result to correct; segment from examples first.")
        if volume is None or segmentation is None:
            return _("Select or create a segmentation to paint in first.")
        if segmentation is self._preview:
            return _("The result itself is painted in; select another segmentation under Paint in.")
        if queryOf(self._preview) is not volume:
            return _("The result is one of another volume than the one that is painted on; see Paint on.")
        return ""

    def _update(self) -> None:
        ui, preview = self._ui, self._preview
        label = ui.nextSliceLabel
        legend = _("Strip: from unsure to sure; ticks are painted slices.") if preview is not None else ""
        said = self._said or legend
        label.text = elided(said, label.width, lambda text: qt.QFontMetrics(label.font).size(0, text).width())
        label.toolTip = said
        suggestions = suggestionsOf(preview) if preview is not None and queryOf(preview) is not None else []
        ui.nextSliceButton.enabled = bool(suggestions)
        tip = _("Show the slice whose painting would help most, and say why; then the next one.")
        if self._nextKeys:
            tip = f"{tip} ({self._nextKeys})"
        nothing = _("No slice is suggested; that comes with a result.")
        ui.nextSliceButton.toolTip = tip if suggestions else nothing
        missing = self._whyNotCorrect()
        ui.correctSliceButton.enabled = not missing
        ui.correctSliceButton.toolTip = missing or _(
            "Copy the slice of the result that the chosen view (beside Add current slice) shows into the segmentation"
            " that is painted in, to mend it with the tools. It becomes an example. What is painted on it stays."
        )

    # The strip

    def _onChosen(self, axis: int, index: int) -> None:
        showSlice(queryOf(self._preview), axis, index)

    def _onViewChosen(self) -> None:
        if self._preview is not None:
            self._watch(self._view.node)
            self._mark()

    def _watch(self, node: Any) -> None:
        """Follows a slice view; None for none."""
        if node is not None and self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._onViewMoved):
            return
        self.removeObservers()
        if node is not None:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onViewMoved)

    def _onViewMoved(self, _caller: Any, _event: Any) -> None:
        self._soon.start()

    def _mark(self) -> None:
        """Marks the slice that the chosen view shows, and those that are painted along its axis."""
        query, node = queryOf(self._preview) if self._preview is not None else None, self._view.node
        if query is None or node is None:
            return
        axis, current = 0, None
        with contextlib.suppress(SceneError):  # a view that is tilted, or beside the volume
            axis = axisOfView(node, query)
            current = sliceOfView(node, query)[1]
        self._strip.mark(axis, {row.index for row in self._rows() if row.axis == axis}, current)
