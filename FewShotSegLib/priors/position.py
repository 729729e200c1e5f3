"""Where in the body the examples had a structure: a blurred map in coordinates of the body's bounding box.

The map is the union of the painted slices, not their mean: a query slice lies at any height of the structure, and a
place that only one example shows (the left lobe of the liver, say) is as possible as one that all of them show.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

_GRID = 64
_BLUR = 5.0  # in cells of the grid, about 8 % of the body: patients differ by so much


def position_map(masks: list[np.ndarray], bodies: list[tuple[int, int, int, int]], segments: int) -> np.ndarray:
    """Where any of the painted slices shows each segment, relative to the body.

    Args:
        masks: (rows, columns) segment indices 0..L of whole slices.
        bodies: bounding box of each slice's body: top, bottom, left, right in pixels, end exclusive.
        segments: L.

    Returns:
        (L, 64, 64) float32 in [0, 1]; rows and columns span the body's bounding box.
    """
    union = np.zeros((segments, _GRID, _GRID), bool)
    for mask, (top, bottom, left, right) in zip(masks, bodies, strict=True):
        rows = np.clip((top + (np.arange(_GRID) + 0.5) * (bottom - top) / _GRID).astype(int), 0, mask.shape[0] - 1)
        columns = np.clip((left + (np.arange(_GRID) + 0.5) * (right - left) / _GRID).astype(int), 0, mask.shape[1] - 1)
        small = mask[rows[:, None], columns[None, :]]
        for segment in np.unique(mask):
            if segment > 0:
                union[segment - 1] |= small == segment
    return gaussian_filter(union.astype(np.float32), (0, _BLUR, _BLUR))


def position_channels(position: np.ndarray, peak: np.ndarray, rows: Tensor, columns: Tensor) -> Tensor:
    """Samples position maps at points of a query slice.

    Args:
        position: (L, r, c) maps, as from :func:`position_map`.
        peak: (L,) value of each map that counts as 1.
        rows, columns: (h, w) points, 0..1 over the maps.

    Returns:
        (L, 2, h, w): the square root (so that it falls slowly) of the map over its peak, and ones (presence).
    """
    grid = torch.stack([2 * columns - 1, 2 * rows - 1], dim=-1)[None]
    source = torch.from_numpy(position / np.maximum(peak, 1e-3)[:, None, None])[None]
    sampled = F.grid_sample(source, grid.float(), mode="bilinear", padding_mode="zeros", align_corners=False)[0]
    sampled = sampled.clamp(min=0).sqrt()
    return torch.stack([sampled, torch.ones_like(sampled)], dim=1)
