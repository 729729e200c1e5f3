"""Adaptive local prototypes: ALPNet (Ouyang et al., ECCV 2020, section 3.3).

Features are averaged in windows of a regular grid; a window that lies nearly wholly inside a class gives a local
prototype of it, and the foreground has the average under its mask besides. A pixel's similarity to a class is the
cosine with its prototypes, each weighted by the softmax over these cosines.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from FewShotSegLib.evaluation.baselines.base import Baseline, BaselineSupport, Neck, alignment_loss
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.prototypes import cosine_maps, mean_pool

WINDOW = 4
FULL = 0.95
SCALE = 20.0


class ALPNet(Baseline):
    """Foreground and background compared by local prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = Neck()

    def compare(self, features: Features, support: BaselineSupport) -> Tensor:
        """Logits (Q, L, h, w): similarity to the segment minus similarity to all that is not the segment."""
        query, painted = self.neck(features), self.neck(support.features)
        windows = F.avg_pool2d(painted, WINDOW).flatten(2).transpose(1, 2).flatten(0, 1)
        logits = []
        for segment in range(1, support.segments + 1):
            inside = support.masks[:, segment : segment + 1].to(painted.dtype)
            if not bool((inside > 0).any()):
                logits.append(query.new_full((len(query), *query.shape[-2:]), -SCALE))
                continue
            share = F.avg_pool2d(inside, WINDOW).flatten()
            both = torch.cat([inside, 1 - inside], dim=1).transpose(0, 1).flatten(1)
            whole = mean_pool(painted.transpose(0, 1).flatten(1), both)
            foreground = torch.cat([whole[:1], windows[share > FULL]])
            background = windows[share < 1 - FULL]
            if not len(background):
                background = whole[1:]
            logits.append(_similarity(query, foreground) - _similarity(query, background))
        return torch.stack(logits, dim=1)

    def auxiliary(
        self, features: Features, support: BaselineSupport, logits: Tensor, fractions: Tensor
    ) -> dict[str, Tensor]:
        """Alignment, as in PANet."""
        return {"alignment": alignment_loss(self, features, support, logits)}


def _similarity(query: Tensor, prototypes: Tensor) -> Tensor:
    """(Q, C, h, w) and (M, C) -> (Q, h, w): scaled cosines weighted by their softmax."""
    cosine = SCALE * cosine_maps(query, prototypes)
    return (cosine * cosine.softmax(dim=1)).sum(dim=1)
