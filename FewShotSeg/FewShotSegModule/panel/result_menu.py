"""What else can be done with results: start from one that is there already, and a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.panel.file_dialogs import pathOf

#: Slices of a segmentation that are taken as examples at once.
_COUNT = 5


class ResultMenu:
    """The menu of a button.

    :param button: The button.
    :param segmentations: Gives the segmentations to start from.
    :param start: Called with a segmentation that is to be the result so far.
    :param takeSlices: Called with a segmentation and a number of slices of it that are to be examples.
    :param report: Gives what makes the report as a table; None where there is nothing to report.
    :param page: Called with the path of a page that is to become the report.
    """

    def __init__(
        self,
        button: Any,
        *,
        segmentations: Callable[[], list[Any]],
        start: Callable[[Any], None],
        takeSlices: Callable[[Any, int], None],
        report: Callable[[], Callable[[], None] | None],
        page: Callable[[str], None],
    ) -> None:
        self._button, self._segmentations = button, segmentations
        self._start, self._takeSlices, self._report, self._page = start, takeSlices, report, page
        button.toolTip = _("Start from a segmentation that is there already, or make a table of what was found.")
        button.connect("clicked()", self._open)

    def _open(self) -> None:
        menu = qt.QMenu(self._button)
        menu.setAttribute(qt.Qt.WA_DeleteOnClose)
        report = self._report()
        _add(menu, _("Report as a table"), _("The report can't be made."), report)
        _add(menu, _("Report as a page..."), _("The report can't be made."), self._savePage if report else None)
        menu.addSeparator()
        existing = self._segmentations()
        starts = menu.addMenu(_("Start from"))
        takes = menu.addMenu(_("Take {count} slices as examples from").format(count=_COUNT))
        for choices, action, trouble in (
            (starts, self._start, _("The segmentation can't be taken.")),
            (takes, lambda node: self._takeSlices(node, _COUNT), _("The slices can't be taken.")),
        ):
            choices.enabled = bool(existing)
            for node in existing:
                _add(choices, node.GetName().replace("&", "&&"), trouble, _doing(action, node))
        menu.popup(qt.QCursor.pos())

    def _savePage(self) -> None:
        path = pathOf(qt.QFileDialog.getSaveFileName(self._button, _("Report"), "report.html", _("Pages (*.html)")))
        if path:
            self._page(path)


def _doing(action: Callable[[Any], None], node: Any) -> Callable[[], None]:
    return lambda: action(node)


def _add(menu: Any, text: str, trouble: str, action: Callable[[], None] | None) -> None:
    entry = qt.QAction(text, menu)
    entry.enabled = action is not None

    def carryOut() -> None:
        if action is not None:
            with slicer.util.tryWithErrorDisplay(trouble):
                action()

    entry.connect("triggered()", carryOut)
    menu.addAction(entry)
