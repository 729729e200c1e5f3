"""How much less is believed beyond the outermost painted slices, where nobody has said that a structure goes on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..evidence import beyond_reach
from .labelled_slices import LabelledSlices

# What logits lose for every `reach` further beyond the painted slices than this.
_BEYOND = 3.0
_USUAL = 0.9
# What they lose at once beyond slices that a user painted, divided by `reach`, and the most of it: the fewer slices a
# gap has, the sooner one more slice is one too many.
_ENDS = 2.0


def lost_beyond(labelled: LabelledSlices, targets: list[int], count: int, by_user: bool = True) -> Tensor:
    """What the logits of each slice lose (this project).

    Args:
        labelled: labelled slices of the stack.
        targets: T segments 1..L.
        count: Z slices of the stack.
        by_user: whether a user painted slices of this stack; else all of them are pseudo-labels.

    Returns:
        (T, Z) at least 0; 0 between the outermost slices that show a segment whole, and where no reach is known.
    """
    lost = np.zeros((len(targets), count), np.float32)
    for row, target in enumerate(targets):
        reach = float(labelled.known.reach[target - 1])
        positions: list[float] = [*labelled.complete_positions(target)]
        if np.isnan(reach) or not positions:
            continue
        low, high = labelled.known.ends[target - 1]
        positions = ([low] if low < positions[0] else []) + positions + ([high] if high > positions[-1] else [])
        beyond = beyond_reach(positions, count, reach)
        lost[row] = _BEYOND * np.maximum(beyond - _USUAL, 0)
        if by_user:
            lost[row] += np.where(beyond > 0, _ENDS / max(reach, 1), 0)
    return torch.from_numpy(lost)
