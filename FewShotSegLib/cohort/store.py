"""The output folder of a cohort run: what is in it is whole, whenever the run was killed.

    OUTPUT/
        cases/NAME/record.json segmentation.seg.nrrd confidence.nrrd picture.png
        cases.csv structures.csv report.html

A case's files are written into a folder of another name, which gets the case's name when all are on the disk. A case
without its folder was not finished.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from FewShotSegLib.cohort.record import DONE, Record
from FewShotSegLib.errors import SettingError, WriteError

SEGMENTATION, CONFIDENCE, PICTURE, RECORD = "segmentation.seg.nrrd", "confidence.nrrd", "picture.png", "record.json"
_PART = ".part-"


class Store:
    """Results of a cohort's cases.

    Args:
        folder: made where it is missing.

    Raises:
        WriteError: it can't be made or written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.cases = self.folder / "cases"
        try:
            self.cases.mkdir(parents=True, exist_ok=True)
            trial = self.cases / f"{_PART}{uuid.uuid4().hex}"
            trial.mkdir()
            trial.rmdir()
        except OSError as error:
            raise WriteError(
                f"{self.folder} can't be written to ({error.strerror}); choose another folder for the results."
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out for as long as the context lasts; a killed run's lock is nobody's.

        Raises:
            SettingError: another run writes into this folder.
        """
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._clear()
                yield
        except Timeout:
            raise SettingError(
                f"Another run is writing into {self.folder}; wait for its end, stop it, or choose another folder."
            ) from None

    def of(self, case: str) -> Path:
        """The folder of a finished case."""
        return self.cases / case

    def record(self, case: str) -> Record | None:
        """What is known of a finished case; None where it is not finished, or its files are not all there."""
        folder = self.of(case)
        try:
            record = Record.from_json((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        needed = (SEGMENTATION, CONFIDENCE) if record.status == DONE else ()
        return record if all((folder / name).is_file() for name in needed) else None

    def write(self, record: Record, make: Callable[[Path], None] | None = None) -> None:
        """Writes a case, whole or not at all; it replaces an older one.

        Args:
            record: of the case.
            make: writes its other files into a folder.

        Raises:
            WriteError: it can't be written.
        """
        part = self.cases / f"{_PART}{uuid.uuid4().hex}"
        try:
            part.mkdir()
            if make is not None:
                make(part)
            (part / RECORD).write_text(record.to_json(), encoding="utf-8")
            for path in part.iterdir():
                _to_disk(path)
            self._replace(part, self.of(record.case))
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(
                f"{self.of(record.case)} can't be written ({error.strerror}); check free space and permissions."
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def note(self, record: Record) -> None:
        """Writes a case's record anew beside its files, which stay."""
        path = self.of(record.case) / RECORD
        temporary = path.with_name(f"{_PART}{uuid.uuid4().hex}")
        temporary.write_text(record.to_json(), encoding="utf-8")
        _to_disk(temporary)
        temporary.replace(path)

    def _replace(self, part: Path, target: Path) -> None:
        old = self.cases / f"{_PART}{uuid.uuid4().hex}"
        if target.exists():
            target.rename(old)
        part.rename(target)
        _to_disk(self.cases)
        shutil.rmtree(old, ignore_errors=True)

    def _clear(self) -> None:
        """Removes what a killed run has left."""
        for path in self.cases.glob(f"{_PART}*"):
            shutil.rmtree(path, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Has the system write a file, or a folder's entries, to the disk: power may go any moment."""
    with contextlib.suppress(OSError):  # some systems sync no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
