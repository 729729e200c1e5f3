"""What a DICOM file is, by its SOP class."""

from __future__ import annotations

from pathlib import Path

SEGMENTATION = "segmentation (SEG)"
STRUCTURE_SET = "radiotherapy structure set (RTSTRUCT)"
DOSE = "radiotherapy dose (RTDOSE)"
DIRECTORY = "directory (DICOMDIR)"
UNKNOWN = "object of a private or unknown kind"

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Storage classes that hold no image of the patient, by the end of their UID; a point at the end stands for all below.
_OTHERS = {
    "66.4": SEGMENTATION,
    "66.7": SEGMENTATION,  # label map
    "66.5": "surface segmentation",
    "66": "raw data",
    "66.1": "registration",
    "66.2": "fiducials",
    "66.3": "registration",
    "481.2": DOSE,
    "481.3": STRUCTURE_SET,
    "481.": "radiotherapy object",
    "11.": "presentation state",
    "88.59": "key object selection",
    "88.": "structured report",
    "104.": "document",
    "30": "parametric map",
    "9.": "waveform",
    "4.2": "spectroscopy",
}
_DIRECTORY = "1.2.840.10008.1.3.10"
# Classes with a place for each frame: enhanced CT, MR and PET, converted ones, 3D X-ray, ultrasound and tomosynthesis.
_ENHANCED = ("2.1", "2.2", "4.1", "4.3", "4.4", "6.2", "6.3", "13.1.1", "13.1.2", "13.1.3", "128.1", "130")
_LONG = {b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"OD", b"OL", b"UC", b"UR"}  # types with lengths of four bytes


def kind_of(sop_class: str) -> str:
    """What files of a SOP class are in words, "" for images (and for what isn't known)."""
    if sop_class == _DIRECTORY:
        return DIRECTORY
    end = sop_class.removeprefix(_STORAGE)
    if end == sop_class:
        return ""
    below = f"{end.partition('.')[0]}."
    return _OTHERS.get(end) or (_OTHERS.get(below, "") if "." in end else "")


def is_enhanced(sop_class: str) -> bool:
    """Whether files of a SOP class say for each of their frames where it lies."""
    return sop_class.removeprefix(_STORAGE) in _ENHANCED


def is_standard(sop_class: str) -> bool:
    """Whether a SOP class is one of the standard's storage classes, or isn't said."""
    return not sop_class or sop_class.startswith(_STORAGE)


def sop_class_of(path: Path) -> str:
    """The SOP class (0002,0002) that the file's meta information names, "" if it has none.

    SimpleITK reads files with voxels only, and of those that it can't read it doesn't say what they are.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    position = 132
    while head[128:132] == b"DICM" and head[position : position + 2] == b"\x02\0":  # always explicit, little endian
        element, kind = head[position + 2 : position + 4], head[position + 4 : position + 6]
        long = kind in _LONG
        start = position + (12 if long else 8)
        length = int.from_bytes(head[position + 8 : start] if long else head[position + 6 : start], "little")
        if element == b"\x02\0":
            return head[start : start + length].decode("ascii", "replace").strip("\0 ")
        position = start + length
    return ""
