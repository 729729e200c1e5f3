"""The cache of training volumes: what one holds, how it is written, how it is read back without loading it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

META_FILE = "meta.json"
IMAGE_FILE = "image.npy"
LABELS_PREFIX = "labels_"
REAL_LABELS = "real"


@dataclass
class TrainingVolume:
    """One image with any number of labelings on the same grid; arrays are in order (k, j, i).

    Attributes:
        name: Unique name, also the name of the cache folder.
        set_name: Data set the volume comes from.
        modality: "CT" (Hounsfield units), "MR" (arbitrary units, body about 0..1000) or "synthetic" (likewise).
        kind: "volume", or "slice2d" when the slices along axis 0 are independent images.
        spacing_kji: Voxel size in mm.
        axes: Array axes along which slicing makes sense; the coarsest one comes first.
        image: int16 (k, j, i).
        labelings: Name -> uint8 or uint16 (k, j, i). "real" holds true labels; "regions0".."regions2" hold
            image-made regions from small to large whose ids mean nothing outside this volume.
        label_names: Value in the "real" labeling -> structure name; only structures that are present.
        label_group: Volumes with the same non-empty group use the same "real" value for the same structure.
        background_complete: True when the "real" labeling covers about all structures of its kind, so that its
            background holds no unlabelled organ.
        subject: Patient or label map the volume comes from; equal subjects are not "other patients".
        meta: Everything the cache says about the volume.
    """

    name: str
    set_name: str
    modality: str
    kind: str
    spacing_kji: tuple[float, float, float]
    axes: list[int]
    image: np.ndarray
    labelings: dict[str, np.ndarray]
    label_names: dict[int, str] = field(default_factory=dict)
    label_group: str = ""
    background_complete: bool = False
    subject: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def sensible_axes(shape: tuple[int, ...], spacing_kji: tuple[float, ...]) -> list[int]:
    """Return the array axes to slice along, coarsest spacing first.

    Thick slices make poor reformats, and thin stacks make slivers, so the other two axes join only when the voxels
    are nearly cubes and the volume is at least 48 voxels wide everywhere.
    """
    # Spacings that differ by rounding only must not decide: acquisition slices lie along axis 0.
    coarsest = max(range(3), key=lambda axis: (round(spacing_kji[axis], 1), -axis))
    fine, middle, coarse = sorted(spacing_kji)
    if coarse / fine > 2.5 and coarse > 1.2 * middle:
        return [coarsest]
    if coarse / fine > 2.5 or min(shape) < 48:
        # No single axis is much coarser than the others, so the one it was stored along is the sensible one.
        return [0]
    return [coarsest] + [axis for axis in range(3) if axis != coarsest]


def smallest_unsigned(labels: np.ndarray) -> np.ndarray:
    """Return the labels as uint8 when they fit, else as uint16."""
    highest = int(labels.max(initial=0))
    if highest > np.iinfo(np.uint16).max:
        raise ValueError(f"a labeling may use values up to 65535, got {highest}")
    return labels.astype(np.uint8 if highest <= 255 else np.uint16)


def save_volume(volume: TrainingVolume, cache_dir: Path) -> Path:
    """Write a volume to its own folder; the folder appears only when it is complete.

    Args:
        volume: Volume whose labelings lie on the image's grid.
        cache_dir: Folder of all volumes.

    Returns:
        The volume's folder.
    """
    for name, labels in volume.labelings.items():
        if labels.shape != volume.image.shape:
            raise ValueError(f"{volume.name}: labeling {name} has shape {labels.shape}, image {volume.image.shape}")
    target = cache_dir / volume.name
    part = cache_dir / f".part-{volume.name}-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / IMAGE_FILE, np.ascontiguousarray(volume.image, dtype=np.int16))
    for name, labels in volume.labelings.items():
        np.save(part / f"{LABELS_PREFIX}{name}.npy", np.ascontiguousarray(smallest_unsigned(labels)))
    meta = dict(volume.meta)
    meta |= {
        "name": volume.name,
        "set": volume.set_name,
        "modality": volume.modality,
        "kind": volume.kind,
        "spacing_kji": [float(value) for value in volume.spacing_kji],
        "axes": list(volume.axes),
        "label_names": {str(value): name for value, name in sorted(volume.label_names.items())},
        "label_group": volume.label_group,
        "background_complete": volume.background_complete,
        "subject": volume.subject,
        "shape": list(volume.image.shape),
    }
    (part / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return target


def load_volume(folder: Path) -> TrainingVolume:
    """Open one cached volume; its arrays are memory-mapped and read-only."""
    meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    labelings = {
        path.stem.removeprefix(LABELS_PREFIX): np.load(path, mmap_mode="r")
        for path in sorted(folder.glob(f"{LABELS_PREFIX}*.npy"))
    }
    first, second, third = meta["spacing_kji"]
    return TrainingVolume(
        name=meta["name"],
        set_name=meta["set"],
        modality=meta["modality"],
        kind=meta["kind"],
        spacing_kji=(first, second, third),
        axes=list(meta["axes"]),
        image=np.load(folder / IMAGE_FILE, mmap_mode="r"),
        labelings=labelings,
        label_names={int(value): name for value, name in meta["label_names"].items()},
        label_group=meta["label_group"],
        background_complete=meta["background_complete"],
        subject=meta["subject"],
        meta=meta,
    )


def load_volumes(cache_dir: Path | str) -> list[TrainingVolume]:
    """Open every finished volume of a cache, sorted by name.

    Example:
        >>> volumes = load_volumes("runs/cache")  # doctest: +SKIP
        >>> volumes[0].labelings["regions1"][30]  # doctest: +SKIP
    """
    folders = sorted(path.parent for path in Path(cache_dir).glob(f"*/{META_FILE}"))
    return [load_volume(folder) for folder in folders if not folder.name.startswith(".")]
