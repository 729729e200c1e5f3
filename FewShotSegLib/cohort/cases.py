"""The cases of a cohort: which volumes there are, and what each is called."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.formats import READ_EXTENSIONS, extension_of

PATH_COLUMNS = ("query", "image", "path", "file", "volume")
"""Columns of a CSV that may hold the paths, the first that is there."""
NAME_COLUMNS = ("case", "name", "id")
"""Columns that may hold names."""
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Case:
    """One volume of a cohort.

    Attributes:
        name: of its folder of results, unlike any other's in any case of letters.
        path: of the volume: a file, or a folder of DICOM slices.
    """

    name: str
    path: str


def find_cases(where: str) -> list[Case]:
    """The cases that a folder, a pattern or a table names, in the order of their names or of the table.

    Args:
        where: a folder, whose volumes and whose folders of DICOM slices are taken; a pattern such as "scans/*.nii.gz";
            or a CSV with a column of `PATH_COLUMNS` (relative to the table) and, if wanted, one of `NAME_COLUMNS`.

    Raises:
        ReadError: there is nothing of that name, or it holds no case, or two cases have one name.
    """
    path = Path(where)
    if path.is_dir():
        found = _in_folder(path)
        if not found:
            raise ReadError(f"There is no volume in {where}, expected files such as case.nii.gz, or folders of DICOM.")
        return _named(("", str(p)) for p in found)
    if path.suffix.lower() == ".csv":
        return _in_table(path)
    if glob.has_magic(where):
        found = sorted(Path(p) for p in glob.glob(where, recursive=True))
        if not found:
            raise ReadError(
                f"Nothing fits the pattern {where}, expected volumes; quote it, so that the shell leaves it as it is."
            )
        return _named(("", str(p)) for p in found)
    if path.is_file():
        return _named([("", str(path))])
    raise ReadError(f"There is no {where}, expected a folder of volumes, a pattern such as 'scans/*.nii.gz' or a CSV.")


def _in_folder(folder: Path) -> list[Path]:
    """Volumes of a folder: files by their endings, and folders that hold files without any or DICOM's."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if (path.is_file() and extension_of(path, READ_EXTENSIONS)) or (path.is_dir() and _holds_dicom(path)):
            found.append(path)
    return found


def _holds_dicom(folder: Path) -> bool:
    files = [p for p in sorted(folder.rglob("*"))[:50] if p.is_file() and not p.name.startswith(".")]
    return any(_is_dicom(p) for p in files[:5])


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _in_table(path: Path) -> list[Case]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(4096)
            dialect: type[csv.Dialect] = csv.Sniffer().sniff(sample, ",;\t") if "\n" in sample else csv.excel
            file.seek(0)
            rows = list(csv.DictReader(file, dialect=dialect))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if not isinstance(error, csv.Error):
            raise ReadError(f"{path} can't be read ({error}); expected a CSV in UTF-8.") from error
        with path.open(encoding="utf-8-sig", newline="") as file:  # one column: nothing separates anything
            rows = list(csv.DictReader(file))
    columns = {str(column).strip().lower(): column for row in rows[:1] for column in row}
    paths = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    if paths is None:
        got = ", ".join(columns) or "no row"
        raise ReadError(f"{path} has {got}, expected rows with a column {' or '.join(PATH_COLUMNS)} in its first line.")
    names = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    found = []
    for number, row in enumerate(rows, start=2):
        text = (row[paths] or "").strip()
        if not text:
            raise ReadError(f"Line {number} of {path} names no file; fill in its column {paths}, or remove the line.")
        place = Path(text) if Path(text).is_absolute() else path.parent / text
        found.append(((row[names] or "").strip() if names else "", str(place)))
    return _named(found)


def _name_of(path: Path) -> str:
    """A file's name without its ending."""
    extension = extension_of(path, READ_EXTENSIONS) if not path.is_dir() else None
    return path.name[: -len(extension)] if extension else path.name


def _named(found: Iterable[tuple[str, str]]) -> list[Case]:
    """Cases with names that any file system takes, each unlike all others.

    Args:
        found: names and paths. Where there is no name, the file's is taken, with its folders' as far as they tell it
            from the others.
    """
    given = [(name, Path(path)) for name, path in found]
    names = [name or _name_of(path) for name, path in given]
    for depth in (1, 2, 3):
        again = _repeated(names)
        for number, (name, path) in enumerate(given):
            if not name and safe_name(names[number]).casefold() in again:
                names[number] = "_".join([*path.parts[:-1][-depth:], _name_of(path)])
    again = _repeated(names)
    if again:
        alike = [str(path) for name, (_, path) in zip(names, given, strict=True) if safe_name(name).casefold() in again]
        raise ReadError(
            f"Two cases would have one name: {alike[0]} and {alike[1]}; name them in a CSV with the columns case and "
            "query."
        )
    return [Case(safe_name(name), os.path.abspath(path)) for name, (_, path) in zip(names, given, strict=True)]


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    again: set[str] = set()
    for name in names:
        key = safe_name(name).casefold()
        (again if key in seen else seen).add(key)
    return again


def safe_name(name: str) -> str:
    """A name that a file or folder can have on any system."""
    plain = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._ ")[:_LONGEST_NAME].rstrip(".")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", plain)
    return f"case_{plain}" if reserved or not plain else plain
