"""The frames of enhanced DICOM files: many slices in one file, in any order, each with a place of its own.

SimpleITK takes frames as they are stored and tells nothing of their places, so pydicom reads the header.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.dicom.kinds import is_enhanced, sop_class_of
from FewShotSegLib.files.dicom.slices import Slice, unit_rows

# Functional group and attribute by what tells several volumes of one file apart, in the order in which it is tried.
_MARKS = {
    "acquisition": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "stack": ("FrameContentSequence", "StackID"),
    "time point": ("FrameContentSequence", "TemporalPositionIndex"),
    "echo time": ("MREchoSequence", "EffectiveEchoTime"),
    "b-value": ("MRDiffusionSequence", "DiffusionBValue"),
    "trigger delay": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "image type (MR)": ("MRImageFrameTypeSequence", "FrameType"),
    "image type (CT)": ("CTImageFrameTypeSequence", "FrameType"),
    "image type (PET)": ("PETFrameTypeSequence", "FrameType"),
}


def read_frames(path: Path, common: dict[str, Any], count: int) -> tuple[Slice, ...]:
    """Reads where the frames of a file lie.

    Args:
        path: A DICOM file.
        common: Attributes of `Slice` that all frames share.
        count: How many frames it has.

    Returns:
        A slice for each frame, as they are stored; none if the format of the file has no place for each frame.

    Raises:
        ReadError: It should have, but a frame lacks one, or pydicom isn't installed.
    """
    try:
        import pydicom
    except ImportError as error:
        if is_enhanced(sop_class_of(path)):
            raise ReadError(
                f"it is an enhanced file, whose {count} frames may come in any order; to read their places the package "
                'pydicom is needed: pip install "fewshotseg[dicom]", or convert the file to NIfTI or NRRD'
            ) from error
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that the standard doesn't allow, one each
            header = pydicom.dcmread(path, stop_before_pixels=True)
        groups = header.get("PerFrameFunctionalGroupsSequence")
        if not groups:
            if is_enhanced(sop_class_of(path)):
                raise ReadError("it is an enhanced file that says nothing of its frames")
            return ()
        shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
        first = _rescale(groups[0], shared)
        return tuple(_frame(number, group, shared, first, common) for number, group in enumerate(groups))
    except (AttributeError, IndexError, TypeError, ValueError, KeyError) as error:  # what a damaged header leads to
        raise ReadError(f"the places of its frames can't be read ({error})") from error


def _frame(number: int, group: Any, shared: Any, first: tuple[float, float], common: dict[str, Any]) -> Slice:
    measures = _item("PixelMeasuresSequence", group, shared)
    row_spacing, column_spacing = (float(part) for part in measures["PixelSpacing"].value)
    place = _item("PlanePositionSequence", group, shared)["ImagePositionPatient"].value
    orientation = _item("PlaneOrientationSequence", group, shared)["ImageOrientationPatient"].value
    marks = {
        name: str(_item(sequence, group, shared).get(attribute, "")) for name, (sequence, attribute) in _MARKS.items()
    }
    slope, intercept = _rescale(group, shared)
    return Slice(
        frame=number,
        number=number,
        spacing=(column_spacing, row_spacing),
        position=np.array([float(part) for part in place]),
        rows=unit_rows([float(part) for part in orientation]),
        marks={name: mark for name, mark in marks.items() if mark},
        thickness=float(measures.get("SliceThickness") or 0),
        # SimpleITK scales all frames as the first one.
        rescale=(slope / first[0], intercept - first[1] * slope / first[0]),
        **common,
    )


def _rescale(group: Any, shared: Any) -> tuple[float, float]:
    """Slope and intercept of a frame."""
    values = _item("PixelValueTransformationSequence", group, shared)
    return float(values.get("RescaleSlope") or 1), float(values.get("RescaleIntercept") or 0)


def _item(sequence: str, group: Any, shared: Any) -> Any:
    """The item of a functional group, of the frame's own or else of all frames; without attributes if there is none."""
    found = group.get(sequence) or shared.get(sequence)
    return found[0] if found else {}
