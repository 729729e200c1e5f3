"""How like two patients' scans are, once one is registered to the other.

Another modality, another contrast or another part of the body shows in what the network sees where like places should
lie. Measured on pairs of the benchmark's and the open volumes; figures are in LEARNED.md.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .described_stack import DescribedStack
from .feature_registration import cells_of

_CELLS = 36
_LEAST_DEVIATION = 1e-4


def likeness(query: DescribedStack, other: DescribedStack, scale: float, shift: float, field: Tensor) -> float:
    """Mean cosine of what the network sees at like places of two scans, each channel standardized in both together.

    Args:
        query: scan that the other was registered to.
        other: that other scan.
        scale, shift: which slices are alike; see :func:`~.slice_alignment.lay_over`.
        field: (3, Z, R, C) mm; see :func:`~.feature_registration.displacements`.

    Returns:
        -1 to 1, 1 for the same scan; 0 where they have no place in common.
    """
    places = cells_of(query, _CELLS)
    moved = F.interpolate(field[None], size=places.shape[1:], mode="trilinear", align_corners=False)[0]
    millimetres = torch.tensor([1.0, *query.extent[1:]])[:, None, None, None]
    there = places + moved / millimetres
    there = torch.stack([scale * there[0] + shift, there[1], there[2]])
    both = query.maps, other.maps
    center = torch.stack([maps.mean(dim=(1, 2, 3)) for maps in both]).mean(dim=0)[:, None, None, None]
    width = torch.stack([maps.std(dim=(1, 2, 3)) for maps in both]).mean(dim=0)[:, None, None, None]
    width = width.clamp(min=_LEAST_DEVIATION)
    ones = torch.ones_like(other.maps[:1])
    inside = other.sampled(ones, there)[0] > 0.5
    if not inside.any():
        return 0.0
    seen = query.sampled((query.maps - center) / width, places)
    found = other.sampled((other.maps - center) / width, there)
    return float(F.cosine_similarity(seen, found, dim=0)[inside].mean())
