"""Interactive prototype learning: support and query prototypes of one level exchange what they have.

The paper fixes that support and query prototypes interact at the mid (mean) and the high (peak) level, to make features
inside a class more consistent and those of different classes less similar (Song et al. 2025, abstract). The gated
residual exchange and the push away from the background are this project's reading.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PrototypeInteraction(nn.Module):
    """p = p_s + g * W (p_q - p_s), then foreground loses a learned part of its background direction.

    W starts at zero, so training starts as a plain prototype network.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.exchange = nn.Linear(channels, channels, bias=False)
        self.gate = nn.Linear(2, channels)
        self.push = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.exchange.weight)

    def forward(self, support: Tensor, query: Tensor, certainty: Tensor) -> Tensor:
        """Exchanges prototypes.

        Args:
            support: (K, C) support prototypes, class 0 is background.
            query: (Q, K, C) prototypes of each query under its coarse mask.
            certainty: (Q, K) mean coarse probability inside the coarse mask, 0..1.

        Returns:
            (Q, K, C) interacted prototypes.
        """
        support = support.expand_as(query)
        agreement = F.cosine_similarity(support, query, dim=-1, eps=1e-4)
        gate = torch.sigmoid(self.gate(torch.stack([agreement, certainty], dim=-1)))
        mixed = support + gate * self.exchange(query - support)
        background = F.normalize(mixed[:, :1], dim=-1, eps=1e-4)
        shared = (mixed[:, 1:] * background).sum(dim=-1, keepdim=True) * background
        return torch.cat([mixed[:, :1], mixed[:, 1:] - self.push * shared], dim=1)


def interaction_losses(support: Tensor, query: Tensor, present: Tensor, margin: float = 0.2) -> Tensor:
    """1 - cos within a class plus the hinge on cos between foreground and background.

    Args:
        support: (K, C) centred support prototypes.
        query: (Q, K, C) centred prototypes of the queries under their true masks.
        present: (Q, K) bool, class in both.
        margin: cosines between foreground and background under this cost nothing.
    """
    within = 1 - F.cosine_similarity(support.expand_as(query), query, dim=-1, eps=1e-4)
    between = F.cosine_similarity(query[:, 1:], query[:, :1], dim=-1, eps=1e-4)
    weight = present.float()
    foreground = weight[:, 1:]
    pull = (within * weight).sum() / weight.sum().clamp_min(1)
    push = (F.relu(between - margin) * foreground).sum() / foreground.sum().clamp_min(1)
    return pull + push
