"""The sample scan of the repository: a CT of abdomen and pelvis with labels of the larger organs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.volume import Volume

SAMPLE_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"
IMAGE_FILE = "AbdomenCT.nii.gz"
LABELS_FILE = "AbdomenCT.seg.nrrd"

#: Big and small, round and flat, sharp and blurred; each is large enough for its scores to mean something.
DEMO_STRUCTURES = ("liver", "spleen", "right kidney", "left kidney", "stomach", "aorta")
#: Hounsfield units shown as black and as white: the usual window for soft tissue.
SOFT_TISSUE = (-160.0, 240.0)


class SampleScanMissingError(FewShotSegError):
    """The sample scan isn't where it should be; it comes with the repository, not with the installed package."""


@dataclass(frozen=True)
class SampleScan:
    """The scan and the labels of some structures, on one grid; array axis 0 runs from the feet to the head.

    Attributes:
        image: Hounsfield units.
        labels: Labelmap with names and colours; everything else is background.
    """

    image: Volume
    labels: Volume


def load_sample_scan(structures: Sequence[str] = DEMO_STRUCTURES, folder: Path = SAMPLE_FOLDER) -> SampleScan:
    """Read the scan and keep the labels of some structures.

    Args:
        structures: Names as in the labels' file, in the order in which they are to be reported.
        folder: Where the two files are.

    Raises:
        SampleScanMissingError: A file isn't there.
        ValueError: The labels hold no structure of that name.
    """
    for name in (IMAGE_FILE, LABELS_FILE):
        if not (folder / name).is_file():
            raise SampleScanMissingError(
                f"The sample scan was expected at {folder / name}; it comes with the repository, so run the demo in a "
                "clone of it."
            )
    image, labels = Volume.read(folder / IMAGE_FILE), Volume.read(folder / LABELS_FILE)
    value_of = {name: value for value, name in labels.names.items()}
    unknown = [name for name in structures if name not in value_of]
    if unknown:
        raise ValueError(f"The sample scan has no label named {unknown[0]!r}, only {', '.join(value_of)}.")
    values = [value_of[name] for name in structures]
    kept = np.where(np.isin(labels.array, values), labels.array, 0).astype(np.uint8)
    return SampleScan(
        image=image,
        labels=image.with_array(
            kept,
            names={value: labels.names[value] for value in values},
            colors={value: labels.colors[value] for value in values},
            name="reference",
        ),
    )
