"""Reads one NIfTI, NRRD or MetaImage file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from FewShotSegLib.errors import ReadError, VolumeError
from FewShotSegLib.files.formats import Format, is_compressed
from FewShotSegLib.files.nifti import place_by_affine, require_readable
from FewShotSegLib.files.plain_name import folder_for_itk, is_utf8, name_for_itk, plain_name
from FewShotSegLib.files.requirements import reason, require_scalar
from FewShotSegLib.memory import is_out_of_memory

# The NIfTI library looks for these beside a file, and takes the voxels from what it finds first.
_NIFTI_RELATIVES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")
_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"


def read_image_file(path: Path, file_format: Format) -> sitk.Image:
    """Reads one file, refusing what is no single 3D volume before its voxels are loaded.

    Args:
        path: The file.
        file_format: What its content is, whatever its name says; not DICOM.

    Raises:
        ReadError: It is incomplete or damaged, or a NIfTI file with sheared axes.
        VolumeError: It isn't one 3D volume of real numbers.
    """
    if file_format is not Format.NIFTI:
        # With the folder around it: the voxels may lie in another file.
        with folder_for_itk(path.parent) as folder, name_for_itk(folder / path.name) as name:
            return _read(path, name, file_format)
    require_readable(path)
    with _name_for_nifti(path) as name:
        try:
            return _read(path, name, file_format)
        except ReadError as error:
            if "orthonormal" not in str(error.__cause__):
                raise
            # Axes that are perpendicular but for rounding; others are refused above.
            with _environment(_PERMISSIVE, "YES"):
                return place_by_affine(_read(path, name, file_format), path)


def _read(path: Path, name: Path, file_format: Format) -> sitk.Image:
    """Reads the file of this name; messages name the path."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(name))
    reader.SetImageIO(file_format.value)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        _require_memory(error)
        if "number of domain axes" in str(error):
            raise VolumeError(f"{path} has more than 3 dimensions, expected 3; take one time point first.") from error
        raise ReadError(
            f"{path} can't be read: {_said(error, path, name)}; check that it is what its name says and that it is "
            "complete."
        ) from error
    size = reader.GetSize()
    require_scalar(
        str(path),
        size,
        reader.GetNumberOfComponents(),
        sitk.GetPixelIDValueAsString(reader.GetPixelID()),
        any(re.match(r"Segment\d+_", key) for key in reader.GetMetaDataKeys()),
    )
    if len(size) > 3:  # further axes of one voxel each
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
    try:
        return reader.Execute()
    except RuntimeError as error:
        _require_memory(error)
        raise ReadError(f"{path} can't be read, it may be incomplete or damaged: {_said(error, path, name)}") from error


@contextmanager
def _name_for_nifti(path: Path) -> Iterator[Path]:
    """The file by a name that the NIfTI library takes for what it is, with no other one beside it."""
    extension = ".nii.gz" if is_compressed(path) else ".nii"
    stem = path.name.removesuffix(extension)
    relatives = [stem + e for ending in _NIFTI_RELATIVES for e in (ending, ending.upper()) if stem + e != path.name]
    plain = stem + extension == path.name and is_utf8(path)
    if plain and not any((path.parent / relative).exists() for relative in relatives):
        yield path
    else:
        with plain_name(path, f"volume{extension}") as name:
            yield name


@contextmanager
def _environment(variable: str, value: str) -> Iterator[None]:
    """Sets a variable of the environment meanwhile."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _require_memory(error: RuntimeError) -> None:
    """Raises MemoryError if that is what SimpleITK's error means."""
    if is_out_of_memory(error):
        raise MemoryError(str(error)) from error


def _said(error: RuntimeError, path: Path, name: Path) -> str:
    return reason(error).replace(str(name), str(path))
