"""What counts as labels: whole numbers from 0 (background) to `LABEL_LIMIT`."""

from __future__ import annotations

import numpy as np

LABEL_LIMIT = 2**15
"""Largest label value."""


def label_problem(array: np.ndarray) -> str | None:
    """Says why an array can't be labels.

    Args:
        array: Any shape; bool, integer or float. Floats are fine as long as all values are whole numbers, or as near to
            them as a file's scale factor leaves them (1.00002, 0.996); `as_labels` rounds them.

    Returns:
        What is wrong, as half a sentence ("it holds 0.5, ..."), or None if nothing is.
    """
    if array.dtype.kind not in "buif":
        return f"its type is {array.dtype}, expected whole numbers"
    if array.dtype.kind == "b":
        return None
    tolerance = _rounding(array)
    # Slab by slab: a check must not need another copy of a large volume.
    for slab in array if array.ndim > 2 else (array,):
        if slab.size == 0:
            continue
        if slab.dtype.kind == "f":
            with np.errstate(invalid="ignore"):  # infinity minus infinity
                fractional = slab[~(np.isfinite(slab) & (np.abs(slab - np.rint(slab)) <= tolerance))]
            if fractional.size:
                return f"it holds {fractional[0]}, expected whole numbers only"
            slab = np.rint(slab)
        lowest, highest = slab.min(), slab.max()
        if lowest < 0:
            return f"it holds the negative value {lowest:g}, expected 0 (background) or more"
        if highest > LABEL_LIMIT:
            return f"it holds the value {highest:g}, expected at most {LABEL_LIMIT}"
    return None


def as_labels(array: np.ndarray) -> np.ndarray:
    """Labels as whole numbers: floats are rounded to int32, bools become uint8, integers stay as they are.

    Args:
        array: Any shape; see `label_problem` for what may be in it.
    """
    if array.dtype.kind == "f":
        return np.rint(array).astype(np.int32)
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _rounding(array: np.ndarray) -> float:
    """How far a label may be off its whole number: a scale factor's error grows with the largest value.

    A scale of 0.996 (255 / 256) leaves 1 as 0.996 and 20 as 19.92; one that spreads 20 labels over a byte leaves each
    within 0.04. Beyond 0.1 it is no rounding any more.
    """
    largest = float(array.max()) if array.dtype.kind == "f" and array.size else 1.0
    return float(np.clip(0.005 * largest, 0.005, 0.1)) if np.isfinite(largest) else 0.005


def label_values(labels: np.ndarray) -> list[int]:
    """Values present in an array of labels, ascending, without 0.

    Args:
        labels: Any shape; whole numbers from 0 to `LABEL_LIMIT` (see `label_problem`).
    """
    present = np.zeros(LABEL_LIMIT + 1, bool)
    for slab in labels if labels.ndim > 2 else (labels,):
        present |= np.bincount(slab.ravel().astype(np.intp), minlength=LABEL_LIMIT + 1) > 0
    return [int(value) for value in np.flatnonzero(present) if value]


def label_extents(labels: np.ndarray) -> dict[int, tuple[int, int, int, int, int, int]]:
    """Bounding box of each label.

    Args:
        labels: Array (k, j, i) of labels.

    Returns:
        For each value present, first and last index along i, j and k: (i0, i1, j0, j1, k0, k1), both included.
    """
    boxes: dict[int, tuple[int, int, int, int, int, int]] = {}
    for k, plane in enumerate(labels):
        for value in label_values(plane):
            mask = plane == value
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            i0, i1, j0, j1, k0 = int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1]), k
            if value in boxes:
                old = boxes[value]
                i0, i1, j0, j1 = min(i0, old[0]), max(i1, old[1]), min(j0, old[2]), max(j1, old[3])
                k0 = old[4]
            boxes[value] = (i0, i1, j0, j1, k0, k)
    return boxes
