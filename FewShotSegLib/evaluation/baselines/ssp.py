"""Self-support prototypes: SSP (Fan et al., ECCV 2022, section 3).

The support's prototypes give a first answer; its confident pixels give the query prototypes of its own, one for the
foreground and, since backgrounds vary within a slice, an adaptive one for each pixel's background. Support and own
prototypes are mixed half and half.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from FewShotSegLib.evaluation.baselines.base import Baseline, BaselineSupport, Neck
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.prototypes import mean_pool
from FewShotSegLib.network.self_learning import confident_masks

SCALE = 10.0
AFFINITY_SCALE = 2.0
SUPPORT_LOSS = 0.2


class SSP(Baseline):
    """Matching with the support's and the query's own prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = Neck()

    def compare(self, features: Features, support: BaselineSupport) -> Tensor:
        """Logits (Q, L, h, w): scaled cosine with the mixed foreground minus with the mixed background."""
        query, painted = self.neck(features), self.neck(support.features)
        flat = painted.transpose(0, 1).flatten(1)
        logits = []
        for segment in range(1, support.segments + 1):
            inside = support.masks[:, segment].to(painted.dtype).flatten()
            if not bool((inside > 0).any()):
                logits.append(query.new_full((len(query), *query.shape[-2:]), -SCALE))
                continue
            prototypes = mean_pool(flat, torch.stack([1 - inside, inside]))
            logits.append(_self_supported(query, prototypes))
        return torch.stack(logits, dim=1)

    def auxiliary(
        self, features: Features, support: BaselineSupport, logits: Tensor, fractions: Tensor
    ) -> dict[str, Tensor]:
        """Self-support losses: prototypes under the true mask of a slice must segment that very slice (section 3.4)."""
        return {
            "own_query": _own_loss(self.neck(features), fractions),
            "own_support": SUPPORT_LOSS * _own_loss(self.neck(support.features), support.masks),
        }


def _logits(query: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """(Q, C, h, w) and prototypes that broadcast to it -> (Q, h, w)."""
    return SCALE * (F.cosine_similarity(query, foreground, dim=1) - F.cosine_similarity(query, background, dim=1))


def _self_supported(query: Tensor, prototypes: Tensor) -> Tensor:
    """Logits (Q, h, w) from support prototypes (2, C): background, foreground."""
    background, foreground = (p[None, :, None, None] for p in prototypes)
    first = torch.sigmoid(_logits(query, foreground, background))
    sure = confident_masks(torch.stack([1 - first, first], dim=1))
    flat = query.flatten(2)
    own = mean_pool(flat, sure)[:, 1][..., None, None]
    # Every pixel's background: the sure background features that resemble it, weighted by how much they do.
    unit = F.normalize(flat, dim=1, eps=1e-4)
    affinity = AFFINITY_SCALE * unit.transpose(1, 2) @ unit
    affinity = affinity.masked_fill(sure[:, :1] == 0, -torch.inf).softmax(dim=2)
    adaptive = (flat @ affinity.transpose(1, 2)).unflatten(2, query.shape[-2:])
    return _logits(query, 0.5 * (foreground + own), 0.5 * (background + adaptive))


def _own_loss(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean binary cross-entropy of slices segmented by the prototypes of their own true masks.

    Args:
        maps: (N, C, h, w).
        masks: (N, L + 1, h, w) class fractions.
    """
    flat = maps.flatten(2)
    losses = []
    for segment in range(1, masks.shape[1]):
        inside = masks[:, segment].to(maps.dtype)
        holds = inside.flatten(1).sum(dim=1) > 0
        if bool(holds.any()):
            weights = torch.stack([1 - inside, inside], dim=1).flatten(2)
            background, foreground = mean_pool(flat, weights)[..., None, None].unbind(dim=1)
            logits = _logits(maps, foreground, background)
            losses.append(F.binary_cross_entropy_with_logits(logits[holds], inside[holds]))
    return torch.stack(losses).mean() if losses else maps.new_zeros(())
