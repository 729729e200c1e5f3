"""Query-guided self-learning: the query's own pixels become prototypes and separate its foreground from background.

The paper fixes that foreground and background are separated at feature level with the query's own features, and that
low-level maps complete the boundary (Song et al. 2025, abstract). The choice of confident pixels follows SSP (Fan et
al., ECCV 2022, section 3.2). The separation is this project's reading: low-level features are split by what was found
so far, and each pixel is compared with the foreground and with the background of its surroundings, as region-scalable
fitting does with intensities (Li et al., IEEE Trans Image Process 2008, eq. 5).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .encoding_decoding import upsample

_FOREGROUND_CERTAIN = 0.7
_BACKGROUND_CERTAIN = 0.6
_TOP_PIXELS = 12
# Side of the surroundings that a pixel is compared with, in pixels of stride 8.
_AROUND = 5
# Less foreground or background than this in its surroundings tells nothing about a pixel.
_LEAST_SHARE = 1e-3


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
    """Half the support's prototype (..., K, C), half the query's own (Q, ..., K, C)."""
    return 0.5 * (support + own)


def separated_maps(features: Tensor, share: Tensor) -> Tensor:
    """Cosines of every pixel with the mean foreground and the mean background of its surroundings.

    Args:
        features: (Q, C, 2h, 2w) standardized low-level features, stride 4.
        share: (Q, L, h, w) what each segment is taken to have of a pixel, 0..1, stride 8.

    Returns:
        (Q, L, 2, 2h, 2w) in [-1, 1]: with foreground, with background; 0 where the surroundings have none.
    """
    small = F.avg_pool2d(features, 2)[:, None]
    unit = F.normalize(features, dim=1, eps=1e-4)[:, None]
    maps = []
    for part in (share, 1 - share):
        amount = _around(part)
        mean = _around((small * part[:, :, None]).flatten(0, 1)).unflatten(0, part.shape[:2])
        mean = torch.where(amount[:, :, None] > _LEAST_SHARE, F.normalize(mean, dim=2, eps=1e-4), 0.0)
        fine = upsample(mean.flatten(0, 1), features.shape).unflatten(0, part.shape[:2])
        maps.append((fine * unit).sum(dim=2))
    return torch.stack(maps, dim=2)


def _around(maps: Tensor) -> Tensor:
    """(N, C, h, w) averaged over each pixel's surroundings."""
    return F.avg_pool2d(maps, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
