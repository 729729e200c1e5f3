"""Input that can't be used: each a clear error of the package, raised before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from FewShotSegLib.errors import (
    DeviceError,
    ExampleError,
    FewShotSegError,
    GeometryError,
    ReadError,
    SettingError,
    VolumeError,
    WeightsError,
)
from FewShotSegLib.example import Example
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.segmenter import Segmenter, choose_device
from FewShotSegLib.volume import Volume
from FewShotSegLib.weights import save_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = NetworkConfig(mid_channels=16, high_channels=24)
    path: Path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_network(FewShotNetwork(config).state_dict(), config, path, {})
    return path


@pytest.fixture(scope="module")
def segmenter(weights: Path) -> Segmenter:
    return Segmenter(device="cpu", weights=weights)


@pytest.fixture
def image() -> Volume:
    return Volume.from_array(np.random.default_rng(0).random((6, 20, 24)) * 100, name="scan")


@pytest.fixture
def labels(image: Volume) -> Volume:
    array = np.zeros(image.shape, np.uint8)
    array[1:4, 5:12, 6:14] = 1
    return image.with_array(array, name="painted")


def never(stage: str, done: int, total: int) -> None:
    raise AssertionError(f"work was begun ({stage}) although the input can't be used")


# Queries


def test_a_query_of_one_slice_is_refused(segmenter: Segmenter, image: Volume, labels: Volume) -> None:
    for axis in range(3):
        thin = Volume.from_array(np.take(image.array, [2], axis))
        with pytest.raises(VolumeError, match="one slice only"):
            segmenter.segment(thin, Example.from_labelmap(image, labels), never)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_with_nan_or_infinite_voxels_is_refused(
    segmenter: Segmenter, image: Volume, labels: Volume, value: float
) -> None:
    broken = image.array.copy()
    broken[3, 4, 5] = value
    with pytest.raises(VolumeError, match="1 NaN or infinite"):
        segmenter.segment(image.with_array(broken), Example.from_labelmap(image, labels), never)


@pytest.mark.parametrize("shape", [(2, 6, 20, 24), (20, 24), (6, 20, 24, 3), (0, 20, 24)])
def test_arrays_that_are_no_volume_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(VolumeError, match="expected"):
        Volume.from_array(np.zeros(shape))


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"this is no image")
    with pytest.raises(ReadError, match=r"scan\.nii\.gz"):
        Volume.read(path)


# Examples


def test_no_examples_are_refused(segmenter: Segmenter, image: Volume) -> None:
    with pytest.raises(ExampleError, match="no examples"):
        segmenter.segment(image, [], never)


def test_empty_masks_are_refused(segmenter: Segmenter, image: Volume) -> None:
    empty = Example(image, 0, 2, np.zeros((20, 24), np.uint8))
    with pytest.raises(ExampleError, match="all masks are empty"):
        segmenter.segment(image, [empty], never)
    with pytest.raises(ExampleError, match="all background"):
        Example.from_labelmap(image, np.zeros(image.shape, np.uint8))


def test_labels_on_another_grid_are_refused(image: Volume, labels: Volume) -> None:
    moved = Volume.from_array(labels.array, origin=(0, 0, 40))
    with pytest.raises(GeometryError, match="origin"):
        Example.from_labelmap(image, moved)
    with pytest.raises(GeometryError, match="different grids: size"):
        Example.from_labelmap(image, Volume.from_array(labels.array[:, :, :-1], origin=(0.5, 0, 0)))


@pytest.mark.parametrize("index", [-1, 6, 1000])
def test_a_slice_outside_the_volume_is_refused(image: Volume, labels: Volume, index: int) -> None:
    with pytest.raises(ExampleError, match="expected 0 to 5"):
        Example.from_labelmap(image, labels, slices=[2, index])


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0, 1e6])
def test_values_that_are_no_labels_are_refused(image: Volume, labels: Volume, value: float) -> None:
    array = labels.array.astype(np.float32)
    array[2, 6, 7] = value
    with pytest.raises(ExampleError, match="no label"):
        Example.from_labelmap(image, image.with_array(array))


def test_a_swapped_image_and_labelmap_are_noticed(image: Volume, labels: Volume) -> None:
    with pytest.raises(ExampleError, match="swapped"):
        Example.from_labelmap(labels, image)


def test_things_that_are_no_examples_are_refused(segmenter: Segmenter, image: Volume, labels: Volume) -> None:
    with pytest.raises(ExampleError, match="expected Example"):
        segmenter.segment(image, [labels], never)  # type: ignore[list-item]


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_refinement_stronger_than_full_or_weaker_than_none_is_refused(
    segmenter: Segmenter, image: Volume, labels: Volume, strength: float
) -> None:
    with pytest.raises(SettingError, match="expected 0"):
        segmenter.segment(image, Example.from_labelmap(image, labels), never, refine=strength)


def test_an_unknown_quality_is_refused(segmenter: Segmenter, image: Volume, labels: Volume) -> None:
    with pytest.raises(SettingError, match="'superb', expected fast or best"):
        segmenter.segment(image, Example.from_labelmap(image, labels), never, quality="superb")


# Devices


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "meta", "mps", "cpu cpu"])
def test_an_unknown_device_is_refused(weights: Path, name: str) -> None:
    with pytest.raises(DeviceError, match="expected auto, cpu, cuda"):
        Segmenter(device=name, weights=weights)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_is_refused_where_there_is_none(weights: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="0 CUDA devices"):
        Segmenter(device=name, weights=weights)
    assert choose_device("auto") == torch.device("cpu")


def test_a_cuda_device_that_is_one_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="2 CUDA devices"):
        choose_device("cuda:2")


# Weights


def test_weights_that_are_not_there_or_broken_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No weights"):
        Segmenter(device="cpu", weights=tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="truncated"):
        Segmenter(device="cpu", weights=broken)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Segmenter(device="nonsense"),
        lambda: Segmenter(device="cpu", weights="nowhere.safetensors"),
        lambda: Volume.read("nowhere.nii.gz"),
        lambda: Volume.from_array(np.zeros((3, 3))),
        lambda: Example.from_labelmap(Volume.from_array(np.zeros((3, 3, 3))), np.zeros((3, 3, 3))),
    ],
)
def test_all_can_be_caught_as_one_type_with_a_message(make: Callable[[], object]) -> None:
    with pytest.raises(FewShotSegError) as caught:
        make()
    assert len(str(caught.value)) > 30
