"""Cross-convolution in the manner of UniverSeg (Butoi et al., ICCV 2023, section 3.3).

A query map and each support map (image and painted mask) are convolved together; the mean over the support goes on as
the query's map, each pair's result as that support slice's. There are no prototypes. UniverSeg learns such blocks from
the pixels up; here they stand on the encoder that all methods share, from its deepest stage to stride 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from FewShotSegLib.evaluation.baselines.base import Baseline, BaselineSupport
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features, upsample

CHANNELS = 48
FINE = (24, 12)


class CrossBlock(nn.Module):
    """Query (Q, C, h, w) and support (Q, S, C, h, w), seen by each query -> both after exchange, same shapes.

    A convolution of the joined pair is the sum of one of each, so the query's is done once for all support slices.

    Args:
        channels: C.
        last: Whether no block follows: the support then goes no further and comes back as it was.
    """

    def __init__(self, channels: int = CHANNELS, last: bool = False) -> None:
        super().__init__()
        self.of_query = nn.Conv2d(channels, channels, 3, padding=1)
        self.of_support = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.next_query = nn.Conv2d(channels, channels, 3, padding=1)
        self.next_support = None if last else nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, query: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Exchanges."""
        pairs = self.of_support(support.flatten(0, 1)).unflatten(0, support.shape[:2])
        pairs = F.leaky_relu(self.of_query(query)[:, None] + pairs)
        query = F.leaky_relu(self.next_query(pairs.mean(dim=1)))
        if self.next_support is not None:
            support = F.leaky_relu(self.next_support(pairs.flatten(0, 1))).unflatten(0, support.shape[:2])
        return query, support


class UniverSeg(Baseline):
    """Cross blocks at strides 32, 16 and 8, then plain convolutions with the query's own maps at 4 and 2."""

    def __init__(self) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = LiteEncoder.channels
        deep = (c32, c16, c8)
        self.query_in = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in deep)
        self.support_in = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in deep)
        # Joined with hundreds of maps in one convolution, the one mask would weigh too little to be learned from.
        self.mask_in = nn.ModuleList(nn.Conv2d(1, CHANNELS, 1, bias=False) for _ in deep)
        self.blocks = nn.ModuleList(CrossBlock(last=c == c8) for c in deep)
        self.fuse4 = nn.Conv2d(CHANNELS + c4, FINE[0], 3, padding=1)
        self.fuse2 = nn.Conv2d(FINE[0] + c2, FINE[1], 3, padding=1)
        self.out = nn.Conv2d(FINE[1], 1, 1)

    def compare(self, features: Features, support: BaselineSupport) -> Tensor:
        """Logits (Q, L, H / 2, W / 2); one segment at a time, as in the paper, which also bounds the memory."""
        masks = support.masks[:, 1:].to(features.mid.dtype)
        return torch.stack([self._segment(features, support.features, mask) for mask in masks.unbind(dim=1)], dim=1)

    def _segment(self, features: Features, painted: Features, mask: Tensor) -> Tensor:
        """Logits (Q, H / 2, W / 2) of the segment painted as mask (S, h, w)."""
        query: Tensor | None = None
        support: Tensor | None = None
        levels = (
            (features.separation, painted.separation),
            (features.high, painted.high),
            (features.mid, painted.mid),
        )
        for (own, other), query_in, support_in, mask_in, block in zip(
            levels, self.query_in, self.support_in, self.mask_in, self.blocks, strict=True
        ):
            small = F.adaptive_avg_pool2d(mask[:, None], (other.shape[-2], other.shape[-1]))
            q = query_in(standardized(own))
            s = (support_in(standardized(other)) + mask_in(small))[None].expand(len(own), -1, -1, -1, -1)
            if query is not None and support is not None:
                q = q + upsample(query, q.shape)
                s = s + upsample(support.flatten(0, 1), s.shape).unflatten(0, support.shape[:2])
            query, support = block(q, s)
        assert query is not None
        x = F.leaky_relu(self.fuse4(torch.cat([upsample(query, features.low4.shape), features.low4], dim=1)))
        x = F.leaky_relu(self.fuse2(torch.cat([upsample(x, features.low2.shape), features.low2], dim=1)))
        return self.out(x)[:, 0]


def standardized(maps: Tensor) -> Tensor:
    """Each image's maps (N, C, h, w) with mean 0 and deviation 1 over all of them."""
    return F.layer_norm(maps, maps.shape[1:])
