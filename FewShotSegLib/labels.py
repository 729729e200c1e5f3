"""What counts as labels: whole numbers from 0 (background) to `LABEL_LIMIT`."""

from __future__ import annotations

import numpy as np

LABEL_LIMIT = 2**15
"""Largest label value."""


def label_problem(array: np.ndarray) -> str | None:
    """Says why an array can't be labels.

    Args:
        array: Any shape; bool, integer or float. Floats are fine as long as all values are whole numbers.

    Returns:
        What is wrong, as half a sentence ("it holds 0.5, ..."), or None if nothing is.
    """
    if array.dtype.kind not in "buif":
        return f"its type is {array.dtype}, expected whole numbers"
    if array.dtype.kind == "b":
        return None
    # Slab by slab: a check must not need another copy of a large volume.
    for slab in array if array.ndim > 2 else (array,):
        if slab.size == 0:
            continue
        if slab.dtype.kind == "f":
            fractional = slab[~(np.isfinite(slab) & (slab == np.rint(slab)))]
            if fractional.size:
                return f"it holds {fractional[0]}, expected whole numbers only"
        lowest, highest = slab.min(), slab.max()
        if lowest < 0:
            return f"it holds the negative value {lowest:g}, expected 0 (background) or more"
        if highest > LABEL_LIMIT:
            return f"it holds the value {highest:g}, expected at most {LABEL_LIMIT}"
    return None


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
