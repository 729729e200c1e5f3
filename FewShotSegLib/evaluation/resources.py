"""What a call costs beside time: peak memory of the process, and multiply-accumulates of a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What Linux takes as the wish to set a process's high-water mark back to its present size."""


class PeakMemory:
    """Resident memory of this process before and at most during a block, in MiB; None where the system can't tell.

    Only Linux can set the high-water mark back; elsewhere `peak` is None and `process_peak` counts from the start.

    Example:
        >>> with PeakMemory() as memory:
        ...     work()
        >>> memory.before, memory.peak
    """

    def __init__(self) -> None:
        self.before: float | None = None
        self.peak: float | None = None

    def __enter__(self) -> PeakMemory:
        try:
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        except OSError:
            return self
        self.before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            self.peak = _status("VmHWM")


def process_peak() -> float | None:
    """The most memory this process has had resident since it began, in MiB; None on Windows."""
    if _STATUS.is_file():
        return _status("VmHWM")
    try:
        import resource
    except ImportError:
        return None
    # Kibibytes on most systems, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _status(field: str) -> float | None:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    return None


def gigamacs(work: Callable[[], object]) -> float:
    """Thousand millions of multiply-accumulates in the matrix products and convolutions that torch does in a call."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops() / 2e9
