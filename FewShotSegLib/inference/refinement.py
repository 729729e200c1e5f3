"""Boundary refinement: probabilities fitted to the query's own intensities by a guided filter.

The network decides at half of its frame's resolution; the image knows the edge to the pixel. A guided filter (He, Sun &
Tang, TPAMI 2013, equations 5, 6 and 8) makes each structure's probability a local linear function of the image, so its
boundary follows intensity edges where there are any and stays where it is where there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..preprocessing.frame import bounds_of

_RADIUS = 2
_EPSILON = 1e-3
_BAND = 0.02
# Cross-sections of fewer pixels, eight windows, are refined less: noise would wear the smallest ones away.
_LARGE = 200


def refined(image: Tensor, probability: Tensor, strength: float = 1.0) -> Tensor:
    """Refines one slice.

    Args:
        image: (rows, columns) intensities in [0, 1].
        probability: (L + 1, rows, columns), class 0 is background.
        strength: 0 for none, 1 for the filtered probability alone.

    Returns:
        (L + 1, rows, columns), sums to 1.
    """
    result = probability.clone()
    for segment in range(1, len(probability)):
        p = probability[segment]
        bounds = bounds_of(((p > _BAND) & (p < 1 - _BAND)).numpy())
        if bounds is None:
            continue
        pad = 2 * _RADIUS + 1
        rows = slice(max(bounds[0] - pad, 0), bounds[1] + pad)
        columns = slice(max(bounds[2] - pad, 0), bounds[3] + pad)
        filtered = guided_filter(image[rows, columns], p[rows, columns])
        share = strength * min(float((p[rows, columns] > 0.5).sum()) / _LARGE, 1.0)
        result[segment, rows, columns] += share * (filtered - p[rows, columns])
    foreground = result[1:].clamp_(0, 1)
    total = foreground.sum(dim=0)
    result[1:] = foreground / total.clamp_min(1.0)
    result[0] = (1 - result[1:].sum(dim=0)).clamp_min(0)
    return result


def guided_filter(image: Tensor, values: Tensor, radius: int = _RADIUS, epsilon: float = _EPSILON) -> Tensor:
    """Guided filter of one map by one image, (rows, columns) each; windows of 2 * radius + 1 pixels."""
    stacked = torch.stack([image, values, image * values, image * image])
    mean_i, mean_p, mean_ip, mean_ii = _box_mean(stacked, radius)
    slope = (mean_ip - mean_i * mean_p) / (mean_ii - mean_i * mean_i + epsilon)
    offset = mean_p - slope * mean_i
    mean_slope, mean_offset = _box_mean(torch.stack([slope, offset]), radius)
    return mean_slope * image + mean_offset


def _box_mean(maps: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(maps[None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)[0]
