"""Islands: pieces of a segment away from its main body, where the examples show it in one piece."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects, label

from ..plan import Tick, no_tick

# A piece smaller than this part of the largest one is an island.
_ISLAND = 0.1
# A structure counts as one piece if its painted slices hold so many pieces on average, at most.
_ONE_PIECE = 1.35


def in_one_piece(masks: list[np.ndarray], values: list[int]) -> list[int]:
    """Labels that the examples show in one piece per slice.

    Args:
        masks: (rows, columns) labels of painted slices.
        values: labels to judge.
    """
    chosen = []
    for value in values:
        counts = [label(mask == value)[1] for mask in masks if (mask == value).any()]
        if counts and np.mean(counts) <= _ONE_PIECE:
            chosen.append(value)
    return chosen


def remove_islands(labels: np.ndarray, confidence: np.ndarray, values: list[int], tick: Tick = no_tick) -> None:
    """Turns islands of some labels into background, in place.

    The confidence of what is turned is one minus that of the label: the more the network believed in the island, the
    less sure is the background.

    Args:
        labels: (Z, rows, columns).
        confidence: the same shape, 0..1.
        values: labels to clean.
        tick: called with 1 for each of them; may raise to cancel.
    """
    boxes = find_objects(labels)
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is not None:
            _remove_islands_of(value, labels[box], confidence[box])
        tick(1)


def _remove_islands_of(value: int, part: np.ndarray, sureness: np.ndarray) -> None:
    pieces, count = label(part == value, structure=np.ones((3, 3, 3)))
    if count < 2:
        return
    sizes = np.bincount(pieces.ravel())
    small = sizes < _ISLAND * sizes[1:].max()
    small[0] = False
    island = small[pieces]
    part[island] = 0
    sureness[island] = 1 - sureness[island]
