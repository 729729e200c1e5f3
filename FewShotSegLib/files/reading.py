"""Reads volumes from files and DICOM folders, with SimpleITK."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from FewShotSegLib.errors import ReadError, VolumeError
from FewShotSegLib.files import dicom
from FewShotSegLib.files.formats import READ_EXTENSIONS, Format, extension_of, foreign_kind, format_of, is_compressed
from FewShotSegLib.files.image_file import read_image_file
from FewShotSegLib.files.native_messages import native_messages
from FewShotSegLib.files.sitk_image import volume_from_sitk
from FewShotSegLib.volume import Volume


def read_volume(path: str | PathLike[str]) -> Volume:
    """Reads a file or a DICOM folder; see `Volume.read`."""
    if not os.fspath(path):
        raise ReadError("The name of an input is empty, expected that of a volume; is a variable of the shell unset?")
    path = Path(path)
    try:
        if path.is_dir():
            return dicom.read_folder(path)
        if not path.exists():
            what = f"a link that leads nowhere at {path}" if path.is_symlink() else f"no file {path}"
            raise ReadError(f"There is {what}, expected a volume or a DICOM folder; check the path.")
        if not path.is_file():
            raise ReadError(f"{path} is no file, expected a volume or a DICOM folder; check the path.")
        if path.stat().st_size == 0:
            raise ReadError(f"{path} is empty, expected a volume; copy or download it again.")
        file_format = _require_format(path)
        if file_format is Format.DICOM:
            return dicom.read_file(path)
        with native_messages(path):
            image = read_image_file(path, file_format)
        return volume_from_sitk(image, _stem(path))
    except (OSError, ValueError) as error:  # a ValueError for names with a zero in them
        if isinstance(error, ReadError | VolumeError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"{path} can't be read ({reason}); check the path and its permissions.") from error


def _require_format(path: Path) -> Format:
    file_format = format_of(path)
    if file_format is None:
        foreign = foreign_kind(path)
        if foreign:
            raise ReadError(
                f"{path} is {foreign}, expected a volume: {', '.join(READ_EXTENSIONS)} or a folder of DICOM files; "
                "convert it, or copy or download it again."
            )
        if is_compressed(path):
            raise ReadError(f"{path} is compressed, but holds no NIfTI file; unpack it first.")
        raise ReadError(
            f"{path} has an unknown ending, expected one of {', '.join(READ_EXTENSIONS)} or a folder of DICOM "
            "files; convert it first."
        )
    return file_format


def _stem(path: Path) -> str:
    """A file's name without the ending that tells its format."""
    return path.name[: len(path.name) - len(extension_of(path, READ_EXTENSIONS) or "")]
