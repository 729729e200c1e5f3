"""Reads volumes from files and DICOM folders, with SimpleITK."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.colors import Color
from FewShotSegLib.errors import ReadError, VolumeError
from FewShotSegLib.files.segmentation_header import Segment, read_segments
from FewShotSegLib.volume import Volume

READ_EXTENSIONS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha", ".mhd")
"""Endings of the files that can be read, the longest first where one ends another."""

_log = logging.getLogger(__name__)


def read_volume(path: str | PathLike[str]) -> Volume:
    """Reads a file or a DICOM folder; see `Volume.read`."""
    path = Path(path)
    try:
        if path.is_dir():
            return volume_from_sitk(_read_dicom(path), path.name)
        if not path.exists():
            raise ReadError(f"There is no file {path}, expected a volume or a DICOM folder; check the path.")
        extension = extension_of(path, READ_EXTENSIONS)
        if extension is None:
            raise ReadError(
                f"{path} has an unknown ending, expected one of {', '.join(READ_EXTENSIONS)} or a folder of DICOM "
                "files; convert it first."
            )
        return volume_from_sitk(_read_file(path), path.name[: -len(extension)])
    except OSError as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(
            f"{path} can't be read ({error.strerror or error}); check the path and its permissions."
        ) from error


def volume_from_sitk(image: sitk.Image, name: str = "") -> Volume:
    """Copies a SimpleITK image; see `Volume.from_sitk`."""
    label = f"Volume '{name}'" if name else "The image"
    segments = read_segments(
        {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}
    )
    _require_scalar_3d(
        label,
        image.GetDimension(),
        image.GetNumberOfComponentsPerPixel(),
        image.GetPixelIDTypeAsString(),
        bool(segments),
    )
    array = sitk.GetArrayFromImage(image)
    if segments:
        array, names, colors = _merge_layers(array, segments, label)
    else:
        names, colors = {}, {}
    return Volume(
        array,
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=image.GetDirection(),
        names=names,
        colors=colors,
        name=name,
    )


def extension_of(path: Path, known: tuple[str, ...]) -> str | None:
    """The known ending of a file's name, in any case, or None; the first that fits in the order of `known`."""
    return next((extension for extension in known if path.name.lower().endswith(extension)), None)


def require_complete(path: Path) -> None:
    """Raises ReadError if a NIfTI file ends early or its compressed data is damaged.

    SimpleITK reads such a file without a word and fills up with zeros; for the other formats it raises an error itself.
    """
    try:
        size = _unpacked_size(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ReadError(f"{path} is incomplete or damaged ({error}); copy or download it again.") from error
    header = _header(path)
    expected = int(float(header.GetMetaData("vox_offset"))) + int(header.GetMetaData("bitpix")) // 8 * int(
        np.prod([int(extent) for extent in header.GetSize()]) * header.GetNumberOfComponents()
    )
    if size < expected:
        raise ReadError(f"{path} is incomplete: {size} bytes, expected {expected}; copy or download it again.")


def _read_file(path: Path) -> sitk.Image:
    """Reads one file, refusing what is no single 3D volume before its voxels are loaded."""
    header = _header(path)
    segments = any(key.startswith("Segment0_") for key in header.GetMetaDataKeys())
    _require_scalar_3d(
        str(path),
        header.GetDimension(),
        header.GetNumberOfComponents(),
        sitk.GetPixelIDValueAsString(header.GetPixelID()),
        segments,
    )
    if extension_of(path, (".nii", ".nii.gz")):
        require_complete(path)
    try:
        return header.Execute()
    except RuntimeError as error:
        raise ReadError(f"{path} can't be read, it may be incomplete or damaged: {_reason(error)}") from error


def _header(path: Path) -> sitk.ImageFileReader:
    """A reader that knows the file's header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with path.open("rb") as file:  # a clearer error than SimpleITK's where permissions are missing
        if not file.read(1):
            raise ReadError(f"{path} is empty, expected a volume; copy or download it again.")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ReadError(
            f"{path} can't be read: {_reason(error)}; check that it is what its name says and that it is complete."
        ) from error
    return reader


def _unpacked_size(path: Path) -> int:
    """Bytes in a file, after unpacking if it is gzip-compressed; unpacking to the end checks the sums inside."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size
    size = 0
    with gzip.open(path, "rb") as unpacked:
        while block := unpacked.read(1 << 20):
            size += len(block)
    return size


