"""Benchmark data sets: where their cases lie and what their labels mean.

The folder handed over on the command line holds ``benchmark/<SET>/<case>_image.nii.gz``, ``<case>_label.nii.gz`` and
``dataset.json``. A further set in that layout needs one line in `DATASETS`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from FewShotSegLib.volume import Volume


class DatasetNotFoundError(FileNotFoundError):
    """A benchmark data set, or one of its cases, is not in the data folder."""


@dataclass(frozen=True)
class DatasetSpec:
    """What the benchmark needs to know about a set beyond its files.

    Attributes:
        name: Folder name below ``benchmark/``.
        ep1_labels: Labels that the field's own one-shot protocol (EP1) reports.
        correction_target: Mean Dice at which corrections (C) end.
    """

    name: str
    ep1_labels: tuple[int, ...]
    correction_target: float = 0.90


DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec("CHAOS_T2", ep1_labels=(1, 2, 3, 4)),
        DatasetSpec("SABS_CT", ep1_labels=(1, 2, 3, 6), correction_target=0.80),
        DatasetSpec("CMR_bSSFP", ep1_labels=(1, 2, 3)),
    )
}


class Dataset:
    """One benchmark data set on disk. Slices are counted along array axis 0.

    Example:
        >>> dataset = Dataset(Path("data"), DATASETS["CHAOS_T2"])
        >>> image, label = dataset.image(dataset.cases[0]), dataset.label(dataset.cases[0])
    """

    def __init__(self, root: Path, spec: DatasetSpec) -> None:
        """Opens the set.

        Args:
            root: Data folder that holds ``benchmark/``.
            spec: One of `DATASETS`.

        Raises:
            DatasetNotFoundError: The folder has no such set.
        """
        self.spec = spec
        self.folder = Path(root) / "benchmark" / spec.name
        description = self.folder / "dataset.json"
        if not description.is_file():
            raise DatasetNotFoundError(f"Data set {spec.name} not found: there is no {description}.")
        labels = json.loads(description.read_text(encoding="utf-8"))["labels"]
        self.names: dict[int, str] = {int(value): str(name) for value, name in labels.items()}

    @property
    def cases(self) -> list[str]:
        """Names of all cases that have an image and a label, sorted."""
        suffix = "_image.nii.gz"
        found = (path.name.removesuffix(suffix) for path in self.folder.glob(f"*{suffix}"))
        return sorted(case for case in found if self._path(case, "label").is_file())

    def image(self, case: str) -> Volume:
        """Reads the image of a case; array (k, j, i)."""
        return self._read(case, "image")

    def label(self, case: str) -> Volume:
        """Reads the reference labelmap of a case; array (k, j, i) on the image's grid."""
        return self._read(case, "label")

    def _path(self, case: str, kind: str) -> Path:
        return self.folder / f"{case}_{kind}.nii.gz"

    def _read(self, case: str, kind: str) -> Volume:
        path = self._path(case, kind)
        if not path.is_file():
            raise DatasetNotFoundError(f"Case {case} of {self.spec.name} has no {kind}: {path} is missing.")
        return Volume.read(path)


def open_dataset(root: Path, name: str) -> Dataset:
    """Opens a data set by name.

    Args:
        root: Data folder that holds ``benchmark/``.
        name: Key of `DATASETS`.

    Raises:
        KeyError: No such data set is known.
        DatasetNotFoundError: It is known, but not in the folder.
    """
    if name not in DATASETS:
        raise KeyError(f"Unknown data set {name!r}; known are {', '.join(DATASETS)}.")
    return Dataset(root, DATASETS[name])
