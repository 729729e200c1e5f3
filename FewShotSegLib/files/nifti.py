"""What a NIfTI file's header says that SimpleITK doesn't check: its length, and whether its axes are perpendicular."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.formats import is_compressed
from FewShotSegLib.geometry import ROUNDED_SHEAR, nearest_rotation, shear_of

_SCANNER = 1  # code of an affine that says where voxels lie in the scanner, not in an atlas


@dataclass(frozen=True)
class _Header:
    """Fields of the header, version 1 or 2.

    Attributes:
        version: Of the format.
        length: Bytes that the whole file must have.
        qform_code: What the rotation means, 0 if there is none.
        sform_code: What the affine means, 0 if there is none.
        affine: Matrix (3, 4) from voxels (i, j, k, 1) to right, anterior, superior (RAS) millimetres.
    """

    version: int
    length: int
    qform_code: int
    sform_code: int
    affine: np.ndarray


def require_readable(path: Path) -> None:
    """Raises ReadError if a file ends early, its compressed data is damaged, or its axes are sheared.

    SimpleITK reads an incomplete file without a word and fills up with zeros. Sheared axes it refuses without telling
    so, or replaces them by a rotation that lies elsewhere.
    """
    header, missing = _check_length(path)
    if header is not None and header.version == 2:
        raise ReadError(f"{path} is a NIfTI-2 file, expected NIfTI-1; convert it to that, or to .nrrd.")
    if missing:
        raise ReadError(f"{path} is incomplete or damaged: {missing}; copy or download it again.")
    if header is None or not np.any(header.affine[:, :3], axis=0).all():
        return
    # Beside a rotation of the scanner's, an affine to an atlas is no place of the voxels and may be sheared.
    if header.sform_code == _SCANNER or (header.sform_code and not header.qform_code):
        shear = shear_of(header.affine[:, :3])
        if shear > ROUNDED_SHEAR:
            raise ReadError(
                f"{path} has axes that are not perpendicular: they are {np.degrees(np.arcsin(shear)):.1f} degrees off, "
                "as of a CT with tilted gantry. Expected a straight grid, since readers of NIfTI place such voxels "
                "differently; resample it, or convert it to .nrrd or .mha, which hold a sheared grid."
            )


def place_by_affine(image: sitk.Image, path: Path) -> sitk.Image:
    """Gives an image the place that the file's affine has, its axes made perpendicular where rounding left them not so.

    SimpleITK has a switch to take such affines, but then turns the image the other way round.
    """
    header = _check_length(path)[0]
    assert header is not None
    matrix = np.diag((-1.0, -1.0, 1.0)) @ header.affine  # LPS
    spacing = np.linalg.norm(matrix[:, :3], axis=0)
    image.SetSpacing([float(length) for length in spacing])
    image.SetOrigin([float(place) for place in matrix[:, 3]])
    image.SetDirection(nearest_rotation(matrix[:, :3] / spacing))
    return image


def what_is_missing(path: Path) -> str:
    """How a file is incomplete or damaged, as half a sentence, or ""."""
    return _check_length(path)[1]


def _check_length(path: Path) -> tuple[_Header | None, str]:
    """The header, if there is one, and how the file is incomplete or damaged, or ""."""
    try:
        size, head = _unpacked(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return None, str(error)
    header = _parse(head)
    if header is not None and size < header.length:
        return header, f"it has {size} bytes, expected {header.length}"
    return header, ""


def _unpacked(path: Path) -> tuple[int, bytes]:
    """Bytes in a file, after unpacking if it is compressed, and its first ones; unpacking checks the sums inside."""
    if not is_compressed(path):
        with path.open("rb") as file:
            return path.stat().st_size, file.read(540)
    size, head = 0, b""
    with gzip.open(path, "rb") as unpacked:
        while block := unpacked.read(1 << 20):
            head = head or block[:540]
            size += len(block)
    return size, head


def _parse(head: bytes) -> _Header | None:
    """The header's fields, or None if it is none."""
    for order in "<", ">":
        version_1 = head[:4] == struct.pack(order + "i", 348) and len(head) >= 348
        version_2 = head[:4] == struct.pack(order + "i", 540) and len(head) >= 540
        if not version_1 and not version_2:
            continue

        def field(kind: str, offset: int, count: int = 1, order: str = order) -> tuple:
            return struct.unpack_from(f"{order}{count}{kind}", head, offset)

        dimensions = field("h", 40, 8) if version_1 else field("q", 16, 8)
        (bits,) = field("h", 72) if version_1 else field("h", 14)
        (offset,) = field("f", 108) if version_1 else field("q", 168)
        codes = field("h", 252, 2) if version_1 else field("i", 344, 2)
        affine = field("f", 280, 12) if version_1 else field("d", 400, 12)
        if not 1 <= dimensions[0] <= 7 or not np.isfinite(offset):
            return None
        voxels = int(np.prod([max(1, extent) for extent in dimensions[1 : dimensions[0] + 1]], dtype=object))
        version = 1 if version_1 else 2
        return _Header(
            version,
            int(offset) + voxels * bits // 8,
            qform_code=codes[0],
            sform_code=codes[1],
            affine=np.nan_to_num(np.reshape(affine, (3, 4))),
        )
    return None
