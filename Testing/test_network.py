"""The IPL+SL network: shapes, segments, switches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.matching import MATCH_CHANNELS, Match, SupportSet
from FewShotSegLib.network.model import FewShotNetwork, class_fractions
from FewShotSegLib.priors import GEODESIC, POSITION, PRIOR_CHANNELS, SHAPE

SWITCHES = [name for name in NetworkConfig.__dataclass_fields__ if name.startswith("use_")]
SEGMENTS = 3


def lively_network(**switches: bool) -> FewShotNetwork:
    """A network with random weights under which no map fades out and no module is at its neutral start."""
    torch.manual_seed(0)
    network = FewShotNetwork(NetworkConfig(**switches))  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        for interaction in (network.matching.interact_mid, network.matching.interact_high):
            nn.init.normal_(interaction.exchange.weight, 0, 0.1)
            interaction.push.fill_(0.3)
        nn.init.normal_(network.head.condition.weight, 0, 0.05)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> FewShotNetwork:
    return lively_network()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Two support slices and three queries of 64 x 96 pixels."""
    return torch.rand(5, 1, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def labels() -> Tensor:
    """Three segments on two support slices."""
    result = torch.zeros(2, 64, 96, dtype=torch.long)
    result[:, 8:30, 10:40] = 1
    result[:, 30:50, 50:90] = 2
    result[1, 40:60, 8:30] = 3
    return result


@pytest.fixture(scope="module")
def evidence() -> Tensor:
    return torch.rand(3, SEGMENTS, PRIOR_CHANNELS, 32, 48, generator=torch.Generator().manual_seed(2))


def matched(network: FewShotNetwork, images: Tensor, labels: Tensor) -> tuple[Features, SupportSet, Match]:
    features = network.encode(images)
    support = network.build_support(features[:2], class_fractions(labels, SEGMENTS, 4))
    return features[2:], support, network.match(features[2:], support)


# Shapes


def test_maps_have_the_promised_shapes(network: FewShotNetwork, images: Tensor, labels: Tensor) -> None:
    config = network.config
    features, support, match = matched(network, images, labels)
    assert len(features) == 3
    assert features.mid.shape == (3, config.mid_channels, 8, 12)
    assert features.high.shape == (3, config.high_channels, 8, 12)
    assert features.separation.shape == (3, config.separation_channels, 16, 24)
    assert features.low4.shape == (3, config.low_channels[0], 16, 24)
    assert features.low2.shape == (3, config.low_channels[1], 32, 48)
    assert support.classes == SEGMENTS + 1
    assert support.mid.overall.shape == (SEGMENTS + 1, config.mid_channels)
    assert support.high.overall.shape == (SEGMENTS + 1, config.high_channels)
    assert match.maps.shape == (3, SEGMENTS, MATCH_CHANNELS, 8, 12)
    assert match.fine.shape == (3, SEGMENTS, 2, 16, 24)
    assert match.coarse.shape == match.first.shape == (3, SEGMENTS + 1, 8, 12)
    assert match.prototypes.shape == (3, SEGMENTS, config.mid_channels + config.high_channels)


def test_logits_come_at_strides_two_and_eight(
    network: FewShotNetwork, images: Tensor, labels: Tensor, evidence: Tensor
) -> None:
    features, support, _ = matched(network, images, labels)
    for hint in (None, evidence):
        prediction = network(features, support, hint)
        assert prediction.logits.shape == (3, SEGMENTS, 32, 48)
        assert prediction.decoded.coarse.shape == (3, SEGMENTS, 8, 12)
        assert prediction.decoded.separated.shape == (3, SEGMENTS, 2, 16, 24)
        assert prediction.logits.isfinite().all()
        assert prediction.logits.std() > 1e-3


def test_a_box_gives_the_logits_of_the_box(network: FewShotNetwork, images: Tensor, labels: Tensor) -> None:
    features, _, match = matched(network, images, labels)
    whole = network.decode(features, match, network.look(match, None, 1, (0, 8, 0, 12)))
    boxed = network.decode(features, match, network.look(match, None, 1, (0, 8, 1, 12)))
    assert boxed.logits.shape == (3, 1, 32, 44)
    assert boxed.coarse.shape == (3, 1, 8, 11)
    # Away from the box's own border the neighbourhood is the same.
    torch.testing.assert_close(boxed.coarse[..., 5:], whole.coarse[..., 6:], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(boxed.separated[..., 16:], whole.separated[..., 18:], rtol=1e-3, atol=1e-3)


def test_encoder_stages_have_strides_2_to_32() -> None:
    stages = LiteEncoder()(torch.zeros(2, 1, 64, 96))
    assert [tuple(s.shape[1:]) for s in stages] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(LiteEncoder.channels, (2, 4, 8, 16, 32), strict=True)
    ]


def test_class_fractions_sum_to_one(labels: Tensor) -> None:
    fractions = class_fractions(labels, SEGMENTS, 8)
    assert fractions.shape == (2, SEGMENTS + 1, 8, 12)
    torch.testing.assert_close(fractions.sum(dim=1), torch.ones(2, 8, 12))
    assert fractions[0, 1, 1, 2] == 1
    assert fractions[0, 1, 1, 1] == 6 / 8


# Segments


def test_permuting_the_segments_permutes_the_output(
    network: FewShotNetwork, images: Tensor, labels: Tensor, evidence: Tensor
) -> None:
    order = [2, 0, 1]  # new segment n is old segment order[n]
    renumbered = torch.zeros_like(labels)
    for new, old in enumerate(order):
        renumbered[labels == old + 1] = new + 1
    features, support, _ = matched(network, images, labels)
    _, support_renumbered, _ = matched(network, images, renumbered)
    plain = network(features, support, evidence)
    permuted = network(features, support_renumbered, evidence[:, order])
    torch.testing.assert_close(permuted.logits, plain.logits[:, order], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(permuted.match.maps, plain.match.maps[:, order], rtol=1e-3, atol=1e-3)


def test_one_segment_decoded_alone_is_the_same_as_with_the_others(
    network: FewShotNetwork, images: Tensor, labels: Tensor, evidence: Tensor
) -> None:
    features, _, match = matched(network, images, labels)
    box = (0, 8, 0, 12)
    together = network.decode(features, match, network.look(match, evidence, slice(None), box)).logits
    alone = network.decode(features, match, network.look(match, evidence[:, 1:2], 1, box)).logits
    torch.testing.assert_close(alone, together[:, 1:2], rtol=1e-4, atol=1e-4)


def test_a_segment_missing_in_the_support_is_never_matched(network: FewShotNetwork, images: Tensor) -> None:
    labels = torch.zeros(2, 64, 96, dtype=torch.long)
    labels[:, 8:30, 10:40] = 1
    labels[:, 30:50, 50:90] = 3
    _, support, match = matched(network, images, labels)
    assert support.mid.present.tolist() == [True, True, False, True]
    assert (match.coarse.softmax(dim=1)[:, 2] < 1e-6).all()
    assert match.maps.isfinite().all()


# Switches


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_keeps_shapes_and_weights(
    switch: str, network: FewShotNetwork, images: Tensor, labels: Tensor, evidence: Tensor
) -> None:
    ablated = lively_network(**{switch: False})
    ablated.load_state_dict(network.state_dict())
    features, support, _ = matched(network, images, labels)
    full, without = (asked(features, support, evidence, stack=True) for asked in (network, ablated))
    assert without.logits.shape == full.logits.shape
    assert without.match.maps.shape == full.match.maps.shape
    assert without.logits.isfinite().all()
    assert not torch.equal(without.logits, full.logits)


@pytest.mark.parametrize(
    ("switch", "zeroed"),
    [
        # own, others, whole, whole background; then interacted and self-learned (segment, against background)
        ("use_mean_prototypes", [0, 1, 2, 3, 8, 9, 12, 13]),
        ("use_peak_prototypes", [4, 5, 6, 7, 10, 11, 14, 15]),
        ("use_self_learning", [12, 13, 14, 15]),
    ],
)
def test_a_switch_zeroes_its_maps_only(
    switch: str, zeroed: list[int], network: FewShotNetwork, images: Tensor, labels: Tensor
) -> None:
    ablated = lively_network(**{switch: False})
    _, _, match = matched(ablated, images, labels)
    silent = [c for c in range(MATCH_CHANNELS) if not match.maps[:, :, c].any()]
    assert silent == zeroed
    assert all(matched(network, images, labels)[2].maps[:, :, c].any() for c in zeroed)


def test_without_interaction_the_supports_prototypes_are_used_as_they_are(images: Tensor, labels: Tensor) -> None:
    _, support, match = matched(lively_network(use_interaction=False), images, labels)
    plain = torch.cat([support.mid.overall[1:], support.high.overall[1:]], dim=-1)
    torch.testing.assert_close(match.prototypes, plain.expand_as(match.prototypes))


@pytest.mark.parametrize(
    ("switch", "channels"), [("use_shape", SHAPE), ("use_geodesic", GEODESIC), ("use_position", POSITION)]
)
def test_an_evidence_switch_hides_that_evidence_only(
    switch: str, channels: slice, images: Tensor, labels: Tensor, evidence: Tensor
) -> None:
    ablated = lively_network(**{switch: False})
    features, support, _ = matched(ablated, images, labels)
    hidden = evidence.clone()
    hidden[:, :, channels] = 0
    kept = evidence.clone()
    torch.testing.assert_close(
        ablated(features, support, evidence).logits, lively_network()(features, support, hidden).logits
    )
    assert torch.equal(evidence, kept), "the caller's evidence was changed"


def test_the_low_level_switch_hides_boundaries_and_low_level_comparisons(images: Tensor, labels: Tensor) -> None:
    ablated, full = lively_network(use_low_level=False), lively_network()
    features, support, match = matched(ablated, images, labels)
    assert not match.fine.any()
    hidden = replace(features, low4=torch.zeros_like(features.low4), low2=torch.zeros_like(features.low2))
    box = (0, 8, 0, 12)
    looked = full.look(match, None, slice(None), box)
    torch.testing.assert_close(ablated(features, support).logits, full.decode(hidden, match, looked).logits)


@pytest.mark.parametrize(
    ("switch", "zeroed"),
    [
        # of each level: interacted, and its lead over background; self-learned, and its lead
        ("use_mean_prototypes", [0, 1, 2, 3]),
        ("use_peak_prototypes", [4, 5, 6, 7]),
        ("use_self_learning", [2, 3, 6, 7]),
        ("use_separation", [8, 9]),
    ],
)
def test_a_switch_zeroes_its_own_of_the_second_comparisons(
    switch: str, zeroed: list[int], network: FewShotNetwork, images: Tensor, labels: Tensor
) -> None:
    _, _, match = matched(network, images, labels)
    share = torch.rand(3, SEGMENTS, 8, 12, generator=torch.Generator().manual_seed(4))

    def silent(asked: FewShotNetwork) -> list[int]:
        again, separated = asked.matching.again(match, slice(None), (0, 8, 0, 12), share)
        shown = [*again.unbind(dim=2), *separated.unbind(dim=2)]
        return [i for i, maps in enumerate(shown) if not maps.any()]

    assert silent(lively_network(**{switch: False})) == zeroed
    assert silent(network) == []
