"""How much less is believed beyond the outermost painted slices, where nobody has said that a structure goes on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..preprocessing.views import SliceView
from ..priors import beyond_reach
from .labelled_slices import LabelledSlices

# What logits lose for every `reach` further beyond the painted slices than this.
_BEYOND = 3.0
_USUAL = 0.9
# What they lose at once beyond slices that a user painted, divided by `reach`, and the most of it: the fewer slices a
# gap has, the sooner one more slice is one too many.
_ENDS = 2.0
# What they lose for each millimetre beyond where slices across the stack show that a segment ends; and once more,
# rising over the first slices: at its other rows and columns a segment may go on a little further than in such a slice.
_KNOWN_END, _ONCE_MORE, _RISE = 0.5, 2.0, 1.5


def extent_penalty(
    labelled: LabelledSlices, targets: list[int], view: SliceView, by_user: bool = True
) -> Tensor:
    """What the logits of each slice lose (this project).

    Args:
        labelled: labelled slices of the stack.
        targets: T segments 1..L.
        view: the stack of Z slices.
        by_user: whether a user painted slices of this stack; else all of them are pseudo-labels.

    Returns:
        (T, Z) at least 0; 0 between the outermost slices that show a segment whole, and where no reach is known.
    """
    count = view.shape[0]
    lost = np.zeros((len(targets), count), np.float32)
    slices = np.arange(count)
    for row, target in enumerate(targets):
        reach = float(labelled.known.reach[target - 1])
        places = labelled.complete_positions(target)
        if not places:
            continue
        low, high = labelled.known.ends[target - 1]
        if not np.isnan(reach):
            beyond = beyond_reach(places, count, reach)
            doubt = _BEYOND * np.maximum(beyond - _USUAL, 0)
            if by_user:
                doubt += np.where(beyond > 0, _ENDS / max(reach, 1), 0)
            unseen = ((slices < places[0]) & np.isnan(low)) | ((slices > places[-1]) & np.isnan(high))
            lost[row] = np.where(unseen, doubt, 0)
        # a segment ends half-way to where it is known to be absent
        before, after = (low + places[0]) / 2 - slices, slices - (high + places[-1]) / 2
        past = np.nan_to_num(np.fmax(before, after).clip(min=0))
        lost[row] += _KNOWN_END * view.gap * past + _ONCE_MORE * np.minimum(past / _RISE, 1)
    return torch.from_numpy(lost)
