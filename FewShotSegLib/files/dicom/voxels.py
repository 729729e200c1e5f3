"""Reads the voxels of DICOM slices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.dicom.slices import Slice
from FewShotSegLib.files.formats import Format
from FewShotSegLib.files.plain_name import name_for_itk
from FewShotSegLib.files.requirements import reason
from FewShotSegLib.memory import is_out_of_memory


def read_voxels(slices: Sequence[Slice]) -> np.ndarray:
    """Reads slices into an array (k, j, i), rescaled as their headers say; ReadError names a file that fails."""
    array: np.ndarray | None = None
    for index, plane in _planes(slices):
        if array is None:
            array = np.empty((len(slices), *plane.shape), plane.dtype)
        elif not np.can_cast(plane.dtype, array.dtype, "safe"):  # a scale of its own, as slices of PET have
            array = array.astype(np.result_type(array.dtype, plane.dtype))
        array[index] = plane
    assert array is not None
    return array


def digest_of(item: Slice) -> bytes:
    """A digest of a slice's voxels."""
    return hashlib.sha256(read_voxels([item]).tobytes()).digest()


def read_image(path: Path) -> sitk.Image:
    """Reads a file as SimpleITK does; ReadError if it can't."""
    try:
        with name_for_itk(path) as name:
            return sitk.ReadImage(str(name), imageIO=Format.DICOM.value)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise ReadError(
            f"{path} can't be read: {reason(error)}; it may be incomplete or damaged, copy or download it again."
        ) from error


def _planes(slices: Sequence[Slice]) -> Iterator[tuple[int, np.ndarray]]:
    """Index and voxels (j, i) of each slice, every file read once."""
    by_file: dict[Path, list[int]] = {}
    for index, item in enumerate(slices):
        by_file.setdefault(item.path, []).append(index)
    for path, indices in by_file.items():
        image = read_image(path)
        short = image.HasMetaDataKey("0028|0100") and int(image.GetMetaData("0028|0100")) <= 16
        frames = sitk.GetArrayViewFromImage(image)
        for index in indices:
            item = slices[index]
            if frames.shape[-2:] != item.size[::-1] or item.frame >= len(frames):
                raise ReadError(f"{path} changed while it was read; try again.")
            plane = _rescaled(frames[item.frame], item.rescale)
            # Scaled values come as doubles, which 16 bits don't need.
            yield index, plane.astype(np.float32) if short and plane.dtype == np.float64 else plane


def _rescaled(plane: np.ndarray, rescale: tuple[float, float]) -> np.ndarray:
    slope, intercept = rescale
    return plane if (slope, intercept) == (1.0, 0.0) else plane * slope + intercept
