"""Query-guided self-learning: the query's own confident pixels become prototypes and separate its features.

The paper fixes that foreground and background are separated at feature level with the query's own features (Song et al.
2025, abstract). The choice of confident pixels follows SSP (Fan et al., ECCV 2022, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

_FOREGROUND_CERTAIN = 0.7
_BACKGROUND_CERTAIN = 0.6
_TOP_PIXELS = 12


def confident_masks(probability: Tensor) -> Tensor:
    """Weights of the pixels that each class may learn from.

    Args:
        probability: (Q, K, h, w) coarse class probabilities, class 0 is background.

    Returns:
        (Q, K, h * w): 1 where the class is certain (foreground over 0.7, background over 0.6), else the class's 12 most
        probable pixels.
    """
    flat = probability.detach().flatten(2)
    thresholds = torch.full((flat.shape[1], 1), _FOREGROUND_CERTAIN, device=flat.device)
    thresholds[0] = _BACKGROUND_CERTAIN
    certain = flat > thresholds
    top = torch.zeros_like(certain).scatter_(2, flat.topk(min(_TOP_PIXELS, flat.shape[2]), dim=2).indices, True)
    enough = certain.sum(dim=2, keepdim=True) >= _TOP_PIXELS
    return torch.where(enough, certain, top).to(probability.dtype)


def mix(support: Tensor, own: Tensor) -> Tensor:
    """Half the support's prototype (K, C), half the query's own (Q, K, C)."""
    return 0.5 * (support + own)


def separate(features: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    """Splits the query's features into a segment's foreground and background.

    Args:
        features: (Q, C, h, w).
        probability: (Q, L, h, w) probability of each segment.

    Returns:
        A * F and (1 - A) * F, each (Q, L, C, h, w).
    """
    foreground = features[:, None] * probability[:, :, None]
    return foreground, features[:, None] - foreground
