"""Choices between the public interface and the network: supports, sure slices, boxes, merging, refinement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from FewShotSegLib import Volume
from FewShotSegLib.inference.beyond import doubt
from FewShotSegLib.inference.components import in_one_piece, remove_islands
from FewShotSegLib.inference.feature_store import FeatureStore
from FewShotSegLib.inference.frame_pass import _BUDGET, FramePass, Painted, _nearest
from FewShotSegLib.inference.layers import Layer, merge
from FewShotSegLib.inference.pipeline import slices_with
from FewShotSegLib.inference.refinement import Refinement, guided_filter, segments_that_gain
from FewShotSegLib.inference.request import ForeignSlice
from FewShotSegLib.inference.self_painted import (
    certain_pixels,
    halved_gaps,
    sure_slices,
    with_slices,
    with_sure_slices,
)
from FewShotSegLib.inference.support import choose_support
from FewShotSegLib.network.matching import Match
from FewShotSegLib.preprocessing.frame import Frame, body_bounds, frame_around, is_whole
from FewShotSegLib.preprocessing.intensity import in_hounsfield_units, window_of
from FewShotSegLib.preprocessing.views import SliceView, matching_axis, turn_between


def a_disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def a_match(coarse: torch.Tensor) -> Match:
    nothing = torch.zeros(0)
    levels = (coarse, coarse, coarse)
    return Match(
        nothing, nothing, coarse, coarse, levels, nothing, nothing, nothing, nothing, overall=(nothing, nothing)
    )


def test_far_painted_slices_still_speak_for_segments_that_near_ones_lack() -> None:
    masks = np.zeros((7, 4, 4), np.int32)
    masks[:6, 0, 0] = 1
    masks[6, 1, 1] = 2
    painted = Painted([0, 2, 4, 6, 8, 10, 90], masks)
    assert _nearest(painted, [3, 4, 5]) == (0, 1, 2, 3, 4, 6)


def test_many_examples_are_thinned_without_losing_a_segment_or_a_volume() -> None:
    volumes = [Volume.from_array(np.zeros((2, 8, 8), np.int16)) for _ in range(4)]
    foreign = []
    for i in range(60):
        mask = np.zeros((8, 8), np.int32)
        mask[: 1 + i % 5, :4] = 1
        if i == 37:
            mask[6, 6] = 2
        volume = volumes[i % 4]
        image = mask.astype(float)
        foreign.append(ForeignSlice(image, mask, (1.0, 1.0), volume, 0, 0, mask, mask[None], (0, 8, 0, 8)))
    chosen = choose_support(foreign, [1, 2])
    assert len(chosen) <= 27
    assert any((f.mask == 2).any() for f in chosen)
    assert {id(f.volume) for f in chosen} == {id(v) for v in volumes}
    assert choose_support(foreign[:5], [1, 2]) == foreign[:5]


def test_structures_are_doubted_beyond_the_painted_slices_and_the_sooner_the_fewer_slices_a_gap_has() -> None:
    short, tall = doubt([3, 7], 11, 2.0, by_user=True), doubt([30, 70], 110, 20.0, by_user=True)
    assert not short[3:8].any()
    assert not tall[30:71].any()
    assert short[2] > tall[29] > 0
    assert short[8] < short[9] < short[10]
    np.testing.assert_array_equal(short[:3][::-1], short[8:])
    by_looks = doubt([3, 7], 11, 2.0, by_user=False)
    assert by_looks[2] == 0 < by_looks[1] < short[1]


def test_sure_slices_lie_in_the_structures_run_and_leave_unsure_ones_out() -> None:
    labels = np.zeros((30, 32, 32), np.int32)
    labels[10:22] = a_disc(32, 16, 16, 8)
    labels[27] = a_disc(32, 16, 16, 8)
    confidence = np.full(labels.shape, 0.9, np.float32)
    confidence[11] = 0.3
    sure = sure_slices(labels, confidence, 1)
    # Structures may go on by a whole gap between the chosen slices, not by half of one as beyond painted slices.
    assert sure.reach == pytest.approx((sure.positions[-1] - sure.positions[0]) / (len(sure.positions) - 1))
    assert len(sure.positions) == 3
    assert all(12 <= z < 22 for z in sure.positions)
    assert (sure.masks == labels[sure.positions]).all()


def test_only_certain_pixels_of_a_look_are_sources_but_some_of_a_segment_that_is_painted_nowhere() -> None:
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, 0] = 1
    labels[0, 1] = 2
    confidence = np.full(labels.shape, 1.0, np.float16)
    confidence[0, 0] = [0.5, 0.6, 0.7, 0.8]
    confidence[0, 1] = [1, 1, 1, 0.9]
    confidence[0, 2] = 0.9
    certain = certain_pixels(labels, confidence, {1, 2})[0]
    assert certain.tolist() == [[False] * 4, [True, True, True, False], [False] * 4, [True] * 4]
    half = certain_pixels(labels, confidence, {2})[0]
    assert half.tolist() == [[False, False, True, True], [True, True, True, False], [False] * 4, [True] * 4]


def test_sure_slices_join_those_that_are_painted_and_lie_together() -> None:
    painted = Painted([8], np.full((1, 4, 4), 1, np.int32))
    certain = np.zeros((3, 4, 4), bool)
    sure = Painted([2, 8, 14], np.full((3, 4, 4), 2, np.int32), 6.0, certain)
    joined = with_sure_slices(painted, sure)
    assert joined.positions == [2, 8, 14]
    assert joined.masks[:, 0, 0].tolist() == [2, 1, 2]  # what is painted counts
    assert joined.certain is not None
    assert joined.certain[:, 0, 0].tolist() == [False, True, False]
    assert joined.reach == pytest.approx(18)
    assert with_sure_slices(painted, Painted()) is painted


def test_nothing_sure_gives_no_slices() -> None:
    labels = np.zeros((5, 16, 16), np.int32)
    assert sure_slices(labels, np.ones(labels.shape, np.float32), 2).positions == []


def test_gaps_between_painted_slices_are_halved_again_and_again_while_they_hold_a_slice() -> None:
    assert halved_gaps([2, 10, 13], 2) == [[6, 11], [4, 6, 8, 11, 12]]
    assert halved_gaps([2, 4], 2) == [[3]]
    assert halved_gaps([3, 4], 2) == []


def test_slices_that_a_look_saw_join_the_painted_ones() -> None:
    painted = Painted([2, 10, 13], np.stack([np.full((4, 4), v, np.int32) for v in (1, 2, 3)]))
    seen = np.full((1, 4, 4), 7, np.uint8)
    more = with_slices(painted, [6], seen, seen > 7)
    assert more.positions == [2, 6, 10, 13]
    assert more.masks[:, 0, 0].tolist() == [1, 7, 2, 3]
    assert more.certain is not None
    assert more.certain[:, 0, 0].tolist() == [True, False, True, True]
    assert painted.positions == [2, 10, 13]
    assert more.some([1, 3]).positions == [6, 13]
    assert more.some([1, 3]).masks[:, 0, 0].tolist() == [7, 3]


def test_chosen_slices_can_be_merged_alone() -> None:
    frame = Frame(0, 0, 8, 8, 8, 8)
    logits = torch.full((1, 5, 4, 4), -5.0)
    logits[0, 3] = 5
    labels, confidence = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.float16)
    merge([Layer(frame, [1], logits)], labels, confidence, [9], slices=[1, 3])
    assert not labels[0].any()
    assert (labels[1] == 9).all()


def test_boxes_of_many_segments_stay_within_the_budget(a_frame_pass: FramePass) -> None:
    share = torch.zeros(1, 41, 32, 32)
    share[:, 1:] = torch.rand(1, 40, 32, 32, generator=torch.Generator().manual_seed(0)) * 3
    evidence = torch.full((1, 40, 9, 128, 128), -1.0)
    evidence[:, :, 0, :, :] = -0.95  # near enough for the first limit everywhere
    evidence[:, :, 0, 60:68, 60:68] = 0.5
    boxes = a_frame_pass.boxes(a_match(share), evidence, list(range(1, 41)))
    area = sum((b[1] - b[0]) * (b[3] - b[2]) for b in boxes if b is not None)
    assert all(b is not None for b in boxes)
    assert area <= _BUDGET * 32 * 32


@pytest.fixture
def a_frame_pass() -> FramePass:
    frame = Frame(0, 0, 256, 256, 256, 256)
    window = window_of(np.arange(10.0))
    stack = np.zeros((1, 256, 256), np.float32)
    return FramePass(None, stack, 1.0, (1.0, 1.0), frame, window, torch.device("cpu"), FeatureStore())  # type: ignore[arg-type]


def test_later_layers_replace_earlier_ones_inside_their_frame_only() -> None:
    whole = Layer(Frame(0, 0, 64, 64, 64, 64), [1, 2], torch.full((2, 1, 32, 32), -5.0).half())
    whole.logits[0] = 5.0
    close = Layer(Frame(16, 16, 32, 32, 64, 64), [2], torch.full((1, 1, 32, 32), 9.0).half())
    labels, confidence = np.zeros((1, 64, 64), np.uint8), np.zeros((1, 64, 64), np.float32)
    merge([whole, close], labels, confidence, [7, 30])
    assert set(np.unique(labels[0, 16:48, 16:48])) == {30}
    assert labels[0, 4, 4] == 7
    assert 0.9 < confidence.min() <= 1


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


def test_slices_with_a_likely_segment_bring_their_neighbours() -> None:
    logits = torch.full((12, 4, 4), -9.0)
    logits[6, 1, 1] = 0.0
    assert slices_with(logits) == [4, 5, 6, 7, 8]


def test_a_guided_filter_keeps_constants_and_pulls_a_blurred_edge_to_the_images_edge() -> None:
    image = torch.zeros(32, 32)
    image[:, 16:] = 1.0
    assert torch.allclose(guided_filter(image, torch.full((32, 32), 0.3)), torch.tensor(0.3), atol=1e-5)
    blurred = torch.sigmoid((torch.arange(32.0) - 14.0) / 2).expand(32, 32)  # its 0.5 lies at 14, the edge at 15.5
    refined = guided_filter(image, blurred)
    assert refined[16, 15] < blurred[16, 15]
    assert refined[16, 16] - refined[16, 15] > 2 * (blurred[16, 16] - blurred[16, 15])


def test_refined_probabilities_sum_to_one_and_untouched_segments_keep_theirs() -> None:
    image = torch.rand(24, 24, generator=torch.Generator().manual_seed(1))
    probability = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(2)).softmax(dim=0)
    refined = Refinement([1])(image, probability)
    assert torch.allclose(refined.sum(dim=0), torch.ones(24, 24), atol=1e-5)
    assert (refined >= 0).all()
    assert torch.equal(Refinement([])(image, probability), probability)


def test_refinement_is_for_structures_with_an_edge_not_for_those_beside_another_ones() -> None:
    mask = np.zeros((96, 96), np.int32)
    mask[a_disc(96, 30, 30, 14)] = 1  # bright disc: its edge is in the image
    mask[a_disc(96, 64, 64, 14)] = 2  # no edge of its own, but a bright ring two pixels further out
    image = torch.from_numpy((mask == 1).astype(np.float32))
    image[torch.from_numpy(a_disc(96, 64, 64, 18) & ~a_disc(96, 64, 64, 16))] = 1.0
    chosen = segments_that_gain([image], [mask], 2, shrink=0.4)
    assert 1 in chosen
    assert 2 not in chosen


@pytest.mark.parametrize("spacing", [(0.4, 0.4), (1.5, 1.5), (3.0, 0.8)])
def test_frames_have_isotropic_pixels_and_sides_the_network_takes(spacing: tuple[float, float]) -> None:
    frame = frame_around((10, 60, 20, 90), spacing)
    assert frame.height % 32 == frame.width % 32 == 0
    assert max(frame.height, frame.width) <= 256
    assert frame.rows * spacing[0] / frame.height == pytest.approx(frame.columns * spacing[1] / frame.width, rel=0.1)
    assert frame.top <= 10 + 2
    assert frame.top + frame.rows >= 60 - 2


@pytest.mark.parametrize("place", [(40, 30), (6, 72)])
def test_what_is_cut_from_a_frame_and_pasted_back_lies_where_it_was(place: tuple[int, int]) -> None:
    row, column = place
    plane = a_disc(80, row, column, 12).astype(np.float32)
    frame = frame_around((row - 20, row + 20, column - 20, column + 20), (1.0, 1.0))
    there, (rows, columns) = frame.paste(frame.cut(plane[None]), (80, 80))
    back = np.zeros_like(plane)
    back[rows, columns] = there[0]
    assert there.shape[1:] == back[rows, columns].shape
    assert ((back > 0.5) != (plane > 0.5)).sum() < 0.02 * plane.sum()


def test_slices_of_a_turned_copy_are_laid_as_the_originals() -> None:
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    original = Volume.from_array(array)
    mirrored = Volume.from_array(array[:, ::-1, :].copy(), direction=(1, 0, 0, 0, -1, 0, 0, 0, 1))
    turned = Volume.from_array(array.transpose(0, 2, 1).copy(), direction=(0, 1, 0, 1, 0, 0, 0, 0, 1))
    view = SliceView(original, 0)
    for other in (mirrored, turned):
        source = SliceView(other, matching_axis(other, view))
        turn = turn_between(source, view)
        assert (turn(source.array[2]) == view.array[2]).all()


def test_bodies_are_found_and_known_to_be_whole_or_cut() -> None:
    stack = np.full((3, 64, 64), -1000, np.int16)
    stack[:, a_disc(64, 32, 30, 20)] = 40
    bounds = body_bounds(stack)
    assert bounds == pytest.approx((13, 52, 11, 50), abs=2)
    assert is_whole(bounds, (64, 64))
    assert not is_whole((0, 64, 0, 64), (64, 64))


def test_hounsfield_units_are_told_from_other_scales() -> None:
    assert in_hounsfield_units(np.array([-1024, 40, 900]))
    assert not in_hounsfield_units(np.array([0, 255]))
    assert not in_hounsfield_units(np.array([-32768, 40]))


def test_islands_go_where_the_examples_show_one_piece_and_stay_where_they_show_many() -> None:
    one, many = a_disc(40, 20, 20, 8), a_disc(40, 8, 8, 3) | a_disc(40, 30, 30, 3)
    masks = [np.where(one, 5, 0), np.where(many, 9, 0)]
    assert in_one_piece(masks, [5, 9]) == [5]

    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1:5, one] = 5
    labels[3, 35:37, 35:37] = 5
    confidence = np.full(labels.shape, 0.9, np.float32)
    remove_islands(labels, confidence, [5, 7])
    assert (labels[1:5, one] == 5).all()
    assert not labels[3, 35:37, 35:37].any()
    assert confidence[3, 35, 35] == pytest.approx(0.1)


def test_pieces_of_like_size_both_stay() -> None:
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[:, a_disc(40, 10, 10, 6) | a_disc(40, 30, 30, 4)] = 1
    before = labels.copy()
    remove_islands(labels, np.ones(labels.shape, np.float32), [1])
    assert (labels == before).all()
