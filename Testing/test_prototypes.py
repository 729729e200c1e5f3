"""Prototypes, interaction and self-learning of the network, by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from FewShotSegLib.network.interaction import PrototypeInteraction, interaction_losses
from FewShotSegLib.network.matching import strongest_other
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
