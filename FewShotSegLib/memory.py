"""The computer's memory: telling that it ran out, and giving back what the C library keeps from the system."""

from __future__ import annotations

import ctypes
import errno
import sys

from FewShotSegLib.errors import FewShotSegError

# Who says it, and how, in lower case. Only few of them have a type of their own, and none has one in all versions.
_OUT_OF_MEMORY = (
    "out of memory",  # CUDA, ROCm, Apple's MPS, Intel's XPU, OpenCL, SQLite
    "can't allocate memory",  # torch on Linux and macOS
    "cannot allocate memory",  # Linux and macOS for ENOMEM: mmap, dlopen, safetensors
    "could not allocate memory",
    "couldn't allocate memory",
    "unable to allocate",  # numpy
    "failed to allocate",  # ITK, OpenMP
    "not enough memory",  # torch and the C library on Windows
    "insufficient memory",
    "memory allocation failure",
    "memory allocation failed",
    "memory exhausted",
    "bad_alloc",  # C++ of GNU and LLVM
    "bad allocation",  # C++ of Microsoft
    "could not create a primitive",  # oneDNN, which doesn't say why
    "could not create a memory",
    "failed to map segment",  # the loader of libraries on Linux, which says so only if it is not something else
    "unable to mmap",  # torch, of weights
    "alloc_failed",  # cuBLAS, cuDNN, cuSOLVER
    "allocation_failed",
    "memoryallocation",  # itk::MemoryAllocationError, cudaErrorMemoryAllocation
    "invalid buffer size",  # Apple's MPS
    "paging file is too small",  # Windows, when it loads a library
    "insufficient system resources",
)

# What reads alike and is something else: an operation that oneDNN has not, room for thread variables, and rights.
_SOMETHING_ELSE = ("primitive descriptor", "static tls block", "operation not permitted", "permission denied")

_WINDOWS_CODES = (8, 14, 1450, 1455)  # not enough memory, out of memory, no resources, paging file too small


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, of the computer or of its graphics card.

    Args:
        error: Any error; also what it was raised from counts. None is no such error.

    Returns:
        True for Python's own MemoryError and for every wording of torch, its allocators and libraries, numpy, ITK and
        the systems. The package's own errors are told by what they were raised from: their texts name files.
    """
    while error is not None:
        if _says_out_of_memory(error):
            return True
        error = error.__cause__
    return False


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, FewShotSegError) or not isinstance(error, Exception):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM or getattr(error, "winerror", None) in _WINDOWS_CODES
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY) and not any(words in text for words in _SOMETHING_ELSE)


def give_back() -> None:
    """Gives freed memory back to the system; does nothing where the C library does so by itself, or can't be told.

    glibc keeps what lies between blocks that are still in use: after many small results of the network that was 300 MB,
    of no use to a large array, which gets memory of its own.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl, for instance
        if trim is not None:
            trim(0)
