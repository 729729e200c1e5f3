"""Next slice: goes through the slices that a result suggests to paint."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import SuggestedSlice, queryOf, suggestionsOf
from FewShotSegModule.scene.slice_place import placeText, showSlice


class NextSlice:
    """Shows one suggested slice after the other, best first, and begins again after the last.

    Slices that were painted meanwhile are passed over. A new result begins with its own best.

    Example::

        nextSlice = NextSlice()
        suggested = nextSlice.show(preview, painted={(0, 12)})
        if suggested is not None:
            label.text = reasonText(preview, suggested)
    """

    def __init__(self) -> None:
        self._suggestions: list[SuggestedSlice] = []
        self._shown: SuggestedSlice | None = None

    def show(self, preview: Any, painted: Collection[tuple[int, int]] = ()) -> SuggestedSlice | None:
        """Shows the next slice in the views that lie along it; the others go through what is in doubt there.

        :param preview: The result, a segmentation that `makePreview` made.
        :param painted: Axis and number of slices of the volume that are painted already.
        :return: What is shown; None, and the views stay, where no slice is left or the volume is gone.
        """
        volume = queryOf(preview)
        suggestions = suggestionsOf(preview)
        if suggestions != self._suggestions:
            self._suggestions, self._shown = suggestions, None
        start = suggestions.index(self._shown) + 1 if self._shown is not None else 0
        left = [one for one in suggestions[start:] + suggestions[:start] if (one.axis, one.index) not in painted]
        if volume is None or not left:
            return None
        self._shown = shown = left[0]
        showSlice(volume, shown.axis, shown.index, _middle(volume, preview, shown))
        return shown


def _middle(volume: Any, preview: Any, suggested: SuggestedSlice) -> tuple[float, float] | None:
    """The middle (row, column) of the structures on a suggested slice; None where there are none of them."""
    found = Painted(volume, preview)
    numbers = [n for n, info in enumerate(found.segments(), start=1) if info.name in suggested.segments]
    rows, columns = np.isin(found.plane(suggested.axis, suggested.index), numbers).nonzero()
    return (float(rows.mean()), float(columns.mean())) if len(rows) else None


def reasonText(preview: Any, suggested: SuggestedSlice) -> str:
    """Where a suggested slice is, and why it is suggested: "S 349.0 mm: left kidney unsure"."""
    place = placeText(queryOf(preview), suggested.axis, suggested.index)
    return _("{place}: {reason}").format(place=place, reason=suggested.reason)
