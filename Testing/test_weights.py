"""Weights files: written, read back, and refused when something is wrong with them."""

from __future__ import annotations

import pickletools
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from FewShotSegLib.errors import FewShotSegError, WeightsError
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.weights import BUNDLED, checksum, checksum_file, load_network, save_network

CONFIG = NetworkConfig(mid_channels=16, high_channels=24)
LARGEST = 25 * 2**20
needs_weights = pytest.mark.skipif(not BUNDLED.is_file(), reason="the bundled weights are not in this checkout yet")


@pytest.fixture(scope="module")
def a_network() -> FewShotNetwork:
    torch.manual_seed(0)
    return FewShotNetwork(CONFIG).eval()


@pytest.fixture
def weights(a_network: FewShotNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    save_network(a_network.state_dict(), CONFIG, path, {"episodes": "12"})
    return path


def test_weights_come_back_with_their_configuration(a_network: FewShotNetwork, weights: Path) -> None:
    network = load_network(weights)
    assert network.config == CONFIG
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    for key, value in a_network.state_dict().items():
        loaded = network.state_dict()[key]
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(loaded, value.half().float(), rtol=0, atol=0)


def test_a_file_says_what_it_is_and_leaves_nothing_beside_it_but_a_checksum(weights: Path) -> None:
    with safe_open(str(weights), framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "fewshotseg-1"
    assert metadata["episodes"] == "12"
    assert sorted(p.name for p in weights.parent.iterdir()) == [weights.name, checksum_file(weights).name]
    assert checksum_file(weights).read_text() == f"{checksum(weights)}  {weights.name}\n"


def test_modules_can_be_switched_off_when_loading(weights: Path) -> None:
    network = load_network(weights, use_geodesic=False)
    assert not network.config.use_geodesic
    assert network.config.use_shape


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"No weights at .*nothing\.safetensors"):
        load_network(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("kept", [0, 5, 1000, 100_000])
def test_truncated_weights_are_refused(weights: Path, kept: int) -> None:
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="truncated or altered"):
        load_network(weights)
    checksum_file(weights).unlink()
    with pytest.raises(WeightsError, match="truncated or no safetensors"):
        load_network(weights)


def test_altered_weights_are_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_network(weights)


def test_bundled_weights_need_their_checksum(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("FewShotSegLib.weights.BUNDLED", weights)
    assert load_network().config == CONFIG
    checksum_file(weights).unlink()
    with pytest.raises(WeightsError, match="checksum"):
        load_network()
    assert load_network(weights).config == CONFIG


def test_weights_of_another_format_are_refused(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file(load_file(weights), other)
    with pytest.raises(WeightsError, match=r"format None, expected 'fewshotseg-1'"):
        load_network(other)


def test_a_pickle_is_refused_without_being_run(tmp_path: Path, a_network: FewShotNetwork) -> None:
    path = tmp_path / "pickle.safetensors"
    torch.save(a_network.state_dict(), path)
    with pytest.raises(WeightsError, match="no safetensors"):
        load_network(path)


def test_weights_that_do_not_fit_the_network_are_refused(a_network: FewShotNetwork, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_network(a_network.state_dict(), NetworkConfig(mid_channels=20, high_channels=24), path, {})
    with pytest.raises(WeightsError, match="doesn't fit the network"):
        load_network(path)


def test_every_weights_error_is_one_of_the_package() -> None:
    assert issubclass(WeightsError, FewShotSegError)


def test_the_full_network_stays_under_25_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    save_network(FewShotNetwork().state_dict(), NetworkConfig(), path, {})
    assert path.stat().st_size < LARGEST


def test_a_file_holds_no_pickle(weights: Path) -> None:
    for path in [weights, *([BUNDLED] if BUNDLED.is_file() else [])]:
        header = path.read_bytes()[:16]
        assert header[8:9] == b"{"  # safetensors: the header's length, then the header as JSON
        with pytest.raises(ValueError):
            list(pickletools.genops(header))


@needs_weights
def test_the_bundled_weights_load_and_are_small() -> None:
    network = load_network()
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert BUNDLED.stat().st_size < LARGEST
