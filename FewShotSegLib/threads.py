"""How many processor threads are used and how they wait: so that other programs beside, 3D Slicer first, cost little.

OpenMP's threads, which torch works with, spin while they wait for each other. Beside any other busy program that costs
ten times the work: the thread that all wait for is the one whose core the other program has. So threads sleep while
they wait, and one core is left to others. OpenMP reads this when torch is loaded, hence it is said before.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path

# Of GNU's OpenMP (torch for Linux) and of Intel's and LLVM's (Windows, macOS, conda).
_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
# OpenMP's, torch's; those of scipy's and numpy's linear algebra; SimpleITK's.
_OPENMP = "OMP_NUM_THREADS"
_COUNTS = (_OPENMP, "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def prepare() -> None:
    """Tells the libraries that are loaded later how many threads to use and how these wait, by the environment.

    What the user has set there stays, and a number for OpenMP holds for all. Does nothing where torch is loaded: then
    the application has decided. Call it before numpy is loaded, if possible: its linear algebra asks only then.
    """
    if "torch" in sys.modules:
        return
    count = os.environ.get(_OPENMP, "").split(",")[0].strip() or str(best_count())
    for name, value in (_WAIT | dict.fromkeys(_COUNTS, count)).items():
        if not os.environ.get(name):
            os.environ[name] = value


def use(count: int) -> None:
    """Has torch and SimpleITK, which this loads, use a number of threads from now on, whatever the environment says.

    Args:
        count: 1 or more.
    """
    prepare()
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def best_count() -> int:
    """One thread less than this process has cores to itself, and at least one."""
    return max(cores() - 1, 1)


def cores() -> int:
    """Physical cores that this process may use, at least 1; logical ones where the system doesn't tell them apart."""
    usable = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    return cores_of(usable, platform.system())


def cores_of(usable: set[int], system: str, root: Path = Path("/sys")) -> int:
    """Cores that some logical processors are worth, at least 1.

    Args:
        usable: numbers of logical processors.
        system: as `platform.system` names it.
        root: where Linux describes the machine.
    """
    count = len(usable)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if system == "Linux":
            count = min(count, _on_linux(usable, root))
        elif system == "Darwin":
            count = min(count, _on_macos())
        elif system == "Windows":
            count = min(count, _on_windows())
    return max(count, 1)


def _on_linux(usable: set[int], root: Path) -> int:
    """Cores of some logical processors, no more than a container's share of time is worth."""
    siblings = {(root / f"devices/system/cpu/cpu{n}/topology/thread_siblings_list").read_text() for n in usable}
    with contextlib.suppress(OSError, ValueError):
        quota, period = (root / "fs/cgroup/cpu.max").read_text().split()  # "max 100000" where there is no limit
        return min(len(siblings), int(quota) // int(period))
    return len(siblings)


def _on_macos() -> int:
    """Fast cores: work that is shared out evenly waits for the slow ones."""
    import ctypes

    system = ctypes.CDLL(None)
    for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
        value, size = ctypes.c_int32(0), ctypes.c_size_t(4)
        if system.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
            return value.value
    raise OSError("the system does not tell its cores")


def _on_windows() -> int:
    import ctypes

    class Entry(ctypes.Structure):
        """SYSTEM_LOGICAL_PROCESSOR_INFORMATION."""

        _fields_ = (
            ("mask", ctypes.c_size_t),
            ("relationship", ctypes.c_int),  # 0: these logical processors are one core
            ("rest", ctypes.c_ulonglong * 2),
        )

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    size = ctypes.c_ulong(0)
    kernel.GetLogicalProcessorInformation(None, ctypes.byref(size))
    entries = (Entry * (size.value // ctypes.sizeof(Entry)))()
    if not size.value or not kernel.GetLogicalProcessorInformation(entries, ctypes.byref(size)):
        raise OSError("the system does not tell its cores")
    return sum(entry.relationship == 0 for entry in entries)
