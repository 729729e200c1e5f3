"""Memory that is free but that the C library keeps from the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Gives freed memory back to the system; does nothing where the C library does so by itself, or can't be told.

    glibc keeps what lies between blocks that are still in use: after many small results of the network that was 300 MB,
    of no use to a large array, which gets memory of its own.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl, for instance
        if trim is not None:
            trim(0)
