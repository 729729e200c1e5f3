"""Which format a file has: by its content, since names promise more than they keep."""

from __future__ import annotations

import gzip
import re
import zlib
from enum import Enum
from pathlib import Path

READ_EXTENSIONS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha", ".mhd", ".dcm")
"""Endings of the files that can be read, the longest first where one ends another."""

WRITE_EXTENSIONS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha")
"""Endings of the files that can be written."""

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
"""Endings of NIfTI files."""

_HEAD = 1024  # bytes that tell any of the formats

# What else is often found under the name of a volume, by its first bytes.
_FOREIGN = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"BM": "a BMP picture",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF document",
    b"# vtk": "a VTK file",
    b"\x93NUMPY": "a NumPy array",
    b"version https://git-lfs": "a pointer to a file in Git LFS",
    b"<!DOCTYPE html": "a web page",
    b"<html": "a web page",
}


class Format(Enum):
    """A format that can be read; its value is the name of SimpleITK's reader."""

    NIFTI = "NiftiImageIO"
    NRRD = "NrrdImageIO"
    META = "MetaImageIO"
    DICOM = "GDCMImageIO"


def extension_of(path: Path, known: tuple[str, ...]) -> str | None:
    """The known ending of a file's name, in any case, or None; the first that fits in the order of `known`."""
    return next((extension for extension in known if path.name.lower().endswith(extension)), None)


def format_of(path: Path) -> Format | None:
    """The format that a file's content has, or else its name; None if neither tells. OSError if it can't be read."""
    head = _unpacked_head(path)
    if _is_nifti(head):
        return Format.NIFTI
    extension = extension_of(path, READ_EXTENSIONS)
    if extension in NIFTI_EXTENSIONS and is_compressed(path):
        return Format.NIFTI  # damaged, which its reader tells
    if is_compressed(path):
        return None
    if head.startswith(b"NRRD"):
        return Format.NRRD
    if re.match(rb"\s*\w+\s*=", head) and b"NDims" in head:
        return Format.META
    if is_dicom(head):
        return Format.DICOM
    if extension is None or foreign_kind(path):
        return None
    if extension in NIFTI_EXTENSIONS:
        return Format.NIFTI
    if "nrrd" in extension:
        return Format.NRRD
    return Format.DICOM if extension == ".dcm" else Format.META


def foreign_kind(path: Path) -> str | None:
    """What a file is, in words, if it is something well known that is no volume."""
    head = head_of(path)
    return next((kind for start, kind in _FOREIGN.items() if head.startswith(start)), None)


def is_compressed(path: Path) -> bool:
    """Whether a file is gzip-compressed as a whole."""
    return head_of(path).startswith(b"\x1f\x8b")


def is_dicom(head: bytes) -> bool:
    """Whether a file that starts like this is a DICOM file; old ones lack the preamble and begin with group 0008."""
    return head[128:132] == b"DICM" or (
        head[:2] == b"\x08\0" and head[3:4] == b"\0" and (head[4:6].isalpha() or head[6:8] == b"\0\0")
    )


def head_of(path: Path) -> bytes:
    """The first bytes of a file, enough to tell its format."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unpacked_head(path: Path) -> bytes:
    if not is_compressed(path):
        return head_of(path)
    try:
        with gzip.open(path, "rb") as unpacked:
            return unpacked.read(_HEAD)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""  # damaged, which is told when the whole file is read


def _is_nifti(head: bytes) -> bool:
    """Whether a file that starts like this is a NIfTI file of either version, with its voxels in the same file."""
    size = head[:4]
    first = (348).to_bytes(4, "little"), (348).to_bytes(4, "big")
    second = (540).to_bytes(4, "little"), (540).to_bytes(4, "big")
    return (size in first and head[344:348] == b"n+1\0") or (size in second and head[4:8] == b"n+2\0")
