"""Logits become labels and confidence: merged in their order, boundaries fitted to the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from FewShotSegLib.inference.finish import Layer, merge
from FewShotSegLib.inference.refinement import guided_filter, refined
from FewShotSegLib.preprocessing.frame import Frame


def test_later_layers_replace_earlier_ones_inside_their_frame_only() -> None:
    whole = Layer(Frame(0, 0, 64, 64, 64, 64), [1, 2], torch.full((2, 1, 32, 32), -5.0).half())
    whole.logits[0] = 5.0
    close = Layer(Frame(16, 16, 32, 32, 64, 64), [2], torch.full((1, 1, 32, 32), 9.0).half())
    labels, confidence = np.zeros((1, 64, 64), np.uint8), np.zeros((1, 64, 64), np.float32)
    merge([whole, close], labels, confidence, [7, 30])
    assert set(np.unique(labels[0, 16:48, 16:48])) == {30}
    assert labels[0, 4, 4] == 7
    assert 0.9 < confidence.min() <= 1


def test_chosen_slices_can_be_merged_alone() -> None:
    frame = Frame(0, 0, 8, 8, 8, 8)
    logits = torch.full((1, 5, 4, 4), -5.0)
    logits[0, 3] = 5
    labels, confidence = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.float16)
    merge([Layer(frame, [1], logits)], labels, confidence, [9], slices=[1, 3])
    assert not labels[0].any()
    assert (labels[1] == 9).all()


def test_confidence_falls_where_guided_looks_overrule_the_first_and_labels_stay() -> None:
    first = Layer(Frame(0, 0, 32, 32, 32, 32), [1], torch.full((1, 1, 16, 16), -3.0).half())
    guided = Layer(first.frame, [1], torch.full((1, 1, 16, 16), -3.0).half(), share=0.5)
    guided.logits[..., :8] = 9.0
    labels, confidence = np.zeros((1, 32, 32), np.uint8), np.zeros((1, 32, 32), np.float32)
    bare_labels, bare = labels.copy(), confidence.copy()
    merge([first, guided], labels, confidence, [1], temperature=1.0)
    merge([first, guided], bare_labels, bare, [1])
    np.testing.assert_array_equal(labels, bare_labels)
    assert (labels[0, :, :12] == 1).all()
    assert (labels[0, :, 20:] == 0).all()
    assert bare[0, :, :12].min() > 0.9
    assert confidence[0, :, :12].max() < 0.5 < confidence[0, :, 20:].min()
    np.testing.assert_allclose(confidence[0, :, 20:], bare[0, :, 20:], atol=1e-3)


def test_a_guided_filter_keeps_constants_and_pulls_a_blurred_edge_to_the_images_edge() -> None:
    image = torch.zeros(32, 32)
    image[:, 16:] = 1.0
    assert torch.allclose(guided_filter(image, torch.full((32, 32), 0.3)), torch.tensor(0.3), atol=1e-5)
    blurred = torch.sigmoid((torch.arange(32.0) - 14.0) / 2).expand(32, 32)  # its 0.5 lies at 14, the edge at 15.5
    refined = guided_filter(image, blurred)
    assert refined[16, 15] < blurred[16, 15]
    assert refined[16, 16] - refined[16, 15] > 2 * (blurred[16, 16] - blurred[16, 15])


def test_refined_probabilities_sum_to_one_and_a_strength_of_nothing_changes_nothing() -> None:
    image = torch.rand(24, 24, generator=torch.Generator().manual_seed(1))
    probability = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(2)).softmax(dim=0)
    fitted = refined(image, probability)
    torch.testing.assert_close(fitted.sum(dim=0), torch.ones(24, 24))
    assert (fitted >= 0).all()
    torch.testing.assert_close(refined(image, probability, strength=0.0), probability)


def test_refinement_sharpens_a_boundary_at_the_edge_beside_it_and_leaves_one_without_an_edge() -> None:
    image = torch.zeros(32, 64)
    image[:, 16:32] = 1.0  # an edge at 15.5 in the left half; nothing to be seen about 46
    place = torch.arange(64.0)
    inside = torch.sigmoid((place - 14.0) / 2) * torch.sigmoid((46.5 - place) / 2)
    probability = torch.stack([1 - inside, inside]).unsqueeze(1).expand(2, 32, 64)
    before, after = probability[1, 16], refined(image, probability)[1, 16]
    assert after[16] - after[15] > 2 * (before[16] - before[15])
    assert torch.equal(after[40:] > 0.5, before[40:] > 0.5)


def test_several_predictions_are_averaged_each_segment_over_those_that_are_about_it() -> None:
    frame = Frame(0, 0, 32, 32, 32, 32)

    def layer(member: int, **logits: float) -> Layer:
        segments = [int(name[1:]) for name in logits]
        maps = torch.stack([torch.full((1, 16, 16), value) for value in logits.values()]).half()
        return Layer(frame, segments, maps, member=member)

    def merged(*layers: Layer) -> tuple[int, float]:
        labels, confidence = np.zeros((1, 32, 32), np.uint8), np.zeros((1, 32, 32), np.float32)
        merge(list(layers), labels, confidence, [5, 7])
        return int(labels[0, 16, 16]), float(confidence[0, 16, 16])

    sure, unsure, against = layer(0, s1=4.0), layer(1, s1=1.0), layer(2, s1=-0.5)
    assert merged(sure, unsure, against) == (5, pytest.approx((0.982 + 0.731 + 0.378) / 3, abs=2e-3))
    # The second and third know nothing of the other segment, so they are not against it.
    assert merged(layer(0, s1=-6.0, s2=3.0), layer(1, s1=-6.0), layer(2, s1=-6.0))[0] == 7