def _require_scalar_3d(label: str, dimension: int, components: int, pixel_type: str, segmentation: bool) -> None:
    """Raises VolumeError unless an image is 3D with one real value a voxel; a segmentation may have several layers."""
    if dimension != 3:
        raise VolumeError(
            f"{label} has {dimension} dimensions, expected 3; "
            + ("take one time point first." if dimension > 3 else "stack the slices to a volume first.")
        )
    if "complex" in pixel_type:
        raise VolumeError(f"{label} holds {pixel_type} voxels, expected real ones; take magnitude or phase first.")
    if (components > 1 or "vector" in pixel_type) and not segmentation:
        raise VolumeError(
            f"{label} has {components} values per voxel ({pixel_type}), expected one; "
            "take one channel, time point or a grey-scale version first."
        )


def _merge_layers(
    array: np.ndarray, segments: list[Segment], label: str
) -> tuple[np.ndarray, dict[int, str], dict[int, Color]]:
    """Brings a segmentation's layers into one labelmap, in the segments' order: later over earlier.

    Args:
        array: Voxels (k, j, i), or (k, j, i, layers).
        segments: What the header says.
        label: How messages call the volume.

    Returns:
        Labels (k, j, i), names and colours by value. Where two layers use the same value, the later segment gets the
        next free one.
    """
    layered = array.ndim == 4 and array.shape[3] > 1
    if array.ndim == 4 and not layered:
        array = array[..., 0]
    merged = np.zeros(array.shape[:3], np.int32) if layered else array
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    covered = 0
    for segment in segments:
        value = segment.value
        if layered:
            if not 0 <= segment.layer < array.shape[3]:
                raise VolumeError(
                    f"{label} says its segment '{segment.name}' is in layer {segment.layer}, but has layers 0 to "
                    f"{array.shape[3] - 1}; save the segmentation again."
                )
            while value in names:
                value += 1
            mask = array[..., segment.layer] == segment.value
            covered += int(np.count_nonzero(merged[mask]))
            merged[mask] = value
        names[value] = segment.name
        if segment.color is not None:
            colors[value] = segment.color
    if covered:
        _log.warning(
            "%s has segments that overlap; in %d voxels a later segment covers an earlier one.", label, covered
        )
    return merged, names, colors


def _read_dicom(folder: Path) -> sitk.Image:
    """Reads the largest DICOM series in a folder (not in folders below)."""
    series = {
        identity: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), identity)
        for identity in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    }
    if not series:
        raise ReadError(f"{folder} holds no DICOM series, expected a folder with the files of one; check the path.")
    headers = {identity: _header(Path(files[0])) for identity, files in series.items()}
    voxels = {identity: int(np.prod(headers[identity].GetSize())) * len(files) for identity, files in series.items()}
    largest = max(voxels, key=lambda identity: voxels[identity])
    files, header = series[largest], headers[largest]
    if len(series) > 1:
        _log.warning(
            "%s holds %d DICOM series; the largest is taken, with %d files, '%s'.",
            folder, len(series), len(files), _description(header),
        )  # fmt: skip
    _require_scalar_3d(
        str(folder),
        3,
        header.GetNumberOfComponents(),
        sitk.GetPixelIDValueAsString(header.GetPixelID()),
        segmentation=False,
    )
    try:
        if len(files) == 1:  # one file with all slices, or a single slice
            return sitk.ReadImage(files[0])
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        return reader.Execute()
    except RuntimeError as error:
        raise ReadError(f"The DICOM series in {folder} can't be read: {_reason(error)}") from error


def _description(header: sitk.ImageFileReader) -> str:
    """The series description of a DICOM file, if it has one."""
    return header.GetMetaData("0008|103e").strip() if header.HasMetaDataKey("0008|103e") else "no description"


def _reason(error: RuntimeError) -> str:
    """What SimpleITK says went wrong, without the places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # MetaImage adds the system's last error, which then is "No such file" for a file that is merely incomplete.
    noise = ("Exception thrown in", "Reason: No such file")
    said = [line for line in lines if not line.startswith(noise) and ".cxx:" not in line]
    return re.sub(r"\(0x[0-9a-f]+\)", "", (said or lines)[-1]).removeprefix("sitk::ERROR: ")[:400]
