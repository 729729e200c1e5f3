"""Means of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.training.average import main
from FewShotSegLib.weights import checksum, load_network, save_network

CONFIG = NetworkConfig(mid_channels=16, high_channels=24)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"{seed}.safetensors")
        save_network(FewShotNetwork(CONFIG).state_dict(), CONFIG, paths[-1], {})
    return paths


def test_the_mean_of_weights_lies_between_them_by_their_shares(files: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "mean.safetensors"
    assert main([f"{files[0]}=3", str(files[1]), "--output", str(output), "--about", "episodes=12"]) == 0
    first, second, mean = (load_network(path).state_dict() for path in (*files, output))
    name = "head.conv8.weight"
    assert not torch.equal(first[name], second[name])
    torch.testing.assert_close(mean[name], 0.75 * first[name] + 0.25 * second[name], atol=1e-3, rtol=1e-3)
    with safe_open(str(output), framework="pt") as file:
        header = file.metadata()
    assert header["episodes"] == "12"
    assert header["mean_of"] == f"{checksum(files[0])[:8]}:3 {checksum(files[1])[:8]}:1"


def test_weights_of_other_networks_are_not_averaged(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = NetworkConfig(mid_channels=24, high_channels=24)
    path = tmp_path / "other.safetensors"
    save_network(FewShotNetwork(other).state_dict(), other, path, {})
    assert main([str(files[0]), str(path), "--output", str(tmp_path / "mean.safetensors")]) == 1
    assert "mid_channels=24" in capsys.readouterr().err
    assert not (tmp_path / "mean.safetensors").exists()


def test_a_missing_output_folder_is_named(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[0]), "--output", str(tmp_path / "nowhere" / "mean.safetensors")]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "-1", "much"])
def test_a_share_must_be_a_positive_number(files: list[Path], share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"{files[0]}={share}", "--output", "mean.safetensors"])
    assert "expected a positive number" in capsys.readouterr().err
