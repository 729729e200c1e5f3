"""Whether a file can be written, found out before the work whose result it is to hold."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from os import PathLike
from pathlib import Path

from FewShotSegLib.errors import WriteError
from FewShotSegLib.files.formats import NIFTI_EXTENSIONS, WRITE_EXTENSIONS, extension_of
from FewShotSegLib.volume import Volume


def check_writable(path: str | PathLike[str], grid: Volume | None = None) -> str:
    """Checks that a volume could be written to a path.

    Args:
        path: Of the file.
        grid: A volume on the grid that is to be written, if it is known already.

    Returns:
        The ending that decides the format, one of `WRITE_EXTENSIONS`.

    Raises:
        WriteError: The name is empty, too long or has an unknown ending, the folder is missing or can't be written to,
            the path is a folder, link, device or anything else than a file, or the format can't hold the grid.
    """
    if not os.fspath(path):
        raise WriteError("The name of an output is empty, expected that of a file; is a variable of the shell unset?")
    path = Path(path)
    extension = extension_of(path, WRITE_EXTENSIONS)
    if extension is None:
        raise WriteError(
            f"{path} has an unknown ending, expected one of {', '.join(WRITE_EXTENSIONS)}; rename the output."
        )
    _require_replaceable(path)
    require_room(path)
    if grid is not None and grid.is_sheared and extension in NIFTI_EXTENSIONS:
        raise WriteError(
            f"{path} can't hold a grid whose axes are not perpendicular. {grid.title} has such a grid, as of a CT with "
            f"tilted gantry; write .seg.nrrd, .nrrd or .mha instead of {extension}."
        )
    return extension


def check_page_writable(path: str | PathLike[str]) -> None:
    """Checks that a page could be written to a path.

    Raises:
        WriteError: As for volumes; the ending is `.html`.
    """
    if not os.fspath(path):
        raise WriteError("The name of a page is empty, expected that of a file; is a variable of the shell unset?")
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise WriteError(f"{path} has an unknown ending, expected .html; rename the page.")
    _require_replaceable(path)
    require_room(path)


def write_page(path: str | PathLike[str], page: str) -> None:
    """Writes a page, whole or not at all; an older file is replaced.

    Raises:
        WriteError: It can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise WriteError(f"{path} can't be written ({error.strerror}); check free space and permissions.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _require_replaceable(path: Path) -> None:
    """Raises WriteError unless the path is a file or nothing yet."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # too long, no right to look, or a zero in the name
        said = getattr(error, "strerror", None) or error
        raise WriteError(f"{path} can't be written ({said}); choose another name or folder.") from error
    if stat.S_ISDIR(mode):
        raise WriteError(f"{path} is a folder, expected the name of a file; choose another name.")
    if stat.S_ISLNK(mode):
        raise WriteError(
            f"{path} is a link to {os.readlink(path)}, expected a file or a new name; name that file itself, or remove "
            "the link."
        )
    if not stat.S_ISREG(mode):
        raise WriteError(f"{path} is a device, pipe or socket, expected a file or a new name; choose another name.")


def require_room(path: Path) -> None:
    """Raises WriteError unless a file can be made in the folder: only trying tells, rights don't."""
    folder = path.parent
    try:
        if not folder.is_dir():
            raise WriteError(
                f"There is no folder {folder} to write {path.name} into; make it first or correct the path."
            )
        trial = folder / f".writing-{uuid.uuid4().hex}"
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        trial.unlink()
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(
            f"The folder {folder} can't be written to ({error.strerror}); choose another or change its permissions."
        ) from error
