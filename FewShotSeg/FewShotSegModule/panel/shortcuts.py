"""Keyboard shortcuts that exist while the module is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt


class Shortcuts:
    """Installs shortcuts when the module is entered and removes them when it is left, so that other modules' work.

    Example::

        shortcuts = Shortcuts([("Ctrl+Shift+E", addSlice)])
        shortcuts.install(slicer.util.mainWindow())
        shortcuts.remove()

    :param actions: Keys as in qt.QKeySequence, and what they do.
    """

    def __init__(self, actions: Sequence[tuple[str, Callable[[], object]]]) -> None:
        self._actions = list(actions)
        self._installed: list[Any] = []

    def install(self, window: Any) -> None:
        """Makes the keys work in a window; nothing happens without one, or if they work already.

        :param window: The main window, None where there is none.
        """
        if window is None or self._installed:
            return
        for keys, action in self._actions:
            shortcut = qt.QShortcut(window)
            shortcut.setKey(qt.QKeySequence(keys))
            shortcut.connect("activated()", action)
            self._installed.append(shortcut)

    def remove(self) -> None:
        """Ends them; may be called at any time."""
        for shortcut in self._installed:
            shortcut.enabled = False
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed = []
