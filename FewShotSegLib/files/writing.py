"""Writes volumes to files, all or nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import ReadError, VolumeError, WriteError
from FewShotSegLib.files.reading import extension_of, require_complete
from FewShotSegLib.files.segmentation_header import segment_fields
from FewShotSegLib.labels import as_labels, label_problem
from FewShotSegLib.volume import Volume

WRITE_EXTENSIONS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha")
"""Endings of the files that can be written."""


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
            extension = check_writable(target)
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
            temporary.unlink(missing_ok=True)


def check_writable(path: str | PathLike[str]) -> str:
    """Checks before any work that a volume could be written to a path.

    Returns:
        The ending that decides the format, one of `WRITE_EXTENSIONS`.

    Raises:
        WriteError: The ending is unknown, the folder is missing or can't be written to, or the path is a folder.
    """
    path = Path(path)
    extension = extension_of(path, WRITE_EXTENSIONS)
    if extension is None:
        raise WriteError(
            f"{path} has an unknown ending, expected one of {', '.join(WRITE_EXTENSIONS)}; rename the output."
        )
    if path.is_dir():
        raise WriteError(f"{path} is a folder, expected the name of a file; choose another name.")
    if not path.parent.is_dir():
        raise WriteError(
            f"There is no folder {path.parent} to write {path.name} into; make it first or correct the path."
        )
    if not os.access(path.parent, os.W_OK):
        raise WriteError(f"The folder {path.parent} can't be written to; choose another or change its permissions.")
    return extension


def _image_for(volume: Volume, extension: str) -> sitk.Image:
    """The image to store; for a `.seg.nrrd` with the smallest label type and the header fields of its segments."""
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
        sitk.WriteImage(image, str(temporary), useCompression=True)
        if extension_of(temporary, (".nii", ".nii.gz")):
            require_complete(temporary)  # a full disk goes unnoticed by the NIfTI writer
    except (RuntimeError, ReadError, OSError) as error:
        reason = str(error).strip().splitlines()[-1].replace(str(temporary), target.name)
        raise WriteError(f"{target} can't be written ({reason}); check free space and permissions.") from error
