"""Opens a library: what is in memory then is checked; scans are read, and checked, when they are needed."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.errors import ReadError
from FewShotSegLib.labels import label_problem, label_values
from FewShotSegLib.library.description import (
    EntryText,
    FileText,
    SliceText,
    from_json,
    image_name,
    mask_name,
    picture_name,
)
from FewShotSegLib.library.entry import Entry, Grid, LibrarySegment, PaintedSlice, Scan, StoredFile
from FewShotSegLib.library.limits import MOST_BYTES, MOST_FILES, MOST_JSON_BYTES
from FewShotSegLib.library.nrrd import MOST_HEADER_BYTES, NrrdError, check_header, decode, require_honest
from FewShotSegLib.library.stores import DESCRIPTION, Store, open_store
from FewShotSegLib.volume import Volume

MASK_TYPE = "uint16"
"""Type of the voxels of all masks."""

Opened = tuple[Path, str]
"""Where a library is, and the checksum of its description: it tells whether somebody else has changed it since."""


def open_library(path: Path) -> tuple[list[LibrarySegment], list[Entry], dict[str, Any], Opened]:
    """Opens a folder or an archive; see `Library.open`.

    Args:
        path: Absolute.
    """
    recover(path)
    store = open_store(path)
    content = read_description(store)
    description = from_json(content, f"{DESCRIPTION} of {path}")
    files = description.files
    if len(files) > MOST_FILES or sum(file.size for file in files.values()) > MOST_BYTES:
        raise ReadError(f"{path} lists more than {MOST_FILES} files or {MOST_BYTES} bytes; split the library.")
    entries = [_entry(store, text, files) for text in description.entries]
    return description.segments, entries, description.extra, (path, hashlib.sha256(content).hexdigest())


def read_description(store: Store) -> bytes:
    """The content of `library.json`; ReadError if it is missing or too long."""
    content = store.read(DESCRIPTION, MOST_JSON_BYTES + 1)
    if len(content) > MOST_JSON_BYTES:
        raise ReadError(f"{DESCRIPTION} of {store.path} is longer than {MOST_JSON_BYTES} bytes; split the library.")
    return content


def replaced_name(path: Path) -> Path:
    """Where a folder is while another one takes its place."""
    return path.with_name(f".{path.name}.replaced")


def recover(path: Path) -> None:
    """Puts a folder back that was moved aside by a saving that was killed just then.

    Raises:
        ReadError: It is there, but can't be put back.
    """
    old = replaced_name(path)
    # The functions of os.path say no to names that can't be; those of Path raise.
    if not path.name or os.path.lexists(path) or os.path.islink(old) or not os.path.isdir(old):
        return
    try:
        os.rename(old, path)
    except OSError as error:
        raise ReadError(
            f"{path} was being saved when that was stopped; it is whole in {old}, but can't be put back "
            f"({error.strerror}). Rename it yourself."
        ) from error


def read_file(stored: StoredFile) -> bytes:
    """The content of a file of a library; ReadError if it isn't what was written."""
    content = stored.store.read(stored.name, stored.size + 1)
    if len(content) != stored.size or hashlib.sha256(content).hexdigest() != stored.sha256:
        raise ReadError(
            f"{stored.name} in {stored.store.path} is damaged or was changed: its checksum is another one than that in "
            f"{DESCRIPTION}. Copy or download the library again, or open it again if another program saved it."
        )
    return content


def read_scan(stored: StoredFile, grid: Grid, title: str = "") -> Volume:
    """The volume of an entry; ReadError if it is damaged."""
    array = _decoded(stored, grid.shape, grid.kind)
    return Volume(array, grid.spacing, grid.origin, grid.direction, name=title)


def _entry(store: Store, text: EntryText, files: dict[str, FileText]) -> Entry:
    image = _stored(store, image_name(text.id), files)
    try:  # all that can be known before its voxels are read
        require_honest(image.size, text.grid.nbytes)
        check_header(store.read(image.name, MOST_HEADER_BYTES), text.grid.shape, text.grid.kind)
    except NrrdError as error:
        raise _unusable(image, error) from error
    scan = Scan(text.grid, stored=image, read=partial(read_scan, title=text.title))
    slices = [_slice(store, text, painted, files) for painted in text.slices]
    name = picture_name(text.id)
    picture = StoredFile(store, name, files[name].size, files[name].sha256) if name in files else None
    return Entry(text.id, text.title, text.origin, text.structures, slices, scan, picture, text.extra)


def _slice(store: Store, entry: EntryText, text: SliceText, files: dict[str, FileText]) -> PaintedSlice:
    stored = _stored(store, mask_name(entry.id, text.axis, text.index), files)
    plane = entry.grid.plane(text.axis)
    shape = (*plane[: text.axis], 1, *plane[text.axis :])
    mask = _decoded(stored, shape, MASK_TYPE).reshape(plane)
    problem = label_problem(mask)
    strange = sorted(set(label_values(mask)) - entry.structures) if problem is None else []
    if problem or strange:
        raise ReadError(
            f"{stored.name} in {store.path} holds {problem or f'the label {strange[0]}'}, expected labels that "
            f"{DESCRIPTION} lists among the structures of {entry.id}; copy or download the library again."
        )
    mask = mask.astype(np.uint8) if mask.max() <= 255 else mask  # all masks are in memory
    return PaintedSlice(text.axis, text.index, mask, text.complete, text.background, text.extra)


def _stored(store: Store, name: str, files: dict[str, FileText]) -> StoredFile:
    """A file that must be there, in the length that is written of it."""
    if name not in files:
        raise ReadError(f"{DESCRIPTION} of {store.path} doesn't list {name}; the library is damaged, copy it again.")
    file, size = files[name], store.size(name)
    if size is None:
        raise ReadError(f"{store.path} is incomplete, {name} is missing; copy or download the library again.")
    if size != file.size:
        raise ReadError(
            f"{name} in {store.path} is damaged, it has {size} bytes, expected {file.size}; copy or download the "
            "library again."
        )
    return StoredFile(store, name, file.size, file.sha256)


def _decoded(stored: StoredFile, shape: tuple[int, ...], kind: str) -> np.ndarray:
    try:
        return decode(read_file(stored), shape, kind)
    except NrrdError as error:
        raise _unusable(stored, error) from error


def _unusable(stored: StoredFile, error: NrrdError) -> ReadError:
    return ReadError(f"{stored.name} in {stored.store.path} can't be used: {error}; don't trust it, or copy it again.")
