"""Pseudo-labels: which slices of a first pass guide the next one, and how far they are believed."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib.inference.labelled_slices import LabelledSlices
from FewShotSegLib.inference.pseudo_labels import (
    certain_pixels,
    halved_gaps,
    sure_slices,
    with_slices,
    with_sure_slices,
)
from FewShotSegLib.priors import Knowledge


def a_disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def the_labelled(
    positions: list[int], labels: np.ndarray, reach: float | None = None, certain: np.ndarray | None = None
) -> LabelledSlices:
    """Slices that show segments 1 and 2 whole."""
    return LabelledSlices(positions, labels, Knowledge.everything(len(positions), 2, reach), certain)


def test_sure_slices_lie_in_the_structures_run_and_leave_unsure_ones_out() -> None:
    labels = np.zeros((30, 32, 32), np.int32)
    labels[10:22] = a_disc(32, 16, 16, 8)
    labels[27] = a_disc(32, 16, 16, 8)
    confidence = np.full(labels.shape, 0.9, np.float32)
    confidence[11] = 0.3
    sure = sure_slices(labels, confidence, 1)
    # Structures may go on by a whole gap between the chosen slices, not by half of one as beyond painted slices.
    assert sure.known.reach == pytest.approx((sure.positions[-1] - sure.positions[0]) / (len(sure.positions) - 1))
    assert len(sure.positions) == 3
    assert all(12 <= z < 22 for z in sure.positions)
    assert (sure.labels == labels[sure.positions]).all()


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


def test_nothing_sure_gives_no_slices() -> None:
    labels = np.zeros((5, 16, 16), np.int32)
    assert sure_slices(labels, np.ones(labels.shape, np.float32), 2).positions == []


def test_gaps_between_painted_slices_are_halved_again_and_again_while_they_hold_a_slice() -> None:
    assert halved_gaps([2, 10, 13], 2) == [[6, 11], [4, 6, 8, 11, 12]]
    assert halved_gaps([2, 4], 2) == [[3]]
    assert halved_gaps([3, 4], 2) == []


def test_sums_over_large_structures_do_not_overflow_so_that_their_surest_slices_are_chosen() -> None:
    # In half precision 90000 pixels of sureness 1 add up to infinity.
    labels = np.zeros((12, 320, 320), np.uint8)
    labels[1:11, 10:310, 10:310] = 1
    confidence = np.full(labels.shape, 0.8, np.float16)
    confidence[[2, 6, 9]] = 0.95
    assert sure_slices(labels, confidence, 1).positions == [2, 6, 9]


def test_sure_slices_join_those_that_are_painted_and_lie_together() -> None:
    painted = the_labelled([8], np.full((1, 4, 4), 1, np.int32))
    sure = the_labelled([2, 8, 14], np.full((3, 4, 4), 2, np.int32), 6.0, np.zeros((3, 4, 4), bool))
    joined = with_sure_slices(painted, sure)
    assert joined.positions == [2, 8, 14]
    assert joined.labels[:, 0, 0].tolist() == [2, 1, 2]  # what is painted counts
    assert joined.certain is not None
    assert joined.certain[:, 0, 0].tolist() == [False, True, False]
    assert joined.known.reach == pytest.approx(18)
    assert with_sure_slices(painted, LabelledSlices.none(2)) is painted


def test_slices_that_a_pass_saw_join_the_painted_ones() -> None:
    painted = the_labelled([2, 10, 13], np.stack([np.full((4, 4), v, np.int32) for v in (1, 2, -1)]))
    painted.known.complete[:, 1] = False
    seen = np.full((1, 4, 4), 2, np.uint8)
    more = with_slices(painted, [6], seen, seen > 7)
    assert more.positions == [2, 6, 10, 13]
    assert more.labels[:, 0, 0].tolist() == [1, 2, 2, -1]
    assert more.known.complete.tolist() == [[True, False], [True, True], [True, False], [True, False]]
    assert more.certain is not None
    assert more.certain[:, 0, 0].tolist() == [True, False, True, True]
    assert painted.positions == [2, 10, 13]
    assert more.some([1, 3]).positions == [6, 13]
    assert more.some([1, 3]).labels[:, 0, 0].tolist() == [2, -1]
    assert more.complete_positions(2) == [6]
    assert more.all_segments == {1, 2}
