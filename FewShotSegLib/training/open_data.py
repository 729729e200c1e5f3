"""What the files of the open data sets mean: where they are, their labels, modality, patients and peculiarities."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.training.label_vocabulary import common_name

# The sample scan of demo and tests: training on it would make every figure shown on it worthless.
EXCLUDED = {("TotalSegmentator_examples", "ct_abdpelvis_3mm")}
# Sets that go by organ names share one vocabulary; the group says between which volumes a label may be carried over.
NAMED_GROUPS = {
    "TotalSegmentator_examples": "body",
    "LIDC_CT": "body",
    "CCTH_CT": "body",
    "MSD_Spleen_crop": "body",
    "OpenKBP": "OpenKBP",
    "Neck_MR": "Neck_MR",
    "SpinalCord_SCT": "Neck_MR",
}
# Families of label maps that share hardly a structure with others.
_LABELMAP_GROUPS = ("headneck", "heart", "thigh", "vhf")
DENSE = {"LIDC_CT/0001", "TotalSegmentator_examples/ct_upperabd_dicom", "TotalSegmentator_examples/mr_upperabd_3mm"}
DENSE |= {"Colin27/ch2"}
CT_SETS = {"OpenKBP", "LIDC_CT", "CCTH_CT", "CRLM_CT", "MSD_Spleen_crop", "Slicer_CTChest", "Chest_CT"}
# First what training profits from most, since it may start before the cache is complete.
ORDER = (
    "TotalSegmentator_examples",
    "LIDC_CT",
    "CCTH_CT",
    "MSD_Spleen_crop",
    "CRLM_CT",
    "Abdomen_MR",
    "unlabelled",
    "SoftTissue_STS",
    "labelmaps/totalseg",
    "Sunnybrook_cine",
    "Vertebra_TPTBox",
    "SpinalCord_SCT",
    "Slicer_CTChest",
    "Leg_MR",
    "labelmaps/heart",
    "labelmaps/trunk",
    "labelmaps/thigh",
    "slices_2d",
    "OpenKBP",
)
# VerSe numbers the vertebrae C1 = 1 .. C7, T1 = 8 .. T12, L1 = 20 .. L6; PAM50 the cord beside them likewise.
_LEVELS = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 7)]
_OF_LEVELS = {"vertebrae": "vertebrae", "cord by vertebral level": "spinal_cord"}


@dataclass(frozen=True)
class Source:
    """One scan or label map on disk.

    Attributes:
        set_name: Folder of the data set.
        case: File name without "_image.nii.gz" or "_label.nii.gz".
        image: Scan, or None for a label map without one.
        labels: Label map on the scan's grid, or None.
        names: Value in the file -> name of the structure.
        modality: "CT" or "MR"; of a bare label map "synthetic".
        group: Volumes with the same group use the same label for the same structure.
        dense: True when about every structure is labelled.
    """

    set_name: str
    case: str
    image: Path | None
    labels: Path | None
    names: dict[int, str] = field(default_factory=dict)
    modality: str = "MR"
    group: str = ""
    dense: bool = False

    @property
    def name(self) -> str:
        """Unique name, fit for a folder."""
        return f"{self.set_name}__{self.case}"

    @property
    def subject(self) -> str:
        """Patient: scans of one patient in several contrasts share it."""
        case = re.sub(r"_(FLAIR|T1|CT|MR_T1|T1w|T2w|T2star|T1post|T2SPACE)$", "", self.case)
        case = re.sub(r"^(PGBM_Study3|ProstateX-\d+)_.*", r"\1", case)
        # The pelvis series of one man lie in two folders.
        return case if case.startswith("ProstateX") else f"{self.set_name}/{case}"


def find_sources(data_dir: Path) -> list[Source]:
    """Return all scans and label maps below `<data_dir>/open`, the most useful first; never the benchmark."""
    sources = []
    for folder in sorted(path for path in (data_dir / "open").iterdir() if path.is_dir()):
        sources += list(_sources_of_set(folder))
    return sorted(sources, key=lambda source: (_rank(source), source.name))


def read_image(source: Source) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Read a scan as float32 (k, j, i), CT in Hounsfield units, with its spacing (k, j, i) in mm."""
    array, spacing = _read(source.image)
    values = array.astype(np.float32)
    if source.set_name == "OpenKBP":
        # HU + 1000, cut to the body with 0 outside; a few voxels hold absurd values (22575 and such).
        values = np.clip(values, 0, 4095) - 1000
    return values, spacing


