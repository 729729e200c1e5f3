"""How much less is believed beyond the outermost painted slices, where nobody has said that a structure goes on."""

from __future__ import annotations

import numpy as np

from ..evidence import beyond_reach

# What logits lose for every `reach` further beyond the painted slices than this.
_BEYOND = 3.0
_USUAL = 0.9
# What they lose at once beyond slices that a user painted, divided by `reach`, and the most of it: the fewer slices a
# gap has, the sooner one more slice is one too many.
_ENDS = 2.0


def doubt(positions: list[int], count: int, reach: float, by_user: bool) -> np.ndarray:
    """What the logits of each slice lose (this project).

    Args:
        positions: increasing slice numbers of the painted slices.
        count: slices of the stack.
        reach: by how many slices structures are expected to go on beyond the outermost painted ones, over 0.
        by_user: whether a user painted slices of this stack; else all of them were found by looks at it.

    Returns:
        (count,) at least 0, and 0 between the outermost painted slices.
    """
    beyond = beyond_reach(positions, count, reach)
    lost = _BEYOND * np.maximum(beyond - _USUAL, 0)
    if by_user:
        lost += np.where(beyond > 0, _ENDS / max(reach, 1), 0)
    return lost
