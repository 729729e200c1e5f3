"""Writes volumes to files, all or nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import VolumeError, WriteError
from FewShotSegLib.files.formats import NIFTI_EXTENSIONS, extension_of
from FewShotSegLib.files.native_messages import native_messages
from FewShotSegLib.files.nifti import what_is_missing
from FewShotSegLib.files.outputs import check_writable
from FewShotSegLib.files.plain_name import folder_for_itk
from FewShotSegLib.files.requirements import reason
from FewShotSegLib.files.segmentation_header import segment_fields
from FewShotSegLib.geometry import nearest_rotation
from FewShotSegLib.labels import as_labels, label_problem
from FewShotSegLib.memory import is_out_of_memory
from FewShotSegLib.volume import Volume


def write_volumes(volumes: Sequence[tuple[Volume, str | PathLike[str]]]) -> None:
    """Writes volumes under temporary names beside their files and renames them when all are complete.

    Args:
        volumes: Volumes and where to write them; see `Volume.write` for formats.

    Raises:
        WriteError: One can't be written; then none is, and older files are untouched.
        VolumeError: A volume that isn't a labelmap was to become a `.seg.nrrd`.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for volume, path in volumes:
            target = Path(path)
            extension = check_writable(path, volume)
            # SimpleITK tells the format by the name's end, so the temporary name keeps it.
            temporary = target.parent / f".writing-{uuid.uuid4().hex}{extension}"
            written.append((temporary, target))
            _write(_image_for(volume, extension), temporary, target)
        for temporary, target in written:
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise WriteError(f"{target} can't be replaced ({error.strerror}); is it open elsewhere?") from error
    finally:
        for temporary, _ in written:
            with suppress(OSError):
                temporary.unlink()


def _image_for(volume: Volume, extension: str) -> sitk.Image:
    """The image to store; for a `.seg.nrrd` with the smallest label type and the header fields of its segments."""
    if extension in NIFTI_EXTENSIONS:  # it holds perpendicular axes only; what isn't but for rounding is made so
        return replace(volume, direction=nearest_rotation(volume.direction)).to_sitk()
    if extension != ".seg.nrrd":
        return volume.to_sitk()
    problem = label_problem(volume.array)
    if problem:
        raise VolumeError(
            f"{volume.title} can't be written as a segmentation: {problem}; write it as .nrrd or .nii.gz."
        )
    labels = as_labels(volume.array)
    labels = labels.astype(np.uint8 if labels.max() <= 255 else np.uint16, copy=False)
    labelmap = replace(volume, array=labels)
    image = labelmap.to_sitk()
    for key, text in segment_fields(labelmap).items():
        image.SetMetaData(key, text)
    return image


def _write(image: sitk.Image, temporary: Path, target: Path) -> None:
    """Writes a file and makes sure it is complete; messages name the target."""
    try:
        with native_messages(target), folder_for_itk(temporary.parent) as folder:
            sitk.WriteImage(image, str(folder / temporary.name), useCompression=True)
            # A full disk goes unnoticed by the NIfTI writer, and by that of NRRD if not even the header finds room.
            if extension_of(temporary, NIFTI_EXTENSIONS):
                missing = what_is_missing(temporary)
            elif not temporary.stat().st_size:
                missing = "nothing of it reached the disk"
            elif sitk.Hash(sitk.ReadImage(str(folder / temporary.name))) != sitk.Hash(image):
                missing = "it reads otherwise than it was written"
            else:
                missing = ""
    except (RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        said = reason(error).replace(temporary.name, target.name)
        raise WriteError(f"{target} can't be written ({said}); check free space and permissions.") from error
    if missing:
        raise WriteError(f"{target} can't be written ({missing}); check free space and permissions.")
