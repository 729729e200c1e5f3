"""How training slices are painted, and what is known of them then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from FewShotSegLib.inference.completeness import looks_like_strokes
from FewShotSegLib.inference.query import Support
from FewShotSegLib.preprocessing.views import SliceView
from FewShotSegLib.training.losses import size_error
from FewShotSegLib.training.painting import (
    ONE_BY_ONE,
    STROKES,
    UNKNOWN,
    WHOLE,
    Cut,
    completed,
    crossing_slices,
    draw_cuts,
    known_ends,
    one_by_one,
    paint,
    shown_across,
    stroked_only,
    with_strokes,
)
from FewShotSegLib.volume import Volume

SEEDS = range(12)


def three_slices() -> Tensor:
    """(3, 96, 96): a large and a small rectangle; the small one is missing on the first slice."""
    labels = torch.zeros(3, 96, 96, dtype=torch.long)
    labels[:, 20:60, 20:50] = 1
    labels[1:, 30:50, 60:76] = 2
    return labels


def a_stack() -> Tensor:
    """(20, 64, 64): a block on slices 5 to 14."""
    labels = torch.zeros(20, 64, 64, dtype=torch.long)
    labels[5:15, 20:40, 24:44] = 1
    return labels


# Strokes


@pytest.mark.parametrize("seed", SEEDS)
def test_strokes_are_thin_right_and_leave_the_rest_unknown(seed: int) -> None:
    labels = three_slices()
    stroked = with_strokes(np.random.default_rng(seed), labels)
    painted = stroked > 0
    assert torch.equal(stroked[painted], labels[painted])
    # Background is painted, or taken for it far away, as the engine does, which is wrong beside a short stroke.
    assert set(stroked.unique().tolist()) == {UNKNOWN, 0, 1, 2}
    assert float((labels[stroked == 0] > 0).float().mean()) < 0.1
    for segment in (1, 2):
        assert 0 < int((stroked == segment).sum()) < 0.6 * int((labels == segment).sum())


def test_the_engine_takes_these_strokes_for_strokes() -> None:
    labels = three_slices()
    volume = Volume(np.random.default_rng(0).normal(100, 10, (3, 96, 96)).astype(np.float32))
    stroked = with_strokes(np.random.default_rng(0), labels).numpy()
    assert looks_like_strokes(Support(SliceView(volume, 0), 1, stroked[1], {}))


def test_a_segment_that_is_too_small_for_a_stroke_is_painted_whole() -> None:
    labels = three_slices()
    labels[2, 80:83, 80:83] = 3
    stroked = with_strokes(np.random.default_rng(1), labels)
    assert torch.equal(stroked == 3, labels == 3)


def test_strokes_that_are_not_completed_say_nothing_of_the_shape() -> None:
    stroked = with_strokes(np.random.default_rng(1), three_slices())
    painting = stroked_only(stroked, 2)
    assert painting.uncompleted
    assert not painting.complete.any()
    assert np.isnan(painting.knowledge([2, 8, 14], 1.0).reach).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_completed_strokes_keep_the_strokes_and_know_nothing_of_what_has_none(seed: int) -> None:
    labels = three_slices()
    rng = np.random.default_rng(seed)
    stroked = with_strokes(rng, labels)
    stroked[2][stroked[2] == 2] = UNKNOWN
    painting = completed(rng, labels, stroked, 2)
    painted = stroked >= 0
    assert painting.certain is not None
    assert torch.equal(painting.labels[painted], stroked[painted])
    assert painting.certain[painted].all()
    assert painting.complete.tolist() == [[True, False], [True, True], [True, False]]
    assert not (painting.labels[2] == 2).any()
    assert (painting.labels[2] == UNKNOWN).any()
    assert not painting.uncompleted


# One structure after the other


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_painted_one_by_one_is_right_and_what_was_left_out_is_unknown_or_overlooked(seed: int) -> None:
    labels = three_slices()
    painting = one_by_one(np.random.default_rng(seed), labels, 2)
    for row in range(3):
        for segment in (1, 2):
            inside = labels[row] == segment
            found = painting.labels[row][inside]
            if painting.complete[row, segment - 1]:
                assert (found == segment).all()
            elif inside.any():
                assert (found == UNKNOWN).all() or (found == 0).all()
    assert set(painting.labels.unique().tolist()) >= {1, 2}


def test_one_by_one_every_structure_has_slices_of_its_own_and_a_reach_of_its_own() -> None:
    labels = three_slices()[1:2].repeat(6, 1, 1)
    reaches = set()
    for seed in SEEDS:
        painting = one_by_one(np.random.default_rng(seed), labels, 2)
        assert painting.complete.any(axis=0).all()
        known = painting.knowledge([0, 2, 4, 6, 8, 30], 2.0)
        for segment in range(2):
            places = np.array([0, 2, 4, 6, 8, 30])[painting.complete[:, segment]]
            wanted = np.ptp(places) / (len(places) - 1) if len(places) > 1 else np.nan
            np.testing.assert_allclose(known.reach[segment], wanted)
        reaches.add(tuple(known.reach))
    assert len(reaches) > 1


def test_slices_painted_whole_are_known_everywhere() -> None:
    labels = three_slices()
    for seed in SEEDS:
        painting = paint(np.random.default_rng(seed), WHOLE, labels, 2, seen=False)
        assert painting.complete.all()
        assert painting.certain is None
        assert painting.labels.min() == 0
    assert paint(np.random.default_rng(0), WHOLE, labels, 2, seen=True).certain is not None
    assert torch.equal(labels, three_slices())  # what is there stays as it is


@pytest.mark.parametrize("way", [STROKES, ONE_BY_ONE, WHOLE])
def test_painting_changes_nothing_of_what_is_there(way: str) -> None:
    labels = three_slices()
    for seed in SEEDS:
        paint(np.random.default_rng(seed), way, labels, 2, seen=way == WHOLE)
    assert torch.equal(labels, three_slices())


# Across the stack


def test_slices_across_the_stack_cut_the_structure() -> None:
    stack = a_stack()
    for seed in SEEDS:
        along, cuts = draw_cuts(np.random.default_rng(seed), stack == 1)
        assert 0 <= along <= 3
        assert 1 <= len(cuts) <= 2
        for cut, crossing in zip(cuts, crossing_slices(cuts, stack, 1), strict=True):
            assert (crossing.labels == 1).any()
            assert crossing.dim == cut.dim
            assert crossing.complete.all()


def test_a_slice_through_the_middle_tells_where_a_structure_ends_and_one_at_its_border_does_not() -> None:
    stack = a_stack()
    stack[9, 19, 33] = 1  # a corner that a slice may graze
    ends = known_ends([Cut(1, 30)], stack, [9], 1)
    # first and last slices are 5 and 14: the end lies as far beyond them as the painted slice lies inside, and a bit
    np.testing.assert_allclose(ends, [[2 * 4.5 - 9 - 0.25, 2 * 14.5 - 9 + 0.25]])
    assert np.isnan(known_ends([Cut(1, 19)], stack, [9], 1)).all()
    assert np.isnan(known_ends([Cut(1, 30)], stack, [], 1)).all()


def test_a_slice_across_is_shown_with_square_pixels_and_unknown_beyond_the_stack() -> None:
    stack = a_stack()
    image, labels = shown_across(Cut(2, 30), stack.float(), stack, 2.0)
    assert image.shape == labels.shape == (64, 64)
    rows, columns = np.nonzero((labels == 1).numpy())
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 20)  # ten slices of two pixels each
    assert int((labels == UNKNOWN).sum()) == (64 - 40) * 64
    tall, found = shown_across(Cut(2, 30), stack.float(), stack, 6.0)
    assert tall.shape == (64, 64)
    assert (found != UNKNOWN).all()
    assert (found == 1).any()


# Areas


def test_the_error_of_areas_by_hand() -> None:
    target = torch.zeros(2, 3, 2, 2)
    target[0, 1], target[1, 0] = 1, 1  # segment 1 fills the first query; the second shows nothing
    probability = torch.zeros(2, 3, 2, 2)
    probability[0, 1], probability[1, 1] = 0.5, 0.25
    probability[0, 0], probability[1, 0] = 0.5, 0.75
    assert float(size_error(probability, target)) == pytest.approx((2 + 1) / (4 + 1))
    assert float(size_error(target, target)) == 0
    assert float(size_error(probability, torch.zeros(2, 3, 2, 2))) == 0
