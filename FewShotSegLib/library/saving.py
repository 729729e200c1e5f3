"""Writes a library beside its place and puts it there when it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from FewShotSegLib.errors import ReadError, WriteError
from FewShotSegLib.files.outputs import require_room
from FewShotSegLib.library.description import FileText, image_name, mask_name, picture_name, read_schema, to_json
from FewShotSegLib.library.entry import Entry, LibrarySegment, PaintedSlice, StoredFile
from FewShotSegLib.library.limits import MOST_BYTES, MOST_FILES, MOST_JSON_BYTES, MOST_PAINTED_PIXELS
from FewShotSegLib.library.nrrd import encode
from FewShotSegLib.library.opening import (
    MASK_TYPE,
    Opened,
    read_description,
    read_file,
    read_scan,
    recover,
    replaced_name,
)
from FewShotSegLib.library.picture import picture_of
from FewShotSegLib.library.stores import DESCRIPTION, FolderStore, Store, ZipStore, is_litter, open_store
from FewShotSegLib.volume import Volume


def is_archive(path: Path) -> bool:
    """Whether a library of this name is one file."""
    return path.suffix.lower() == ".zip"


def save(
    path: Path,
    segments: Sequence[LibrarySegment],
    entries: Sequence[Entry],
    extra: Mapping[str, Any],
    opened: Opened | None,
) -> Opened:
    """Writes a library; see `Library.save`.

    Args:
        path: Absolute.
        segments: Its structures.
        entries: Its scans; they read from the new files afterwards.
        extra: Further fields of the description.
        opened: Where it was opened or saved before, and how it was then.

    Returns:
        Where it is now.
    """
    check_savable(path, opened)
    _require_within_limits(path, entries)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        writer: _Writer = _ZipWriter(temporary) if is_archive(path) else _FolderWriter(temporary, path)
        with closing(writer):
            files = _write_entries(writer, segments, entries)
            content = to_json(segments, entries, files, extra)
            total = sum(file.size for file in files.values()) + len(content)
            if total > MOST_BYTES or len(content) > MOST_JSON_BYTES:
                raise WriteError(f"{path} would have {total} bytes, expected at most {MOST_BYTES}; split the library.")
            writer.put(DESCRIPTION, content)
        if is_archive(path):
            os.replace(temporary, path)
        else:
            _put_folder(temporary, path)
    except OSError as error:
        if isinstance(error, ReadError | WriteError):
            raise
        raise WriteError(
            f"{path} can't be written ({error.strerror or error}); check free space and permissions."
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
    store = open_store(path)
    for entry in entries:
        image, picture = image_name(entry.id), picture_name(entry.id)
        stored = StoredFile(store, image, files[image].size, files[image].sha256)
        entry.scan.move_to(stored, partial(read_scan, title=entry.title))
        entry.picture = StoredFile(store, picture, files[picture].size, files[picture].sha256)
    return path, hashlib.sha256(content).hexdigest()


def check_savable(path: Path, opened: Opened | None = None) -> None:
    """Raises WriteError unless nothing is at the path, or a library that may be replaced."""
    if not path.name or path.name == "..":
        raise WriteError(f"{path} can't become a library; name a folder of its own, or a .zip file.")
    try:
        recover(path)
        require_room(path)
        with suppress(FileNotFoundError):
            os.lstat(path)  # which complains of names that no file can have
        if path.is_symlink():
            raise WriteError(f"{path} is a link to {os.readlink(path)}, expected a library or a new name; name that.")
        if not path.exists() or (path.is_dir() and not is_archive(path) and not any(path.iterdir())):
            return
        _require_library(path, opened)
    except (OSError, ValueError) as error:
        if isinstance(error, WriteError):
            raise
        said = getattr(error, "strerror", None) or error
        raise WriteError(f"{path} can't be written ({said}); choose another name or folder.") from error


def _require_library(path: Path, opened: Opened | None) -> None:
    """Raises WriteError unless a library is there, with nothing else in it, as it was when it was opened."""
    try:
        store = open_store(path)
        content = read_description(store)
        listed = read_schema(content, f"{DESCRIPTION} of {path}").get("files")
    except ReadError as error:
        raise WriteError(
            f"{path} can't be replaced, since it is no library that this version knows ({error}) Choose another name."
        ) from error
    if isinstance(store, ZipStore) != is_archive(path):
        raise WriteError(
            f"{path} would be replaced by a {'file' if is_archive(path) else 'folder'}; choose another name."
        )
    foreign = [name for name in store.names() if name not in {DESCRIPTION, *(listed or ())} and not is_litter(name)]
    if foreign:
        raise WriteError(
            f"{path} can't be replaced, since {foreign[0]!r} in it is no part of the library; move it elsewhere first."
        )
    if opened is not None and opened[0] == path and opened[1] != hashlib.sha256(content).hexdigest():
        raise WriteError(
            f"{path} was changed by another program since it was opened; open it again, and do the change once more."
        )


def _require_within_limits(path: Path, entries: Sequence[Entry]) -> None:
    slices = [painted for entry in entries for painted in entry.slices]
    count, pixels = len(slices) + 2 * len(entries) + 1, sum(painted.mask.size for painted in slices)
    if count > MOST_FILES or pixels > MOST_PAINTED_PIXELS:
        raise WriteError(
            f"{path} would have {count} files and masks of {pixels} pixels, expected at most {MOST_FILES} and "
            f"{MOST_PAINTED_PIXELS}; split the library."
        )


def _write_entries(
    writer: _Writer, segments: Sequence[LibrarySegment], entries: Sequence[Entry]
) -> dict[str, FileText]:
    files = {}
    for entry in entries:
        stored = entry.scan.stored
        name = image_name(entry.id)
        files[name] = writer.put(name, encode(entry.scan.volume())) if stored is None else writer.copy(name, stored)
        for painted in entry.slices:
            name = mask_name(entry.id, painted.axis, painted.index)
            files[name] = writer.put(name, encode(_mask_volume(entry, painted)))
        name = picture_name(entry.id)
        files[name] = writer.put(name, _picture(entry, segments))
    return files


def _mask_volume(entry: Entry, painted: PaintedSlice) -> Volume:
    """A mask as a volume of one slice, at its place in the patient, for programs that show it over the scan."""
    grid = entry.scan.grid
    whole = Volume(np.zeros((1, 1, 1), np.uint8), grid.spacing, grid.origin, grid.direction)
    first = [0.0, 0.0, 0.0, 1.0]
    first[2 - painted.axis] = painted.index
    origin = whole.voxel_to_patient @ first
    array = np.expand_dims(painted.mask.astype(MASK_TYPE), painted.axis)
    return Volume(array, whole.spacing, tuple(origin[:3].tolist()), whole.direction)


def _picture(entry: Entry, segments: Sequence[LibrarySegment]) -> bytes:
    if entry.picture is not None:
        with suppress(ReadError):  # nothing is lost with a picture
            return read_file(entry.picture)
    return picture_of(entry, segments)


def _put_folder(temporary: Path, path: Path) -> None:
    """Puts a folder in its place. Killed in between, the old one is found beside; see `recover`."""
    if not path.exists():
        os.rename(temporary, path)
        return
    old, trash = replaced_name(path), path.with_name(f".writing-{uuid.uuid4().hex}")
    if old.is_symlink() or old.exists():  # of a saving that was killed after it was done
        if old.is_symlink() or not (old / DESCRIPTION).is_file():
            raise WriteError(f"{old} is in the way, expected nothing there; move it elsewhere.")
        _throw_away(old, trash)
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.rename(old, path)
        raise
    with suppress(OSError):
        _throw_away(old, trash)


def _throw_away(old: Path, trash: Path) -> None:
    """Deletes a folder; while its files go it has another name, so that what has this one is whole."""
    os.rename(old, trash)
    shutil.rmtree(trash, ignore_errors=True)


# Where files go


class _Writer(Protocol):
    def put(self, name: str, content: bytes) -> FileText: ...
    def copy(self, name: str, stored: StoredFile) -> FileText: ...
    def close(self) -> None: ...


class _FolderWriter:
    """Writes into a new folder; scans that are in the folder to be replaced become links to the same bytes."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder, self._target = folder, target
        folder.mkdir()

    def put(self, name: str, content: bytes) -> FileText:
        place = self._place(name)
        place.write_bytes(content)
        return FileText(len(content), hashlib.sha256(content).hexdigest())

    def copy(self, name: str, stored: StoredFile) -> FileText:
        store: Store = stored.store
        if isinstance(store, FolderStore) and store.path == self._target and store.size(stored.name) == stored.size:
            with suppress(OSError):  # not every disk has such links
                os.link(store.path / stored.name, self._place(name))
                return FileText(stored.size, stored.sha256)
        return self.put(name, read_file(stored))

    def close(self) -> None:
        pass

    def _place(self, name: str) -> Path:
        place = self._folder / name
        place.parent.mkdir(exist_ok=True)
        return place


class _ZipWriter:
    """Writes into a new archive; the same content gives the same bytes."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "x")

    def put(self, name: str, content: bytes) -> FileText:
        member = zipfile.ZipInfo(name)  # of 1980, whenever it is
        member.external_attr = 0o644 << 16
        # All else is compressed already.
        packing = zipfile.ZIP_DEFLATED if name == DESCRIPTION else zipfile.ZIP_STORED
        self._archive.writestr(member, content, packing)
        return FileText(len(content), hashlib.sha256(content).hexdigest())

    def copy(self, name: str, stored: StoredFile) -> FileText:
        return self.put(name, read_file(stored))

    def close(self) -> None:
        self._archive.close()
