"""Stack context: what neighbouring slices show of a segment, for each slice.

A slice by itself does not say where a structure ends, and what is cut off in one slice may be plain in the next. Here
what the head made of every slice of a stack, at stride 8 and in few channels, is convolved through the slices. It adds
to the head's state; without it (for single slices) the head works as before.
"""

from __future__ import annotations

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
        x = kept.permute(1, 2, 0, 3, 4)
        for block in self.blocks:
            x = x + F.relu(block(x))
        return x.permute(2, 0, 1, 3, 4)

    def added(self, context: Tensor) -> Tensor:
        """(N, narrow, h, w) context -> (N, channels, h, w), what it adds to the head's state."""
        return self.widen(context)
