"""Where the head runs: the boxes around the places where segments may be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.matching import Match
from ..network.model import Box

# Where the head runs: near the interpolated shape (within about 4 pixels of stride 2), or where matching finds the
# segment. Later pairs are stricter, for when the boxes of all segments together would cost too much.
_WHERE = ((-0.5, 0.05), (-0.4, 0.15), (-0.3, 0.4))
# Boxes of all segments together, in whole frames: more would cost more than encoding the slice did.
_BUDGET = 9.0
# Where no shape is known, half of what geodesic preference exceeds this by stands for it: it is less exact. Where one
# is known, structures may have moved farther than it says, where geodesic preference less this says so.
_FARTHER, _MOVED = 0.5, 1.2


def likely_boxes(match: Match, evidence: Tensor | None, targets: list[int]) -> list[Box | None]:
    """Where the head runs for each target: around all places where it may be in any slice, within the budget.

    Args:
        match: of Q slices.
        evidence: (Q, T, PRIOR_CHANNELS, h / 2, w / 2) of painted slices of the query, None if there are none.
        targets: T segments.

    Returns:
        boxes at stride 8, None where a target is nowhere likely.
    """
    share = match.coarse.softmax(dim=1).amax(dim=0).cpu()
    near = None if evidence is None else F.max_pool2d(_nearness(evidence), 4).amax(dim=0)
    boxes: list[Box | None] = []
    for shape_limit, share_limit in _WHERE:
        boxes = []
        for row, segment in enumerate(targets):
            if near is None:
                possible = share[segment] > share_limit
            else:
                # Matching alone may look alike anywhere; within a volume it counts only where it is strong.
                possible = (near[row] > shape_limit) | (share[segment] > 0.5)
            boxes.append(_around(possible))
        area = sum((b[1] - b[0]) * (b[3] - b[2]) for b in boxes if b is not None)
        if area <= _BUDGET * share.shape[-2] * share.shape[-1]:
            break
    return boxes


def _around(possible: Tensor) -> Box | None:
    """Box around the True of a (h, w) map, with a margin of one; None where there is none."""
    if not possible.any():
        return None
    rows, columns = possible.any(dim=1).nonzero(), possible.any(dim=0).nonzero()
    height, width = possible.shape
    return (
        max(int(rows[0]) - 1, 0),
        min(int(rows[-1]) + 2, height),
        max(int(columns[0]) - 1, 0),
        min(int(columns[-1]) + 2, width),
    )


def _nearness(evidence: Tensor) -> Tensor:
    """(Q, T, h, w) how near to a segment each pixel is, -1 to 1: by the shape, or, where there is none, by distance."""
    has_shape = evidence[:, :, 3] > 0
    shape, preference = evidence[:, :, 0], evidence[:, :, 4]
    return torch.where(has_shape, torch.maximum(shape, preference - _MOVED), 0.5 * (preference - _FARTHER))
