"""Words on the terminal, which may be missing, closed, full or unable to show them: no result depends on them."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TextIO


def say(text: str, stream: TextIO | None) -> None:
    """Writes text to a stream, whatever becomes of it.

    Args:
        text: Ends with a line's end where it is a line. What the stream's encoding doesn't have is replaced.
        stream: Standard output or error; None, closed, a pipe without a reader and a full disk are all fine.
    """
    if stream is None:
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):  # ValueError for a closed stream
        _silence(stream)


def open_standard_streams() -> None:
    """Opens what a daemon or a windowed program starts without.

    Else the next file that is opened takes the place of standard error, and gets the messages of libraries in its data.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process runs
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _silence(stream: TextIO) -> None:
    """Lets a stream end nowhere, so that what it still holds isn't tried again when the process ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, io.UnsupportedOperation):
        pass


class Warnings(logging.Handler):
    """Shows what the package warns of, a line each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Says the record on standard error."""
        say(f"fewshotseg: {record.levelname.lower()}: {record.getMessage()}\n", sys.stderr)
