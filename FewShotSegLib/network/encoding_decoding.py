"""Deep encoding-decoding module: from encoder stages to mid-level, high-level and low-level feature maps.

The paper fixes that a deep encoding-decoding module learns high-level features of support and query (Song et al. 2025,
abstract). This project's reading: the deepest stage gets global context and is decoded back to stride 8 with skips
(high level); strides 8 and 16 joined without the deepest stage are the mid level; strides 2 and 4 the low level, where
one map is for comparing and two are for boundaries.
All maps are computed once per slice, whatever the number of segments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NetworkConfig
from .encoder import LiteEncoder


@dataclass(frozen=True)
class Features:
    """Feature maps of N slices; every map is (N, C, h, w).

    Attributes:
        mid: mid-level map, stride 8.
        high: high-level map, stride 8.
        separation: low-level map in which foreground and background are compared and separated, stride 4.
        low4: class-free boundary features, stride 4.
        low2: class-free boundary features, stride 2.
    """

    mid: Tensor
    high: Tensor
    separation: Tensor
    low4: Tensor
    low2: Tensor

    def __len__(self) -> int:
        return self.mid.shape[0]

    def __getitem__(self, index: slice | Tensor | list[int]) -> Features:
        return Features(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @property
    def nbytes(self) -> int:
        """Bytes of all maps."""
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)

    def to(self, dtype: torch.dtype) -> Features:
        return Features(*(getattr(self, name).to(dtype) for name in self.__dataclass_fields__))

    def clone(self) -> Features:
        return Features(*(getattr(self, name).clone() for name in self.__dataclass_fields__))

    @staticmethod
    def concatenate(parts: list[Features]) -> Features:
        return Features(*(torch.cat([getattr(p, n) for p in parts]) for n in Features.__dataclass_fields__))


def upsample(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear interpolation of (N, C, h, w) to the last two sizes given."""
    return F.interpolate(x, size=tuple(size[-2:]), mode="bilinear", align_corners=False)


class ContextBlock(nn.Module):
    """Depthwise-separable convolution with a residual; cheap context at low resolution."""

    def __init__(self, channels: int, kernel: int = 5) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(F.relu(self.depthwise(x)))


class EncodingDecodingModule(nn.Module):
    """Encoder with decoder; `forward` takes (N, 1, H, W) in [-1, 1] and returns :class:`Features`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = LiteEncoder.channels
        high, mid = config.high_channels, config.mid_channels
        low4, low2 = config.low_channels
        self.encoder = LiteEncoder()
        self.deep = nn.Conv2d(c32, 128, 1)
        self.context = nn.Conv2d(c32, 128, 1)
        self.deep_block = ContextBlock(128)
        self.skip16 = nn.Conv2d(c16, 128, 1)
        self.block16 = ContextBlock(128)
        self.narrow16 = nn.Conv2d(128, high, 1)
        self.skip8 = nn.Conv2d(c8, high, 1)
        self.fuse8 = nn.Conv2d(high, high, 3, padding=1)
        self.block8 = ContextBlock(high)
        self.mid16 = nn.Conv2d(c16, mid, 1)
        self.mid8 = nn.Conv2d(c8, mid, 1)
        self.mid_block = ContextBlock(mid, 3)
        self.high4 = nn.Conv2d(high, 32, 1)
        self.low4 = nn.Conv2d(32 + c4, 32, 3, padding=1)
        self.separation = nn.Conv2d(32, config.separation_channels, 1)
        self.low4_out = nn.Conv2d(32, low4, 1)
        self.low2 = nn.Conv2d(16 + c2, 16, 3, padding=1)
        self.narrow4 = nn.Conv2d(32, 16, 1)
        self.low2_out = nn.Conv2d(16, low2, 1)

    def forward(self, images: Tensor) -> Features:
        s2, s4, s8, s16, s32 = self.encoder(images)
        deep = self.deep(s32) + self.context(s32.mean(dim=(2, 3), keepdim=True))
        deep = self.deep_block(F.relu(deep))
        x = F.relu(upsample(deep, s16.shape) + self.skip16(s16))
        x = self.narrow16(self.block16(x))
        x = F.relu(upsample(x, s8.shape) + self.skip8(s8))
        high = self.block8(self.fuse8(x))
        mid = self.mid_block(F.relu(upsample(self.mid16(s16), s8.shape) + self.mid8(s8)))
        x4 = F.relu(self.low4(torch.cat([upsample(self.high4(high), s4.shape), s4], dim=1)))
        x2 = F.relu(self.low2(torch.cat([upsample(self.narrow4(x4), s2.shape), s2], dim=1)))
        return Features(mid, high, self.separation(x4), self.low4_out(x4), self.low2_out(x2))
