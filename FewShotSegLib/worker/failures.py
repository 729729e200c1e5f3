"""What to tell of an error: its kind, and words for users."""

from __future__ import annotations

import errno
import tempfile

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.memory import is_out_of_memory
from FewShotSegLib.worker.protocol import ProtocolError

_NO_ROOM = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT")} - {None}

# How errors of a graphics card name what they come from.
_CARDS = ("cuda", "cudnn", "cublas", "cusolver", "cusparse", "hip ", "mps backend")
_ON_CARD = (
    "The graphics card has too little free memory for this volume. Close what else uses it, choose the CPU, or"
    " restrict the slices or the region."
)
_IN_COMPUTER = (
    "This computer has too little free memory for this volume. Close other programs, restrict the slices or the"
    " region, or crop the volume."
)


def explain(error: Exception) -> tuple[str, str]:
    """The kind of an error, as `protocol.Failed` names it, and what to tell a user."""
    if is_out_of_memory(error):
        return "memory", _ON_CARD if _is_of_card(error) else _IN_COMPUTER
    if isinstance(error, ProtocolError):
        return "protocol", str(error)
    if isinstance(error, FewShotSegError):
        return "input", str(error)
    if isinstance(error, ImportError):
        return "packages", f"A Python package that the engine needs is missing or broken: {error}."
    if isinstance(error, OSError) and _is_of_full_disk(error):
        return "disk", (
            f"There is no room on the disk for temporary files ({tempfile.gettempdir()}), through which images and"
            " results pass. Make room there and run again."
        )
    return "crash", f"{type(error).__name__}: {error}"


def _is_of_full_disk(error: OSError) -> bool:
    """Whether there was no room for a file; numpy says only how much of an array went in."""
    return error.errno in _NO_ROOM or (error.errno is None and "requested and" in str(error))


def _is_of_card(error: BaseException) -> bool:
    """Whether memory ran out on the graphics card: the type that says so is not in all versions of torch."""
    named = f"{type(error).__name__} {error}".lower()
    return any(word in named for word in _CARDS) or (error.__cause__ is not None and _is_of_card(error.__cause__))
