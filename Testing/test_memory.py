"""Memory given back to the system."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import memory


def resident_mib() -> float:
    """What this process occupies."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells and is told")
def test_freed_memory_between_blocks_in_use_goes_back_to_the_system() -> None:
    if "glibc" not in platform.libc_ver():
        pytest.skip("another C library")
    blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]
    kept = blocks[::50]  # such blocks hold the heap's end where it is
    del blocks
    before = resident_mib()
    memory.give_back()
    assert before - resident_mib() > 120
    assert all(block.all() for block in kept)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("a C library was looked for")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", unexpected)
    memory.give_back()
