"""Memory that ran out, and memory given back to the system."""

from __future__ import annotations

import errno
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import memory
from FewShotSegLib.errors import ReadError
from FewShotSegLib.memory import is_out_of_memory


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


def raised_from(cause: BaseException) -> ReadError:
    error = ReadError("scan.nrrd can't be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        # Texts as the libraries raise them.
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
        ),
        RuntimeError("[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not create a memory object"),
        RuntimeError("unable to mmap 14159688 bytes from file </w.safetensors>: Cannot allocate memory (12)"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.87 GB, other allocations: 1.30 GB)"),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("bad allocation"),
        RuntimeError("Exception thrown in SimpleITK ImageFileReader_Execute: Failed to allocate memory for image."),
        ImportError("libtorch_cpu.so: failed to map segment from shared object: Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        ImportError("DLL load failed while importing _C: The paging file is too small for this operation to complete."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        raised_from(RuntimeError("std::bad_alloc")),
        raised_from(MemoryError()),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:60],
)
def test_every_wording_of_too_little_memory_is_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        None,
        KeyboardInterrupt(),
        ZeroDivisionError("division by zero"),
        RuntimeError("could not create a primitive descriptor for the matmul primitive"),
        ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
        ImportError("/noexec/libtorch.so: failed to map segment from shared object: Operation not permitted"),
        ReadError("There is no file out of memory.nrrd, expected a volume"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "out of memory.nrrd"),
        OSError(errno.ENOSPC, "No space left on device"),
        raised_from(OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:60],
)
def test_other_errors_are_not_taken_for_too_little_memory(error: BaseException | None) -> None:
    assert not is_out_of_memory(error)


def test_what_torch_and_numpy_raise_here_is_known() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as of_torch:  # which type, torch does not promise
        torch.empty(2**50)
    with pytest.raises(Exception) as of_numpy:
        np.empty(2**50)
    assert is_out_of_memory(of_torch.value)
    assert is_out_of_memory(of_numpy.value)
