"""Stack context: what neighbouring slices show of a segment, for each slice.

A slice by itself does not say where a structure ends, and what is cut off in one slice may be plain in the next. Here
what the head made of every slice of a stack, at stride 8 and in few channels, is convolved through the slices. It adds
to the head's state; without it (for single slices) the head works as before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pointwise import Pointwise

# Distances, in slices, that the convolutions reach over in turn: 16 slices in each direction together.
_DILATIONS = (1, 2, 4, 8, 1)


class StackContext(nn.Module):
    """Context of S segments through Z slices.

    Args:
        channels: of the head's state.
        narrow: of what is kept of it.
    """

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.narrow = Pointwise(channels, narrow)
        self.blocks = nn.ModuleList(
            nn.Conv3d(narrow, narrow, 3, padding=(d, 1, 1), dilation=(d, 1, 1)) for d in _DILATIONS
        )
        self.widen = Pointwise(narrow, channels)
        # Training starts from a head without context.
        for parameter in self.widen.parameters():
            nn.init.zeros_(parameter)

    def keep(self, state: Tensor) -> Tensor:
        """(N, channels, h, w) of the head's first part -> (N, narrow, h, w)."""
        return F.relu(self.narrow(state))

    def forward(self, kept: Tensor) -> Tensor:
        """Mixes through the slices.

        Args:
            kept: (Z, S, narrow, h, w) of neighbouring slices, in their order.

        Returns:
            context of the same shape.
        """
        x = kept.transpose(0, 1)
        for block, distance in zip(self.blocks, _DILATIONS, strict=True):
            assert isinstance(block, nn.Conv3d)
            x = x + F.relu(_convolved(x, block, distance))
        return x.transpose(0, 1)

    def added(self, context: Tensor) -> Tensor:
        """(N, narrow, h, w) context -> (N, channels, h, w), what it adds to the head's state."""
        return self.widen(context)


def _convolved(x: Tensor, block: nn.Conv3d, distance: int) -> Tensor:
    """A 3D convolution as one in the plane over three slices at once, which processors do in a fifth of the time.

    Args:
        x: (S, Z, C, h, w).
        block: 3 x 3 x 3 convolution.
        distance: of the three slices.
    """
    segments, count = x.shape[:2]
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, distance, distance))
    three = torch.cat([padded[:, k * distance : k * distance + count] for k in range(3)], dim=2).flatten(0, 1)
    weight = block.weight.transpose(1, 2).flatten(1, 2)
    found = F.conv2d(three.contiguous(memory_format=torch.channels_last), weight, block.bias, padding=1)
    return found.unflatten(0, (segments, count))
