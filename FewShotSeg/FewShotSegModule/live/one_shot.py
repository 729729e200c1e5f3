"""Calls back once, after a pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Pause(Protocol):
    """What the loop needs of a timer, as a OneShot has it."""

    def start(self) -> None:
        """Begins to wait, anew if it waits already."""

    def stop(self) -> None:
        """Calls back no more."""


class OneShot:
    """Waits, and calls back when it was not started again meanwhile.

    Without Qt it never calls back.

    Example::

        pause = OneShot(1000, update)
        pause.start()

    :param milliseconds: How long it waits.
    :param callback: Called without arguments.
    """

    def __init__(self, milliseconds: int, callback: Callable[[], Any]) -> None:
        self._timer: Any = None
        try:
            import qt
        except ImportError:
            return
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        self._timer.connect("timeout()", callback)

    def start(self) -> None:
        """Begins to wait, anew if it waits already."""
        if self._timer is not None:
            self._timer.start()

    def stop(self) -> None:
        """Calls back no more."""
        if self._timer is not None:
            self._timer.stop()
