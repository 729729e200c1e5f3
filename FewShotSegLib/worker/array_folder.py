"""The folder through which arrays pass between an application and its worker."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

#: Bytes of a part: some milliseconds of work.
_PART = 8 * 2**20


def in_parts(shape: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    """Ranges along the first axis that divide an array into parts of some megabytes.

    Args:
        shape: of the array.
        itemsize: bytes of an element.
    """
    planes = max(1, _PART // max(1, math.prod(shape[1:]) * itemsize))
    for first in range(0, shape[0], planes):
        yield slice(first, min(first + planes, shape[0]))


def smallest(labels: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 in the smallest type that holds them, since they have to be written and read."""
    return labels.astype(np.min_scalar_type(int(labels.max(initial=0))))


class ArrayFolder:
    """Arrays as .npy files, whose names begin with the number of the run that they belong to.

    Args:
        path: an existing folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, run: int, name: str, array: np.ndarray) -> str:
        """Writes an array; returns the file's name in the folder.

        Raises:
            OSError: it can't be written; nothing of it remains.
        """
        file = self.path / f"{run}-{name}.npy"
        try:
            np.save(file, array, allow_pickle=False)
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return file.name

    def put_in_parts(self, run: int, name: str, array: np.ndarray) -> Generator[None, None, str]:
        """Writes an array part by part; see `in_parts`.

        Yields:
            None after each part, which takes some milliseconds.

        Returns:
            the file's name in the folder.

        Raises:
            OSError: it can't be written; nothing of it remains.
        """
        file = self.path / f"{run}-{name}.npy"
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        try:
            with open(file, "wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for part in in_parts(array.shape, array.itemsize):
                    stream.write(np.ascontiguousarray(array[part]).data)
                    yield
        except BaseException:  # also one that is given up halfway
            file.unlink(missing_ok=True)
            raise
        return file.name

    def take_in_parts(self, name: str, cut: tuple[slice, ...] = ()) -> Generator[None, None, np.ndarray]:
        """Reads an array, or what a cut leaves of it, part by part, and removes its file; see `in_parts`.

        Yields:
            None after each part, which takes some milliseconds.

        Raises:
            OSError, ValueError: there is none, or only a part of it.
        """
        file = self.path / Path(name).name
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
        view = stored[cut]
        array = np.empty(view.shape, view.dtype)
        for part in in_parts(view.shape, view.itemsize):
            array[part] = view[part]
            yield
        del stored, view  # Windows removes no file that is in use
        file.unlink()
        return array

    def take(self, name: str) -> np.ndarray:
        """Reads an array and removes its file.

        Raises:
            OSError, ValueError: there is none, or only a part of it.
        """
        file = self.path / Path(name).name
        array = np.load(file, allow_pickle=False)
        file.unlink()
        return array

    def discard(self, run: int) -> None:
        """Removes a run's files, as far as the system lets them go: Windows keeps those that somebody has open."""
        for file in self.path.glob(f"{run}-*"):
            try:
                file.unlink(missing_ok=True)
            except OSError:
                continue
