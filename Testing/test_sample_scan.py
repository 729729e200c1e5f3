"""The scan that comes with the repository."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib.demo.sample_scan import (
    DEMO_STRUCTURES,
    SAMPLE_FOLDER,
    SampleScan,
    SampleScanMissingError,
    load_sample_scan,
)

MEBIBYTE = 2**20


def listed_checksums() -> dict[str, str]:
    lines = (SAMPLE_FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def test_the_files_have_the_checksums_that_are_stated() -> None:
    for name, digest in listed_checksums().items():
        assert hashlib.sha256((SAMPLE_FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_every_data_file_has_a_checksum() -> None:
    data = {file.name for file in SAMPLE_FOLDER.iterdir()} - {"README.md", "SHA256SUMS"}
    assert data == set(listed_checksums())


def test_image_and_labels_take_at_most_four_megabytes() -> None:
    assert sum((SAMPLE_FOLDER / name).stat().st_size for name in listed_checksums()) <= 4 * MEBIBYTE


def test_source_and_licence_are_stated_beside_the_files() -> None:
    text = (SAMPLE_FOLDER / "README.md").read_text(encoding="utf-8")
    for word in ("TotalSegmentator", "Apache-2.0", "never used in\ntraining", "network's output"):
        assert word in text


def test_image_and_labels_share_a_grid(sample_scan: SampleScan) -> None:
    assert sample_scan.image.same_grid(sample_scan.labels)
    assert sample_scan.image.shape == (112, 101, 122)


def test_the_axes_run_to_the_patients_left_back_and_head(sample_scan: SampleScan) -> None:
    # The demo's picture relies on it.
    assert np.array_equal(sample_scan.image.direction, np.eye(3).ravel())
    value = {name: value for value, name in sample_scan.labels.names.items()}
    center = {name: np.argwhere(sample_scan.labels.array == value[name]).mean(axis=0) for name in DEMO_STRUCTURES}
    assert center["liver"][2] < center["spleen"][2]
    assert center["stomach"][1] < center["left kidney"][1]


def test_the_tutorial_finds_what_it_says_on_the_slices_that_it_names(sample_scan: SampleScan, repository: Path) -> None:
    tutorial = (repository / "README.md").read_text(encoding="utf-8").split("## Tutorial")[1].split("\n## ")[0]
    image, labels = sample_scan.image, sample_scan.labels
    value = {name: value for value, name in labels.names.items()}

    def shows(name: str, superior: int) -> bool:
        k = round((superior - image.origin[2]) / image.spacing[2])
        return bool((labels.array[k] == value[name]).any())

    slices = [int(number) for number in re.findall(r"\*\*S (\d+) mm\*\*", tutorial)]
    assert slices == [349, 394, 304]
    assert [shows("right kidney", superior) for superior in slices] == [True, True, True]
    assert [shows("left kidney", superior) for superior in slices] == [True, True, False]
    (end,) = (int(number) for number in re.findall(r"left kidney ends at S (\d+) mm", tutorial))
    assert shows("left kidney", end)
    assert not shows("left kidney", end - 3)


def test_only_the_structures_asked_for_are_labelled() -> None:
    scan = load_sample_scan(structures=["spleen", "aorta"])
    assert list(scan.labels.names.values()) == ["spleen", "aorta"]
    assert set(np.unique(scan.labels.array)) == {0, *scan.labels.names}
    assert set(scan.labels.colors) == set(scan.labels.names)


def test_every_demo_structure_is_larger_than_ten_millilitres(sample_scan: SampleScan) -> None:
    voxel = np.prod(sample_scan.labels.spacing) / 1000
    for value, name in sample_scan.labels.names.items():
        assert np.count_nonzero(sample_scan.labels.array == value) * voxel > 10, name


def test_an_unknown_structure_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'heart'.*liver"):
        load_sample_scan(structures=["heart"])


def test_a_missing_scan_is_an_error_that_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(SampleScanMissingError, match="comes with the repository"):
        load_sample_scan(folder=tmp_path)


def test_training_never_reads_the_sample_scan(repository: Path) -> None:
    for file in sorted((repository / "FewShotSegLib" / "training").rglob("*.py")):
        assert "SampleData" not in file.read_text(encoding="utf-8"), file.name
