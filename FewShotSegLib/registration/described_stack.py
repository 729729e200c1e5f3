"""A stack of slices as the network sees it, for finding like places in two patients' scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.encoding_decoding import upsample
from ..network.model import FewShotNetwork
from ..preprocessing.frame import Bounds, Frame, body_bounds, frame_around
from ..preprocessing.intensity import window_of

_SIDE = 128
_CELLS = 4
_CHUNK = 8
# More slices than that add nothing: they are thinned.
_MOST_SLICES = 128


@dataclass(frozen=True)
class DescribedStack:
    """Slices of a stack as the network sees them.

    Attributes:
        slices: (Z, D) of norm 1 or 0, what they have in common taken off; of every so many-th slice.
        gap: distance of these slices in mm.
        pixel: (row, column) pixel size of the whole slices in mm.
        body: bounding box of the body in the plane, in pixels of the whole slices.
        frame: what is seen of the slices, about the body.
        maps: (C, Z, h, w) mid-level and high-level maps of the frame.
    """

    slices: np.ndarray
    gap: float
    pixel: tuple[float, float]
    body: Bounds
    frame: Frame
    maps: Tensor

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.maps.nbytes + self.slices.nbytes

    @property
    def length(self) -> float:
        """From the first slice to the last, in mm."""
        return (len(self.slices) - 1) * self.gap

    @property
    def extent(self) -> tuple[float, float, float]:
        """Size in mm of the slices together, and of the body's rows and columns."""
        top, bottom, left, right = self.body
        return len(self.slices) * self.gap, (bottom - top) * self.pixel[0], (right - left) * self.pixel[1]

    def sampled(self, maps: Tensor, places: Tensor) -> Tensor:
        """Maps at some places; 0 where the stack shows nothing.

        Args:
            maps: (D, Z, h, w) of this stack's frame.
            places: (3, ...) mm from the first slice; row and column, 0..1 over the body; three axes follow.

        Returns:
            (D, ...)
        """
        top, bottom, left, right = self.body
        slices = 2 * (places[0] / self.gap + 0.5) / len(self.slices) - 1
        rows = 2 * (top + places[1] * (bottom - top) - self.frame.top) / self.frame.rows - 1
        columns = 2 * (left + places[2] * (right - left) - self.frame.left) / self.frame.columns - 1
        grid = torch.stack([columns, rows, slices], dim=-1)
        return F.grid_sample(maps[None], grid[None].float(), mode="bilinear", align_corners=False)[0]


def describe(
    network: FewShotNetwork,
    device: torch.device,
    stack: np.ndarray,
    gap: float,
    pixel: tuple[float, float],
    check: Callable[[], None] = lambda: None,
) -> DescribedStack:
    """What the network sees on the slices of a stack.

    Args:
        network: in evaluation mode.
        device: where it is.
        stack: (Z, rows, columns) intensities.
        gap: slice distance in mm.
        pixel: (row, column) pixel size in mm.
        check: called now and then; what it raises stops the work.
    """
    every = -(-len(stack) // _MOST_SLICES)
    body = body_bounds(stack)
    frame = frame_around(body, pixel, _SIDE)
    thin = stack[::every]
    window = window_of(frame.inside(thin))
    slices, maps = [], []
    for start in range(0, len(thin), _CHUNK):
        check()
        images = frame.cut(window(thin[start : start + _CHUNK]))[:, None] * 2 - 1
        seen = network.encode(images.to(device).contiguous(memory_format=torch.channels_last))
        slices.append(F.adaptive_avg_pool2d(seen.high.float(), _CELLS).flatten(1).cpu())
        # Networks that are compared with ours keep their high level at a coarser stride.
        maps.append(torch.cat([seen.mid, upsample(seen.high, seen.mid.shape)], dim=1).float().cpu())
    features = torch.cat(slices)
    described = F.normalize(features - features.mean(0), dim=1).numpy()
    return DescribedStack(described, gap * every, pixel, body, frame, torch.cat(maps).transpose(0, 1).contiguous())
