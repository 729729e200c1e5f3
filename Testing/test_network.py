"""The IPL+SL network: shapes, switches, prototypes by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from FewShotSegLib.evidence import EVIDENCE_CHANNELS, GEODESIC, POSITION, SHAPE
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.interaction import PrototypeInteraction, interaction_losses
from FewShotSegLib.network.matching import MATCH_CHANNELS, Match, SupportSet, strongest_other
from FewShotSegLib.network.model import FewShotNetwork, class_fractions
from FewShotSegLib.network.prototypes import (
    PrototypeSet,
    build_prototypes,
    cell_pool,
    cosine_maps,
    local_maps,
    mean_pool,
    peak_pool,
)
from FewShotSegLib.network.self_learning import confident_masks, mix, separated_maps

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
    return torch.rand(3, SEGMENTS, EVIDENCE_CHANNELS, 32, 48, generator=torch.Generator().manual_seed(2))


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
    whole = network.decode(features, match, None, 1, (0, 8, 0, 12))
    boxed = network.decode(features, match, None, 1, (0, 8, 1, 12))
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
    together = network.decode(features, match, evidence, slice(None), box).logits
    alone = network.decode(features, match, evidence[:, 1:2], 1, box).logits
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
    full, without = network(features, support, evidence), ablated(features, support, evidence)
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
    torch.testing.assert_close(
        ablated(features, support).logits, full.decode(hidden, match, None, slice(None), box).logits
    )


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


# Prototypes


def test_mean_pooling_is_the_weighted_mean() -> None:
    features = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 10.0, 20.0, 30.0]])  # 2 channels, 4 pixels
    masks = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 1.5], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[1.5, 5.0], [3.75, 27.5], [0.0, 0.0]])
    torch.testing.assert_close(mean_pool(features, masks), expected)


def test_peak_pooling_lies_between_the_mean_and_the_maximum() -> None:
    features = torch.tensor([[0.1, 0.9, -0.4, 0.3]])
    masks = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    torch.testing.assert_close(peak_pool(features, masks, 0.0), mean_pool(features, masks))
    assert float(peak_pool(features, masks, 16.0)) == pytest.approx(0.9, abs=1e-3)
    between = [float(peak_pool(features, masks, s)) for s in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)]
    assert between == sorted(between)
    weights = np.exp(2 * np.array([0.1, 0.9, -0.4]))
    assert float(peak_pool(features, masks, 2.0)) == pytest.approx(weights @ [0.1, 0.9, -0.4] / weights.sum())


def test_cells_pool_what_lies_in_them() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    masks = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])[None]
    masks[0, :, 0, 0] = torch.tensor([0.0, 1.0])
    prototypes, weights = cell_pool(features, masks, 2, mean_pool)
    assert prototypes.shape == (1, 2, 4, 1)
    torch.testing.assert_close(prototypes[0, 0, :, 0], torch.tensor([10 / 3, 4.5, 10.5, 12.5]))
    torch.testing.assert_close(prototypes[0, 1, :, 0], torch.tensor([0.0, 0.0, 0.0, 0.0]))
    assert weights[0].tolist() == [[3, 4, 4, 4], [1, 0, 0, 0]]


def test_prototypes_are_pooled_from_standardized_features() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.rand(2, 5, 8, 8, generator=generator) * 4 + 1
    masks = torch.zeros(2, 2, 8, 8)
    masks[:, 1, 2:4, 2:6] = 1
    masks[:, 0] = 1 - masks[:, 1]
    made = build_prototypes(features, masks, 4, mean_pool)
    standard = made.standardize(features)
    torch.testing.assert_close(standard.mean(dim=(0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std(dim=(0, 2, 3)), torch.ones(5), atol=5e-3, rtol=0)
    torch.testing.assert_close(made.overall[1], standard[:, :, 2:4, 2:6].mean(dim=(0, 2, 3)))
    # The segment fills one row of two cells in each slice, the background all cells but these.
    assert (made.local_class == 1).sum() == 4
    assert (made.local_class == 0).sum() == 2 * (16 - 2)


def test_a_structure_of_a_few_pixels_still_has_a_local_prototype() -> None:
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 1, 4, 4] = 0.05
    masks[:, 0] = 1 - masks[:, 1]
    made = build_prototypes(torch.rand(1, 3, 8, 8), masks, 4, mean_pool)
    assert made.present.tolist() == [True, True]
    assert (made.local_class == 1).sum() == 1


def test_local_prototypes_are_capped_and_the_best_filled_are_kept() -> None:
    masks = torch.zeros(30, 2, 8, 8)
    masks[:, 0] = torch.linspace(0.5, 1, 30)[:, None, None]
    made = build_prototypes(torch.rand(30, 3, 8, 8), masks, 4, mean_pool, limit=32)
    assert len(made.local) == 32
    full = build_prototypes(torch.rand(30, 3, 8, 8), masks, 4, mean_pool, limit=1000)
    assert len(full.local) == 30 * 16


def test_cosine_maps_are_cosines() -> None:
    features, prototypes = torch.randn(2, 4, 3, 5), torch.randn(6, 4)
    maps = cosine_maps(features, prototypes)
    assert maps.shape == (2, 6, 3, 5)
    expected = F.cosine_similarity(features[1, :, 2, 3], prototypes[4], dim=0)
    torch.testing.assert_close(maps[1, 4, 2, 3], expected)


def test_local_maps_are_those_of_a_plain_loop() -> None:
    torch.manual_seed(4)
    features = torch.randn(2, 6, 4, 5)
    classes = torch.tensor([0, 0, 0, 1, 1, 3])  # class 2 has no prototype
    local = torch.randn(6, 6)
    prototypes = PrototypeSet(
        torch.zeros(6), torch.ones(6), torch.zeros(4, 6), torch.tensor([True, True, False, True]), local, classes
    )
    own, others = local_maps(features, prototypes, 10.0)
    cosine = cosine_maps(features, local)

    def attended(members: Tensor) -> Tensor:
        if not members.any():
            return -torch.ones(2, 4, 5)
        chosen = cosine[:, members]
        return ((10.0 * chosen).softmax(dim=1) * chosen).sum(dim=1)

    for label in range(4):
        torch.testing.assert_close(own[:, label], attended(classes == label), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(others[:, label], attended(classes != label), rtol=1e-3, atol=1e-3)


# Interaction


def test_a_fresh_interaction_changes_nothing() -> None:
    support, query = torch.randn(4, 8), torch.randn(3, 4, 8)
    mixed = PrototypeInteraction(8)(support, query, torch.rand(3, 4))
    torch.testing.assert_close(mixed, support.expand_as(query))


def test_a_full_push_takes_the_background_out_of_the_foreground() -> None:
    interaction = PrototypeInteraction(8)
    with torch.no_grad():
        interaction.push.fill_(1)
        mixed = interaction(torch.randn(4, 8), torch.randn(3, 4, 8), torch.rand(3, 4))
    torch.testing.assert_close((mixed[:, 1:] * mixed[:, :1]).sum(dim=-1), torch.zeros(3, 3), atol=1e-5, rtol=0)


def test_interaction_losses_pull_within_and_push_between_classes() -> None:
    support = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    present = torch.ones(1, 2, dtype=torch.bool)
    assert float(interaction_losses(support, support[None], present)) == pytest.approx(0)
    alike = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    # background agrees, foreground is orthogonal to its support: 1/2; foreground equals background: 1 - margin
    assert float(interaction_losses(support, alike, present)) == pytest.approx(0.5 + 0.8)
    assert float(interaction_losses(support, alike, torch.tensor([[True, False]]))) == pytest.approx(0)


# Self-learning


def test_confident_pixels_are_those_over_the_thresholds_or_the_best_twelve() -> None:
    foreground = torch.full((8, 8), 0.1)
    foreground[:4, :5] = 0.75  # 20 pixels are certain
    foreground[4] = 0.35  # not certain as either
    sure = confident_masks(torch.stack([1 - foreground, foreground])[None]).unflatten(-1, (8, 8))[0]
    assert torch.equal(sure[1], (foreground > 0.7).float())
    assert torch.equal(sure[0], (foreground < 0.4).float())

    weak = torch.linspace(0, 0.65, 64).reshape(8, 8)
    sure = confident_masks(torch.stack([1 - weak, weak])[None])[0]
    assert sure[1].nonzero()[:, 0].tolist() == list(range(52, 64))
    assert torch.equal(sure[0] > 0, (1 - weak).flatten() > 0.6)


def test_a_map_of_less_than_twelve_pixels_is_learned_from_whole() -> None:
    assert confident_masks(torch.full((1, 2, 2, 3), 0.5)).sum() == 12


def test_support_and_own_prototypes_are_mixed_half_and_half() -> None:
    support, own = torch.tensor([[2.0, 0.0]]), torch.tensor([[[0.0, 4.0]], [[2.0, 2.0]]])
    assert mix(support, own).tolist() == [[[1, 2]], [[2, 1]]]


def test_separation_tells_foreground_from_background_by_the_querys_own_pixels() -> None:
    torch.manual_seed(5)
    features = 0.1 * torch.randn(1, 4, 32, 32)
    truth = torch.zeros(32, 32, dtype=torch.bool)
    truth[8:24, 8:24] = True
    features[0, 0] += torch.where(truth, 1.0, -1.0)
    share = torch.zeros(1, 1, 16, 16)
    share[0, 0, 5:13, 3:11] = 0.9  # found off by a pixel of stride 8 in each direction
    foreground, background = separated_maps(features, share)[0, 0]
    outline = torch.zeros_like(truth)
    outline[5:27, 5:27] = True
    outline[11:21, 11:21] = False
    found = F.interpolate(share, scale_factor=2)[0, 0] > 0.5
    errors_before = (found != truth)[outline].float().mean()
    errors_after = ((foreground > background) != truth)[outline].float().mean()
    assert errors_before > 0.2
    assert errors_after < 0.4 * errors_before
    # where nothing was found near there is no foreground to be like
    assert not foreground[:, 31].any()


def test_separation_is_that_of_a_plain_loop() -> None:
    torch.manual_seed(6)
    features, share = torch.randn(2, 3, 8, 8), torch.rand(2, 2, 4, 4)
    small = F.avg_pool2d(features, 2)
    means = torch.zeros(2, 2, 2, 3, 4, 4)
    for q, s, row, column in product(range(2), range(2), range(4), range(4)):
        rows, columns = slice(max(row - 2, 0), row + 3), slice(max(column - 2, 0), column + 3)
        part = share[q, s, rows, columns]
        for i, weight in enumerate((part, 1 - part)):
            mean = (small[q, :, rows, columns] * weight).sum(dim=(1, 2)) / weight.sum()
            means[q, s, i, :, row, column] = mean / mean.norm()
    unit = features / features.norm(dim=1, keepdim=True)
    for q, s, i in product(range(2), range(2), range(2)):
        fine = F.interpolate(means[q, s, i][None], scale_factor=2, mode="bilinear", align_corners=False)[0]
        expected = (fine * unit[q]).sum(dim=0)
        torch.testing.assert_close(separated_maps(features, share)[q, s, i], expected, rtol=1e-3, atol=1e-3)


def test_the_strongest_other_is_that_of_a_loop() -> None:
    values = torch.randn(2, 4, 3, 3)
    found = strongest_other(values)
    for segment in range(1, 4):
        others = values[:, [c for c in range(4) if c != segment]]
        assert torch.equal(found[:, segment - 1], others.amax(dim=1))
