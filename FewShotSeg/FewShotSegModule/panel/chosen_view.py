"""The slice view that is chosen in the panel."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

#: In the order of the selector, which shows names that may be translated.
_NAMES = ("Red", "Green", "Yellow")


class ChosenView:
    """The slice view whose slice is added, corrected, and marked in the strip.

    :param selector: The QComboBox with the names of the three views.
    """

    def __init__(self, selector: Any) -> None:
        self._selector = selector

    @property
    def node(self) -> Any:
        """The vtkMRMLSliceNode; None where the layout has no such view."""
        return slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNode" + _NAMES[self._selector.currentIndex])

    def require(self) -> Any:
        """The vtkMRMLSliceNode.

        :raises ValueError: The layout has no such view.
        """
        node = self.node
        if node is None:
            raise ValueError(
                _("There is no view called {name} in this layout. Choose another view or layout.").format(
                    name=_NAMES[self._selector.currentIndex]
                )
            )
        return node

    def choose(self, node: Any) -> None:
        """Chooses another view, if it is one of the three."""
        if node is not None and node.GetLayoutName() in _NAMES:
            self._selector.currentIndex = _NAMES.index(node.GetLayoutName())
