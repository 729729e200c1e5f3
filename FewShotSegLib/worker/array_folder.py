"""The folder through which arrays pass between an application and its worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np


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
