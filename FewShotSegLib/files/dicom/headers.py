"""Reads the headers of DICOM files with SimpleITK: what a file is, and the slices in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.dicom.frames import read_frames
from FewShotSegLib.files.dicom.kinds import UNKNOWN, is_standard, kind_of, sop_class_of
from FewShotSegLib.files.dicom.slices import Slice, unit_rows
from FewShotSegLib.files.formats import Format, head_of, is_dicom
from FewShotSegLib.files.plain_name import name_for_itk
from FewShotSegLib.files.requirements import reason

# What tells several volumes of one series apart, in the order in which it is tried.
_MARKS = {
    "acquisition": "0020|0012",
    "time point": "0020|0100",
    "echo": "0018|0086",
    "echo time": "0018|0081",
    "b-value": "0018|9087",
    "trigger time": "0018|1060",
    "kernel": "0018|1210",
    "voltage": "0018|0060",
    "image type": "0008|0008",
    "thickness": "0018|0050",
    "acquisition time": "0008|0032",
}

_COPY_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file by its header.

    Attributes:
        path: The file.
        kind: What it is in words if it is no image, else "".
        problem: Why it can't be used, or "".
        recognized: Whether it begins as DICOM files do.
        slices: Its slices that have a place in the patient; none where the format gives a file no or only one place.
        size: Voxels along (i, j, k).
        components: Values a voxel.
        pixel_type: Their type in SimpleITK's words.
        description: Of the series.
    """

    path: Path
    kind: str = ""
    problem: str = ""
    recognized: bool = True
    slices: tuple[Slice, ...] = ()
    size: tuple[int, ...] = (0, 0, 0)
    components: int = 1
    pixel_type: str = ""
    description: str = ""


def read_headers(paths: Iterable[Path]) -> list[DicomFile]:
    """Reads the headers of DICOM files; others among the paths have a problem and aren't recognized."""
    files = []
    for path in paths:
        try:
            head = head_of(path) if path.is_file() else b""
            problem = "" if is_dicom(head) else f"{'it is no DICOM file' if head else 'it is empty'}; {_COPY_AGAIN}"
        except OSError as error:
            problem = f"it can't be opened ({error.strerror}); check its permissions"
        files.append(DicomFile(path, problem=problem, recognized=False) if problem else read_header(path))
    return files


def read_header(path: Path) -> DicomFile:
    """Reads a file's header. What can't be read has a problem; nothing is raised."""
    try:
        sop_class = sop_class_of(path)
        kind = kind_of(sop_class)
        with name_for_itk(path) as name:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(name))
            reader.SetImageIO(Format.DICOM.value)
            reader.ReadImageInformation()
    except OSError as error:
        return DicomFile(path, problem=f"it can't be read ({error.strerror or error})")
    except RuntimeError as error:
        if kind or not is_standard(sop_class):
            return DicomFile(path, kind or UNKNOWN)
        return DicomFile(
            path, problem=f"it is incomplete, damaged or has no voxels ({reason(error)}); copy or download it again"
        )

    def text(tag: str) -> str:
        return reader.GetMetaData(tag).strip(" \0") if reader.HasMetaDataKey(tag) else ""

    size = (*reader.GetSize(), 1)[:3]
    file: dict[str, Any] = {
        "size": size,
        "components": reader.GetNumberOfComponents(),
        "pixel_type": sitk.GetPixelIDValueAsString(reader.GetPixelID()),
        "description": text("0008|103e"),
    }
    if kind:
        return DicomFile(path, kind, **file)
    localizer = "localizer" if "LOCALIZER" in text("0008|0008").upper() else ""
    common: dict[str, Any] = {
        "path": path,
        "size": size[:2],
        "kind": (text("0020|000e"), text("0008|0060"), localizer),
        "description": file["description"],
    }
    slices: tuple[Slice, ...] = ()
    try:
        if size[2] > 1:
            slices = read_frames(path, common, size[2])
        elif text("0020|0032") and text("0020|0037"):
            slices = (
                Slice(
                    spacing=(reader.GetSpacing()[0], reader.GetSpacing()[1]),
                    position=np.array(_numbers(text("0020|0032"), 3)),
                    rows=unit_rows(_numbers(text("0020|0037"), 6)),
                    number=float(text("0020|0013") or 0),
                    thickness=float(text("0018|0050") or 0),
                    marks={name: text(tag) for name, tag in _MARKS.items() if text(tag)},
                    **common,
                ),
            )
    except (ReadError, ValueError) as error:
        return DicomFile(path, problem=str(error), **file)
    return DicomFile(path, slices=slices, **file)


def _numbers(text: str, count: int) -> list[float]:
    numbers = [float(part) for part in text.split("\\")]
    if len(numbers) != count:
        raise ValueError(f"its header has {len(numbers)} numbers for a place, expected {count}")
    return numbers
