"""Fixtures that several test files share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from FewShotSegLib.demo.sample_scan import SampleScan, load_sample_scan
from FewShotSegLib.volume import Volume

# Without it, Slicer's Fill between slices lets the test run crash at exit; see FewShotSegLib/evaluation/fillers.py.
os.environ.setdefault("ITK_GLOBAL_DEFAULT_THREADER", "Platform")

# The same examples at every run: a test that fails must fail for its author, not for whoever runs it next.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class PaintedVolume:
    """An image and its labelmap, on one grid."""

    image: Volume
    labels: Volume


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_scan() -> SampleScan:
    """The real scan that comes with the repository, with the structures of the demo. Read-only: it is shared."""
    return load_sample_scan()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with open and benchmark data, which few machines have; tests that need it are skipped without."""
    folder = Path(os.environ.get("FEWSHOTSEG_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; name one in FEWSHOTSEG_DATA")
    return folder


@pytest.fixture
def a_volume_with_two_spheres() -> PaintedVolume:
    """A noisy volume of 24 x 48 x 40 voxels, 3 x 1.5 x 1.5 mm, with a bright sphere (1) and a dark one (2)."""
    shape, spacing = (24, 48, 40), (1.5, 1.5, 3.0)
    k, j, i = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for value, (ck, cj, ci), radius in ((1, (11, 15, 12), 14.0), (2, (13, 34, 28), 11.0)):
        squared = ((k - ck) * spacing[2]) ** 2 + ((j - cj) * spacing[1]) ** 2 + ((i - ci) * spacing[0]) ** 2
        labels[squared <= radius**2] = value
    intensity = np.array([100.0, 180.0, 40.0], np.float32)[labels]
    intensity += np.random.default_rng(0).normal(0, 8, shape).astype(np.float32)
    image = Volume.from_array(intensity, spacing=spacing, origin=(-30, 12, 5), name="two spheres")
    return PaintedVolume(image, image.with_array(labels, names={1: "bright", 2: "dark"}))
