"""Makes small DICOM series, of no person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from FewShotSegLib.volume import Volume

ENHANCED_CT = UID("1.2.840.10008.5.1.4.1.1.2.1")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIGIN = np.array((-50.0, -40.0, 10.0))
SPACING, STEP = (0.75, 1.5), 3.0  # between columns, between rows; between slices


def voxels(count: int = 8) -> np.ndarray:
    """Slices (k, j, i) that all differ."""
    array = np.random.default_rng(0).integers(-900, 900, (count, 6, 5)).astype(np.int16)
    array[:, 0, 0] = np.arange(count)
    return array


def above(height: float, aside: float = 0.0) -> np.ndarray:
    """The place (3) that is so many millimetres above the origin, and aside of it along the columns."""
    return ORIGIN + np.array((0.0, aside, height))


def item(**attributes: Any) -> Dataset:
    """A data set with these attributes."""
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def image(plane: np.ndarray, sop_class: str = CTImageStorage, **attributes: Any) -> Dataset:
    """A CT slice or another object with a plane or frames of voxels."""
    uid = generate_uid()
    dataset = item(
        SOPClassUID=sop_class, SOPInstanceUID=uid, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4",
        FrameOfReferenceUID="1.2.3.5", Modality="CT", PatientName="Nobody", PatientID="0", StudyID="1",
        StudyDate="20200101", StudyTime="120000", PatientBirthDate="", PatientSex="", AccessionNumber="",
        ReferringPhysicianName="", SeriesDescription="thorax", SeriesNumber=1, AcquisitionNumber=1, InstanceNumber=1,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], SliceThickness=STEP, Manufacturer="none",
        ManufacturerModelName="none", DeviceSerialNumber="1", SoftwareVersions="1", PositionReferenceIndicator="",
        Rows=plane.shape[-2], Columns=plane.shape[-1], SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0, RescaleSlope=1, RescaleIntercept=-1024,
        RescaleType="HU", PixelSpacing=list(SPACING[::-1]), ImageOrientationPatient=list(AXIAL),
        ImagePositionPatient=list(ORIGIN), PixelData=(plane + 1024).astype(np.uint16).tobytes(),
    )  # fmt: skip
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Writes a data set to a file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    heights: Sequence[float] | np.ndarray | None = None,
    orientation: Sequence[float] = AXIAL,
    tilt: float = 0.0,
    first: int = 1,
    name: str = "IM{:04d}",
    **attributes: Any,
) -> list[Path]:
    """Writes a series, a file a slice.

    Args:
        folder: Made if it isn't there.
        array: Voxels (k, j, i).
        heights: Millimetres along the normal from the origin; STEP apart if None.
        orientation: Direction cosines.
        tilt: Millimetres along the columns for each along the normal, as a tilted gantry has it.
        first: Number of the first slice.
        name: Of the files, by number.
        attributes: DICOM attributes that differ; None takes one away.
    """
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    paths = []
    for k, plane in enumerate(array):
        height = k * STEP if heights is None else heights[k]
        normal = np.cross(rows, columns) / np.linalg.norm(np.cross(rows, columns))
        place = ORIGIN + normal * height + columns * height * tilt
        given = {"InstanceNumber": first + k, "ImageOrientationPatient": [float(f"{c:.6f}") for c in orientation]}
        given["ImagePositionPatient"] = [float(f"{c:.4f}") for c in place]
        paths.append(save(image(plane, **{**given, **attributes}), folder / name.format(first + k)))
    return paths


def write_enhanced(
    path: Path,
    array: np.ndarray,
    heights: Sequence[float] | np.ndarray,
    frame_contents: Sequence[dict[str, Any]] | None = None,
    slopes: Sequence[float] | None = None,
    tilt: float = 0.0,
    sop_class: UID = ENHANCED_CT,
) -> Path:
    """Writes an enhanced CT: frames as they are stored, each with its height along the normal."""
    top = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
    dataset = image(array, sop_class, **dict.fromkeys((*top, "RescaleSlope", "RescaleIntercept", "RescaleType")))
    dataset.NumberOfFrames = len(array)
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=list(SPACING[::-1]), SliceThickness=STEP)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=list(above(height, height * tilt)))],
            PixelValueTransformationSequence=[
                item(RescaleSlope=slopes[n] if slopes else 1, RescaleIntercept=-1024, RescaleType="HU")
            ],
            FrameContentSequence=[item(**(frame_contents[n] if frame_contents else {"StackID": "1"}))],
        )
        for n, height in enumerate(heights)
    ]
    return save(dataset, path)


def require_volume(volume: Volume, array: np.ndarray, step: float = STEP) -> None:
    """Asserts that a volume has these voxels, the places of `write_series` and this distance between slices."""
    assert np.array_equal(volume.array, array)
    assert volume.spacing == pytest.approx((*SPACING, step), abs=1e-3)
    assert volume.origin == pytest.approx(ORIGIN, abs=1e-3)
