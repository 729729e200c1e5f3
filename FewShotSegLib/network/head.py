"""Segment head: from similarity maps, separated features, evidence and low-level maps to a segment's logit at stride 2.

One small head with shared weights serves every segment, so segments can be in any number and order. It runs inside a
box of the slice (the structure's surroundings), on features computed once per slice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..evidence import EVIDENCE_CHANNELS
from .config import NetworkConfig
from .encoding_decoding import upsample
from .matching import MATCH_CHANNELS


class SegmentHead(nn.Module):
    """Decodes N (query, segment) pairs."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        h8, h4, h2 = config.head_channels
        inputs = MATCH_CHANNELS + 2 * config.separation_channels + EVIDENCE_CHANNELS
        self.join8 = nn.Conv2d(inputs, h8, 1)
        self.conv8 = nn.Conv2d(h8, h8, 3, padding=1)
        self.logit8 = nn.Conv2d(h8, 1, 1)
        self.narrow8 = nn.Conv2d(h8, h4, 1)
        self.condition = nn.Linear(config.mid_channels + config.high_channels, h4)
        self.join4 = nn.Conv2d(2 * h4 + EVIDENCE_CHANNELS + 1, h4, 1)
        self.conv4 = nn.Conv2d(h4, h4, 3, padding=1)
        self.narrow4 = nn.Conv2d(h4, h2, 1)
        self.join2 = nn.Conv2d(2 * h2 + EVIDENCE_CHANNELS, h2, 1)
        self.conv2 = nn.Conv2d(h2, h2, 3, padding=1)
        self.logit2 = nn.Conv2d(h2, 1, 1)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(
        self, maps: Tensor, separated: Tensor, low4: Tensor, low2: Tensor, evidence: Tensor, prototypes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decodes.

        Args:
            maps: (N, MATCH_CHANNELS, h, w) at stride 8.
            separated: (N, 2 * Cs, h, w) foreground and background features.
            low4: (N, C4, 2h, 2w).
            low2: (N, C2, 4h, 4w).
            evidence: (N, EVIDENCE_CHANNELS, 4h, 4w), zeros where there is none.
            prototypes: (N, Cm + Ch) of the pair's segment.

        Returns:
            logit at stride 2 (N, 4h, 4w) and at stride 8 (N, h, w); positive inside.
        """
        evidence4 = F.avg_pool2d(evidence, 2)
        evidence8 = F.avg_pool2d(evidence4, 2)
        x = F.relu(self.join8(torch.cat([maps, separated, evidence8], dim=1)))
        x = x + F.relu(self.conv8(x))
        coarse = self.logit8(x)
        gate = 1 + self.condition(prototypes)[:, :, None, None]
        x = upsample(torch.cat([self.narrow8(x), coarse], dim=1), low4.shape)
        x = torch.cat([x, low4 * gate, evidence4], dim=1)
        x = F.relu(self.join4(x))
        x = x + F.relu(self.conv4(x))
        x = torch.cat([upsample(self.narrow4(x), low2.shape), low2, evidence], dim=1)
        x = F.relu(self.join2(x))
        x = x + F.relu(self.conv2(x))
        logit = self.logit2(x) + upsample(coarse, low2.shape)
        return logit[:, 0], coarse[:, 0]
