"""What the IPL+SL network costs, counted in multiply-accumulates."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.matching import SupportSet
from FewShotSegLib.network.model import FewShotNetwork, class_fractions


@pytest.fixture(scope="module")
def network() -> FewShotNetwork:
    return FewShotNetwork().eval().requires_grad_(False)


def gigamacs(work: partial) -> tuple[float, object]:
    """Multiplications with additions, in thousand millions, and what the work gave."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        result = work()
    return counter.get_total_flops() / 2e9, result


def a_support(network: FewShotNetwork, slices: int, segments: int) -> SupportSet:
    """Prototypes of random features under a grid of rectangles."""
    labels = torch.zeros(slices, 256, 256, dtype=torch.long)
    for segment in range(segments):
        row, column = divmod(segment, 4)
        labels[:, 20 + 60 * row : 50 + 60 * row, 20 + 60 * column : 60 + 60 * column] = segment + 1
    c = network.config
    maps = [torch.randn(slices, n, 32, 32) for n in (c.mid_channels, c.high_channels)]
    low = torch.randn(slices, c.separation_channels, 64, 64)
    features = Features(maps[0], maps[1], low, maps[0][:, :1], maps[0][:, :1])
    return network.build_support(features, class_fractions(labels, segments, 4))


@pytest.fixture(scope="module")
def encoding(network: FewShotNetwork) -> tuple[float, Features]:
    """What encoding a slice of 256 x 256 costs, and its features."""
    cost, features = gigamacs(partial(network.encode, torch.rand(1, 1, 256, 256)))
    assert isinstance(features, Features)
    return cost, features


def test_a_slice_costs_at_most_one_and_a_half_gigamacs(
    network: FewShotNetwork, encoding: tuple[float, Features]
) -> None:
    cost, features = encoding
    for segments in (1, 3):
        support = a_support(network, 5, segments)
        rest, prediction = gigamacs(partial(network, features, support))
        assert prediction.logits.shape == (1, segments, 128, 128)  # type: ignore[attr-defined]
        assert 0.3 < cost + rest <= 1.5


def passed(network: FewShotNetwork, encoding: tuple[float, Features], slices: int, segments: int) -> float:
    cost, features = encoding
    return cost + gigamacs(partial(network.match, features, a_support(network, slices, segments)))[0]


def test_the_pass_hardly_grows_with_segments(network: FewShotNetwork, encoding: tuple[float, Features]) -> None:
    assert passed(network, encoding, 1, 13) < 1.05 * passed(network, encoding, 1, 1)


def test_the_pass_hardly_grows_with_examples(network: FewShotNetwork, encoding: tuple[float, Features]) -> None:
    assert passed(network, encoding, 50, 1) < 1.05 * passed(network, encoding, 1, 1)


def test_the_pass_hardly_grows_with_examples_and_segments_together(
    network: FewShotNetwork, encoding: tuple[float, Features]
) -> None:
    assert passed(network, encoding, 50, 13) < 1.10 * passed(network, encoding, 1, 1)