def read_labels(source: Source) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Read a label map as integers (k, j, i) with its spacing (k, j, i) in mm."""
    return _read(source.labels)


def _read(path: Path | None) -> tuple[np.ndarray, tuple[float, float, float]]:
    if path is None:
        raise ValueError("this source has no such file")
    image = sitk.ReadImage(str(path))
    i, j, k = image.GetSpacing()
    return sitk.GetArrayFromImage(image), (k, j, i)


def _rank(source: Source) -> int:
    for rank, prefix in enumerate(ORDER):
        if f"{source.set_name}/{source.case}".startswith(prefix):
            return rank
    return len(ORDER)


def _sources_of_set(folder: Path) -> Iterator[Source]:
    description_file = folder / "dataset.json"
    description = json.loads(description_file.read_text(encoding="utf-8")) if description_file.exists() else {}
    for image in sorted(folder.glob("*_image.nii.gz")):
        case = image.name.removesuffix("_image.nii.gz")
        if (folder.name, case) in EXCLUDED:
            continue
        labels = folder / f"{case}_label.nii.gz"
        has_labels = labels.exists()
        yield Source(
            set_name=folder.name,
            case=case,
            image=image,
            labels=labels if has_labels else None,
            names=_label_names(folder, case, description.get("labels")) if has_labels else {},
            modality=_modality(folder.name, case),
            group=_group(folder.name, case) if has_labels else "",
            dense=f"{folder.name}/{case}" in DENSE,
        )
    for labels in sorted(folder.glob("*_label.nii.gz")):
        case = labels.name.removesuffix("_label.nii.gz")
        if (folder / f"{case}_image.nii.gz").exists():
            continue
        names = _label_names(folder, case, description.get("labels"))
        group = next((family for family in _LABELMAP_GROUPS if case.startswith(family)), "body")
        yield Source(folder.name, case, None, labels, names, "synthetic", group, dense=True)


def _label_names(folder: Path, case: str, labels: object) -> dict[int, str]:
    own = folder / f"{case}_labels.json"
    if own.exists():
        entries = json.loads(own.read_text(encoding="utf-8"))
        return {int(value): common_name(entry["name"]) for value, entry in entries.items()}
    if isinstance(labels, dict) and labels and all(key.isdigit() for key in labels):
        return {int(value): common_name(name) for value, name in labels.items()}
    if isinstance(labels, dict):
        # One table per case, for several ("t1, t2"), or for all cases of a family ("headneck_*").
        for key, table in labels.items():
            if case in key.split(", ") or (key.endswith("*") and case.startswith(key[:-1])):
                if isinstance(table, dict):
                    return {int(value): common_name(name) for value, name in table.items()}
                prefix = next(name for text, name in _OF_LEVELS.items() if table.startswith(text))
                return {value: common_name(f"{prefix}_{level}") for value, level in enumerate(_LEVELS, start=1)}
    if isinstance(labels, str) and "AAL" in labels:
        return {value: f"aal_{value}" for value in range(1, 256)}
    return {}


def _modality(set_name: str, case: str) -> str:
    is_ct = set_name in CT_SETS or "_CT" in case or case.startswith(("ct_", "lung"))
    return "CT" if is_ct else "MR"


def _group(set_name: str, case: str) -> str:
    if set_name == "pyradiomics":
        # A lesion in a lung and one in a brain share no looks.
        return f"pyradiomics_{case.rstrip('0123456789')}"
    return NAMED_GROUPS.get(set_name, set_name)


def uses_common_names(source: Source) -> bool:
    """Return whether the labels are anatomical names of the shared vocabulary."""
    return source.set_name in NAMED_GROUPS or source.set_name == "labelmaps"
