"""What libraries in C and C++ print of their own, kept from the terminal."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import SimpleITK as sitk

_log = logging.getLogger(__name__)
_STANDARD_ERROR = 2
_redirected = threading.Lock()


@contextmanager
def native_messages(path: Path) -> Iterator[None]:
    """Collects what ITK and the codecs in it print on standard error, and logs one line of it when the context ends.

    ITK warns once a slice or worse, also of what is in order, and codecs know no way to be told not to. What matters of
    it (gaps, shear, incomplete files) the readers here find themselves.

    Args:
        path: What is read or written, for the message.
    """
    warned = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    lines: list[str] = []
    try:
        with _standard_error_into(lines):
            yield
    finally:
        if warned:
            sitk.ProcessObject.GlobalWarningDisplayOn()
        if lines:
            _log.debug("%s:\n%s", path, "\n".join(lines))
    if lines:  # after an error there is a message of ours about it
        more = f" (and {len(lines) - 1} lines more)" if len(lines) > 1 else ""
        _log.warning("%s: the library for this format says '%s'%s.", path, lines[0], more)


@contextmanager
def _standard_error_into(lines: list[str]) -> Iterator[None]:
    """Sends the process's standard error to a file meanwhile, and its lines to a list; one thread at a time."""
    with ExitStack() as undo:
        if _redirected.acquire(blocking=False):  # else another thread collects already
            undo.callback(_redirected.release)
            with suppress(OSError, ValueError):  # closed, or no room for a temporary file: then nothing is collected
                _redirect(lines, undo)
        yield


def _redirect(lines: list[str], undo: ExitStack) -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
    kept = os.dup(_STANDARD_ERROR)
    undo.callback(os.close, kept)
    collected = undo.enter_context(TemporaryFile())  # noqa: SIM115  # it is one

    def restore() -> None:
        os.dup2(kept, _STANDARD_ERROR)
        collected.seek(0)
        text = collected.read().decode(errors="replace")
        lines.extend(line.strip() for line in text.splitlines() if line.strip())

    os.dup2(collected.fileno(), _STANDARD_ERROR)
    undo.callback(restore)
