"""Opens and folds sections of the panel when that is of use, so that what is needed next is in sight."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _


class Folding:
    """Folds the inputs with the first example, and opens the result with the first one, once in a scene.

    What the user opens or folds afterwards stays so. The room comes from and goes to the section *Paint*, so the button
    that adds an example stays under the mouse.

    :param ui: Has inputsSection and resultSection.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._hadExamples = self._hadResult = False
        self._volume: Any = None
        ui.inputsSection.connect("contentsCollapsed(bool)", self._nameInputs)

    def update(self, volume: Any, hasExamples: bool, hasResult: bool) -> None:
        """Takes note of what there is.

        :param volume: The volume to segment; None while there is none to choose examples for.
        """
        self._volume = volume
        if volume is None:
            self._ui.inputsSection.collapsed = False
        elif hasExamples and not self._hadExamples:
            self._ui.inputsSection.collapsed = True
        if hasResult != self._hadResult and (hasResult or volume is None):
            self._ui.resultSection.collapsed = not hasResult
        self._hadExamples = volume is not None and (hasExamples or self._hadExamples)
        self._hadResult = hasResult or (self._hadResult and volume is not None)
        self._nameInputs()

    def _nameInputs(self) -> None:
        """A folded section says what is chosen in it."""
        section = self._ui.inputsSection
        section.text = (
            _("Inputs: {volume}").format(volume=self._volume.GetName())
            if section.collapsed and self._volume is not None
            else _("Inputs")
        )
