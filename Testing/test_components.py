"""What of a segment is an island, and what is a part of it that lies apart."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.inference.components import PaintedPlane, in_one_piece, islands, remove_islands

SHAPE = (40, 60, 60)


def a_ball(center: tuple[int, int, int], radius: float) -> np.ndarray:
    places = np.indices(SHAPE)
    return sum((axis - c) ** 2 for axis, c in zip(places, center, strict=True)) < radius**2


LARGE, SMALL = a_ball((20, 20, 20), 12), a_ball((20, 45, 45), 4)


def planes(mask: np.ndarray, *places: tuple[int, int]) -> list[PaintedPlane]:
    """Slices of a mask, painted as it is."""
    return [PaintedPlane(axis, index, mask.take(index, axis)) for axis, index in places]


def test_a_small_piece_that_is_not_painted_is_an_island() -> None:
    assert np.array_equal(islands(LARGE | SMALL), SMALL)
    assert np.array_equal(islands(LARGE | SMALL, planes(LARGE | SMALL, (0, 10), (0, 30))), SMALL)


@pytest.mark.parametrize("plane", [(0, 20), (1, 45), (2, 48)])
def test_what_is_painted_however_small_is_none(plane: tuple[int, int]) -> None:
    assert not islands(LARGE | SMALL, planes(LARGE | SMALL, (0, 12), plane)).any()


def test_what_touches_a_painted_part_is_none_even_at_a_corner() -> None:
    mask = LARGE.copy()
    mask[20, 45, 45] = True  # painted
    mask[21, 46, 46] = True
    assert not islands(mask, planes(mask, (0, 20))).any()


def test_a_part_between_painted_slices_that_show_it_is_none() -> None:
    mask = LARGE.copy()
    mask[[15, 25], 44:47, 44:47] = True
    mask[19:21, 44:46, 44:46] = True
    assert not islands(mask, planes(mask, (0, 15), (0, 25))).any()
    assert islands(mask, planes(mask, (0, 10), (0, 30)))[[15, 19, 25], 45, 45].all()


def test_a_vessel_that_crosses_between_painted_slices_stays_in_all_its_pieces() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10, 8:20, 8:20] = mask[30, 42:54, 42:54] = True
    mask[20, 30:33, 30:33] = True  # half way
    mask[20, 50:52, 5:7] = True  # elsewhere
    found = islands(mask, planes(mask, (0, 10), (0, 30)))
    assert not found[20, 31, 31]
    assert found[20, 50, 5]


def test_beside_small_painted_parts_what_is_as_large_may_be_a_further_one() -> None:
    further = a_ball((20, 20, 50), 4)
    mask = LARGE | SMALL | further
    assert islands(mask, planes(mask, (0, 9)))[20, 45, 45]
    assert not islands(mask, planes(mask, (1, 45)))[20, 20, 50]
    speck = np.zeros(SHAPE, bool)
    speck[5, 50, 50] = True
    assert np.array_equal(islands(mask | speck, planes(mask, (1, 45))), speck)


def test_what_was_only_found_on_a_painted_slice_does_not_count_as_painted() -> None:
    stroke = np.zeros(SHAPE[1:], bool)
    stroke[18:22, 18:22] = True  # of the large part; the small one is on the same slice, but nobody painted it
    assert np.array_equal(islands(LARGE | SMALL, [PaintedPlane(0, 20, stroke)]), SMALL)


def test_a_thin_diagonal_structure_is_one_piece() -> None:
    line = np.eye(40, dtype=np.int32)
    assert in_one_piece([line], [1]) == [1]
    mask = np.zeros(SHAPE, bool)
    mask[np.arange(40), np.arange(40), np.arange(40)] = True
    assert not islands(mask).any()


def test_removed_islands_are_unsure_background_and_painted_slices_stay() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[LARGE], labels[SMALL] = 3, 3
    labels[2, :5, :5] = 7
    confidence = np.full(SHAPE, 0.9, np.float32)
    remove_islands(labels, confidence, [3, 5], planes(labels, (0, 12), (0, 39)))
    assert np.array_equal(labels == 3, LARGE)
    assert confidence[SMALL] == pytest.approx(0.1)
    assert (confidence[~SMALL] == np.float32(0.9)).all()
    assert (labels == 7).sum() == 25


def test_paired_organs_and_lesions_of_one_label_come_back_whole() -> None:
    parts = [a_ball((8, 18, 18), 8), a_ball((20, 40, 42), 5), a_ball((32, 22, 44), 4)]
    truth = np.logical_or.reduce(parts)
    image = np.where(a_ball((20, 30, 30), 100), 50.0, 0)
    image[truth] = 140
    query = Volume.from_array(image + np.random.default_rng(0).normal(0, 8, SHAPE), spacing=(1.5, 1.5, 2.0))
    examples = [Example(query, 0, k, truth[k]) for k in (6, 10, 19, 21, 31, 33)]
    found = Segmenter("cpu").segment(query, examples).labelmap.array > 0
    for part in parts:
        assert (found & part).sum() > 0.8 * part.sum()
