"""Islands go, pieces stay."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib.inference.components import in_one_piece, remove_islands


def a_disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


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
