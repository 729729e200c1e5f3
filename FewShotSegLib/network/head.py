"""Segment head: from similarity maps, evidence and low-level maps to a segment's logit at stride 2.

One small head with shared weights serves every segment, so segments can be in any number and order. It runs inside a
box of the slice (the structure's surroundings), on features computed once per slice. It works in two parts: what the
first finds at stride 8 lets the query's own features be compared, and the second has these comparisons too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..priors import PRIOR_CHANNELS
from .config import NetworkConfig
from .encoding_decoding import ContextBlock, upsample
from .matching import AGAIN_CHANNELS, FINE_CHANNELS, MATCH_CHANNELS
from .pointwise import Pointwise
from .stack_context import StackContext


class SegmentHead(nn.Module):
    """Decodes N (query, segment) pairs: `look`, then `complete`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        h8, h4, h2 = config.head_channels
        low4, low2 = config.low_channels
        self.join8 = Pointwise(MATCH_CHANNELS + PRIOR_CHANNELS, h8)
        self.conv8 = nn.Conv2d(h8, h8, 3, padding=1)
        self.block8 = ContextBlock(h8, 7)
        self.stack = StackContext(h8, config.stack_channels)
        self.logit8 = Pointwise(h8, 1)
        self.narrow8 = Pointwise(h8, h4)
        self.condition = nn.Linear(config.mid_channels + config.high_channels, low4)
        self.join4 = Pointwise(h4 + 1 + low4 + PRIOR_CHANNELS + AGAIN_CHANNELS + FINE_CHANNELS, h4)
        self.conv4 = nn.Conv2d(h4, h4, 3, padding=1)
        self.block4 = ContextBlock(h4, 5)
        self.narrow4 = Pointwise(h4, h2)
        self.join2 = Pointwise(h2 + low2 + PRIOR_CHANNELS, h2)
        self.conv2 = nn.Conv2d(h2, h2, 3, padding=1)
        self.logit2 = Pointwise(h2, 1)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def look(self, maps: Tensor, evidence: Tensor) -> Tensor:
        """First part.

        Args:
            maps: (N, MATCH_CHANNELS, h, w) at stride 8.
            evidence: (N, PRIOR_CHANNELS, 4h, 4w) at stride 2, zeros where there is none.

        Returns:
            state (N, H8, h, w), which the stack's context may be added to; `logit8` of it is positive inside.
        """
        x = F.relu(self.join8(joined(maps, F.avg_pool2d(evidence, 4))))
        x = x + F.relu(self.conv8(x))
        return self.block8(x)

    def complete(
        self,
        state: Tensor,
        coarse: Tensor,
        again: Tensor,
        fine: Tensor,
        low4: Tensor,
        low2: Tensor,
        evidence: Tensor,
        prototypes: Tensor,
    ) -> Tensor:
        """Second part.

        Args:
            state, coarse: of the first part.
            again: (N, AGAIN_CHANNELS, h, w) comparisons with the query's own prototypes.
            fine: (N, FINE_CHANNELS, 2h, 2w) comparisons of low-level features.
            low4: (N, C4, 2h, 2w).
            low2: (N, C2, 4h, 4w).
            evidence: as for the first part.
            prototypes: (N, Cm + Ch) of the pair's segment.

        Returns:
            logit at stride 2 (N, 4h, 4w), positive inside.
        """
        gate = 1 + self.condition(prototypes)[:, :, None, None]
        x = upsample(joined(self.narrow8(state), coarse, again), low4.shape)
        x = joined(x, fine, low4 * gate, F.avg_pool2d(evidence, 2))
        x = F.relu(self.join4(x))
        x = x + F.relu(self.conv4(x))
        x = self.block4(x)
        x = joined(upsample(self.narrow4(x), low2.shape), low2, evidence)
        x = F.relu(self.join2(x))
        x = x + F.relu(self.conv2(x))
        logit = self.logit2(x) + upsample(coarse, low2.shape)
        return logit[:, 0]


def joined(*maps: Tensor) -> Tensor:
    """Maps (N, C_i, h, w) joined along the channels, in the memory order that convolutions take."""
    return torch.cat([m.contiguous(memory_format=torch.channels_last) for m in maps], dim=1)
