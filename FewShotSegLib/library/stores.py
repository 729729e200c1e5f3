"""Reads the files of a library, in a folder or an archive, however odd that is: it may come from a stranger."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from FewShotSegLib.errors import ReadError
from FewShotSegLib.library.limits import MOST_BYTES, MOST_FILES, unpacks_too_far

DESCRIPTION = "library.json"
"""The file that says what the others are."""

#: What systems leave in folders and archives by themselves.
_LITTER = (".ds_store", "thumbs.db", "desktop.ini", "__macosx")
_ENCRYPTED = 0x1


def is_litter(name: str) -> bool:
    """Whether a file is one that Windows or macOS has put there."""
    parts = name.lower().split("/")
    return any(part in _LITTER or part.startswith("._") for part in parts)


class Store(Protocol):
    """The files of one library."""

    path: Path

    def names(self) -> list[str]:
        """All files that are there, with "/" between the parts of a name."""

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if it isn't there; ReadError if it is no plain file."""

    def read(self, name: str, most: int) -> bytes:
        """The first bytes of a file, at most so many; ReadError if it can't be read."""


def open_store(path: Path) -> Store:
    """Opens a folder or an archive; its content tells which.

    Raises:
        ReadError: It is neither, or an archive that breaks the rules: see `ZipStore`.
    """
    try:
        if path.is_dir():
            return FolderStore(path)
        if not path.exists():
            raise ReadError(f"There is no library {path}, expected a folder or a .zip file; check the path.")
        if path.is_file() and zipfile.is_zipfile(path):
            return ZipStore(path)
    except (OSError, ValueError) as error:  # a ValueError for names with a zero in them
        if isinstance(error, ReadError):
            raise
        said = getattr(error, "strerror", None) or error
        raise ReadError(f"{path} can't be read ({said}); check the path and its permissions.") from error
    raise ReadError(f"{path} is no library, expected a folder or a .zip file with {DESCRIPTION} in it.")


class FolderStore:
    """A library in a folder. No link is followed in it, and nothing is read whose name isn't asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """See `Store`."""
        found = []
        for folder, folders, files in os.walk(self.path):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            found += [(Path(folder) / name).relative_to(self.path).as_posix() for name in [*files, *links]]
        return found

    def size(self, name: str) -> int | None:
        """See `Store`."""
        place = self.path
        for part in name.split("/"):
            place = place / part
            try:
                status = os.lstat(place)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise ReadError(f"{place} can't be read ({error.strerror}); check its permissions.") from error
            if stat.S_ISLNK(status.st_mode):
                raise ReadError(f"{place} is a link, expected a file or folder of the library itself; copy it there.")
        if not stat.S_ISREG(status.st_mode):
            raise ReadError(f"{place} is no file, expected one of the library's.")
        return status.st_size

    def read(self, name: str, most: int) -> bytes:
        """See `Store`."""
        if self.size(name) is None:
            raise _missing(self.path, name)
        place = self.path / name
        try:
            # In case a link has taken its place since.
            descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(descriptor, "rb") as file:
                return file.read(most)
        except OSError as error:
            raise ReadError(f"{place} can't be read ({error.strerror}); check its permissions.") from error


class ZipStore:
    """A library in an archive, or in the only folder of one. Nothing is unpacked to the disk.

    Raises:
        ReadError: A name leads out of the archive, is there twice or is a link's, a file is encrypted or packed in
            a way that only bombs are, or there are more files or bytes than `limits` allows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ReadError(f"{path} can't be read, it may be incomplete or damaged: {error}") from error
        _require_safe(path, members)
        self._sizes = {member.filename: member.file_size for member in members if not member.is_dir()}
        tops = [name for name in self._sizes if name.endswith(f"/{DESCRIPTION}") and name.count("/") == 1]
        tops = [name for name in tops if not is_litter(name)]
        # Somebody has packed the folder itself, not what is in it.
        self._prefix = tops[0].removesuffix(DESCRIPTION) if DESCRIPTION not in self._sizes and len(tops) == 1 else ""

    def names(self) -> list[str]:
        """See `Store`."""
        return [name.removeprefix(self._prefix) for name in self._sizes]

    def size(self, name: str) -> int | None:
        """See `Store`."""
        return self._sizes.get(self._prefix + name)

    def read(self, name: str, most: int) -> bytes:
        """See `Store`."""
        if self.size(name) is None:
            raise _missing(self.path, name)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._prefix + name) as file:
                return file.read(most)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError, NotImplementedError) as error:
            raise ReadError(f"{name} in {self.path} can't be read, it may be damaged: {error}") from error


def _require_safe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_FILES:
        raise ReadError(f"{path} has {len(members)} files, expected at most {MOST_FILES}; split the library.")
    seen: set[str] = set()
    for member in members:
        # As it stands in the archive: zipfile ends a name at a zero, and turns backslashes on Windows.
        name = member.orig_filename
        parts = name.removesuffix("/").split("/")
        if any(part in ("", ".", "..") for part in parts) or any(sign in name for sign in "\\:\0"):
            raise ReadError(f"{path} holds {name!r}, a name that leads out of it or is none; don't trust this file.")
        if name.lower() in seen:
            raise ReadError(f"{path} holds {name!r} twice; don't trust this file.")
        seen.add(name.lower())
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ReadError(f"{path} holds the link {name!r}, expected files only; don't trust this file.")
        if member.flag_bits & _ENCRYPTED:
            raise ReadError(f"{name} in {path} is encrypted, expected a plain archive; unpack and pack it again.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ReadError(
                f"{name} in {path} is packed in an unknown way, expected stored or deflated; pack it again."
            )
        if unpacks_too_far(member.compress_size, member.file_size):
            raise ReadError(
                f"{name} in {path} would unpack from {member.compress_size} to {member.file_size} bytes, which no scan "
                "does; don't trust this file."
            )
    # Each against the whole file too: members that overlap say the same bytes several times.
    total, packed = sum(member.file_size for member in members), path.stat().st_size
    if total > MOST_BYTES or unpacks_too_far(packed, total):
        raise ReadError(
            f"{path} would unpack from {packed} to {total} bytes, expected at most {MOST_BYTES} and no more than scans "
            "unpack to; don't trust this file, or split the library."
        )


def _missing(path: Path, name: str) -> ReadError:
    if name == DESCRIPTION:
        return ReadError(f"{path} is no library, it has no {DESCRIPTION}; expected a folder or .zip file with one.")
    return ReadError(f"{path} is incomplete, {name} is missing; copy or download the library again.")
