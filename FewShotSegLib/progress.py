"""Progress of long work on a terminal, or as a few lines of text in a log."""

from __future__ import annotations

import sys
from typing import TextIO

from FewShotSegLib.terminal import say

_WIDTH = 30


class Progress:
    """Shows progress: a bar on a terminal, a line for each new stage elsewhere, nothing if quiet.

    Stages may come again; the bar starts anew then, in the same line.

    Example:
        >>> progress = Progress()
        >>> progress("reading", 1, 2)
        >>> progress.close()

    Args:
        stream: Where to write, standard error if None. It may be closed, or a pipe that is.
        quiet: Whether to write nothing at all.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._bar = _is_terminal(self._stream)
        self._named: set[str] = set()
        self._shown = ""

    def __call__(self, stage: str, done: float, total: int, left: str = "") -> None:
        """Takes note of progress; `done` of `total` steps of a stage (0 of 0 while the total is unknown).

        Args:
            stage: what is going on.
            done: steps, at times a part of one.
            total: steps of the stage.
            left: what to say behind a bar, how long it will take for instance.
        """
        if self._quiet:
            return
        if self._bar:
            fraction = min(1.0, done / total) if total > 0 else 0.0
            filled = round(_WIDTH * fraction)
            text = f"\r{stage:<24} [{'#' * filled}{'.' * (_WIDTH - filled)}] {fraction:4.0%} {left:<16}".rstrip()
        else:
            # A log needs no more than that a stage has begun.
            text = f"{stage} ...\n" if stage not in self._named else ""
            self._named.add(stage)
        if text and text != self._shown:
            say(text, self._stream)
            self._shown = text

    def line(self, text: str) -> None:
        """Writes a line of its own, above the bar where there is one."""
        if self._quiet:
            return
        clear = f"\r{'':79}\r" if self._bar and self._shown else ""
        say(f"{clear}{text}\n", self._stream)
        self._shown = ""

    def close(self) -> None:
        """Ends the line of an unfinished bar, so that what is printed next starts on its own."""
        if self._bar and self._shown:
            say("\n", self._stream)
            self._shown = ""


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
