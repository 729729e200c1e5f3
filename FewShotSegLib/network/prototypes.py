"""Mean and peak prototypes, global and per cell, and the cosine maps between them and a query's features.

Notation: S support slices, L segments; class 0 is background, so masks have L + 1 classes that sum to 1 in each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

Pool = Callable[[Tensor, Tensor], Tensor]
"""Maps features (..., C, P) and masks (..., K, P) to prototypes (..., K, C)."""

# A cell's prototype counts only if the class fills at least this much of one feature pixel.
_MIN_WEIGHT = 0.3


def mean_pool(features: Tensor, masks: Tensor) -> Tensor:
    """Masked average pooling (Song et al. 2025: mean prototypes; as in PANet, Wang et al. 2019, eq. 1).

    Args:
        features: (..., C, P) features of P pixels.
        masks: (..., K, P) weights >= 0 of K classes.

    Returns:
        (..., K, C) prototypes; zero where a class has no weight.
    """
    total = masks.sum(dim=-1, keepdim=True)
    return masks @ features.transpose(-1, -2) / total.clamp_min(1e-4)


def peak_pool(features: Tensor, masks: Tensor, sharpness: Tensor | float = 4.0) -> Tensor:
    """Peak prototypes: per channel, the smooth maximum over the class's pixels.

    The paper names peak prototypes of "greatest semantic information" and gives no equation. This project's reading is
    the Boltzmann operator, sum(w f exp(b f)) / sum(w exp(b f)): the masked mean for b = 0, the masked per-channel
    maximum for b -> infinity; in between it is robust against single pixels, and differentiable.

    Args:
        features: (..., C, P), roughly of unit scale.
        masks: (..., K, P) weights >= 0.
        sharpness: b.

    Returns:
        (..., K, C) prototypes; zero where a class has no weight.
    """
    weight = torch.exp((features * sharpness).clamp(-15, 15)).transpose(-1, -2)
    return masks @ (features.transpose(-1, -2) * weight) / (masks @ weight).clamp_min(1e-6)


def cell_pool(features: Tensor, masks: Tensor, cells: int, pool: Pool) -> tuple[Tensor, Tensor]:
    """Local prototypes: every class pooled in each cell of a regular grid (after ALPNet, Ouyang et al. 2020).

    Args:
        features: (S, C, h, w).
        masks: (S, K, h, w).
        cells: cells along each axis.
        pool: :func:`mean_pool` or :func:`peak_pool` (with its sharpness bound).

    Returns:
        prototypes (S, K, cells * cells, C) and their weights (S, K, cells * cells), 0 where a cell lacks the class.
    """
    rows = _cut(features.shape[-2], cells)
    columns = _cut(features.shape[-1], cells)
    prototypes, weights = [], []
    for top, bottom in rows:
        for left, right in columns:
            f = features[:, :, top:bottom, left:right].flatten(2)
            m = masks[:, :, top:bottom, left:right].flatten(2)
            prototypes.append(pool(f, m))
            weights.append(m.sum(dim=-1))
    return torch.stack(prototypes, dim=2), torch.stack(weights, dim=2)


def _cut(size: int, cells: int) -> list[tuple[int, int]]:
    edges = [round(i * size / cells) for i in range(cells + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


@dataclass(frozen=True)
class PrototypeSet:
    """Prototypes of one feature level, from any number of support slices.

    Attributes:
        center: (C,) mean feature over the support's pixels; taken off before pooling and cosines, because otherwise
            pooled maxima of different classes correlate.
        scale: (C,) standard deviation over the support's pixels; divided by, so that no channel drowns the others.
        overall: (L + 1, C) one prototype per class.
        present: (L + 1,) bool, class seen in the support.
        local: (M, C) local prototypes of all classes, ordered by class.
        local_class: (M,) class of each local prototype, not falling.
    """

    center: Tensor
    scale: Tensor
    overall: Tensor
    present: Tensor
    local: Tensor
    local_class: Tensor

    def standardize(self, features: Tensor) -> Tensor:
        """(N, C, h, w) features as the prototypes see them: centred and scaled by the support's statistics."""
        return (features - self.center[:, None, None]) / self.scale[:, None, None]


def build_prototypes(features: Tensor, masks: Tensor, cells: int, pool: Pool, limit: int = 96) -> PrototypeSet:
    """Prototypes of all classes from S support slices.

    Args:
        features: (S, C, h, w) of one level.
        masks: (S, L + 1, h, w) class fractions.
        cells: grid of the local prototypes.
        pool: pooling of this level.
        limit: at most so many local prototypes are kept for the background, and as many for all segments together (the
            best filled cells; at least 8 a segment), so that the comparison with a query does not grow with the number
            of examples and segments.
    """
    classes = masks.shape[1]
    center = features.mean(dim=(0, 2, 3))
    scale = features.std(dim=(0, 2, 3)) + 1e-3
    standard = (features - center[:, None, None]) / scale[:, None, None]
    flat = standard.transpose(0, 1).flatten(1)
    flat_masks = masks.transpose(0, 1).flatten(1)
    weight = flat_masks.sum(dim=1)
    overall = pool(flat, flat_masks)
    prototypes, weights = cell_pool(standard, masks, cells, pool)
    # The best cell of a class always counts, or a structure of a few pixels would have no local prototype.
    best = weights.transpose(0, 1).flatten(1).amax(dim=1)
    keep = weights >= torch.minimum(best, torch.full_like(best, _MIN_WEIGHT))[None, :, None]
    keep &= weights > 0
    limits = [limit] + [max(limit // max(classes - 1, 1), 8)] * (classes - 1)
    keep = _strongest(keep, weights, limits)
    index = torch.arange(classes, device=masks.device)[:, None, None].expand_as(weights.transpose(0, 1))
    kept = keep.transpose(0, 1)
    return PrototypeSet(center, scale, overall, weight > 0, prototypes.transpose(0, 1)[kept], index[kept])


def _strongest(keep: Tensor, weights: Tensor, limits: list[int]) -> Tensor:
    """Restricts `keep` (S, K, cells) to the greatest weights of each class, `limits[k]` of class k."""
    flat = torch.where(keep, weights, torch.zeros_like(weights)).transpose(0, 1).flatten(1)
    rank = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    chosen = (rank < torch.tensor(limits, device=rank.device)[:, None]) & (flat > 0)
    slices, classes, cells = keep.shape
    return chosen.view(classes, slices, cells).transpose(0, 1)


def cosine_maps(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine between every pixel and every prototype.

    Args:
        features: (Q, C, h, w), standardized.
        prototypes: (M, C), or (Q, M, C) with prototypes of each query's own.

    Returns:
        (Q, M, h, w) in [-1, 1].
    """
    query = F.normalize(features, dim=1, eps=1e-4).flatten(2)
    unit = F.normalize(prototypes, dim=-1, eps=1e-4)
    return (unit @ query).unflatten(-1, features.shape[-2:])


def local_maps(features: Tensor, prototypes: PrototypeSet, temperature: Tensor | float) -> tuple[Tensor, Tensor]:
    """Softmax-weighted cosine with the local prototypes of each class, and of all other classes together.

    As ALPNet's adaptive local prototypes; the sums over "all others" come from the totals, so the cost is one product
    with the prototypes, whatever the number of classes, and sums over each class's own.

    Args:
        features: (Q, C, h, w), standardized.
        prototypes: of the same level.
        temperature: of the softmax over a class's prototypes.

    Returns:
        own (Q, L + 1, h, w) and others (Q, L + 1, h, w), in [-1, 1]; -1 for a class (or its others) without prototype.
    """
    classes = prototypes.overall.shape[0]
    cosine = cosine_maps(features, prototypes.local)
    weight = torch.exp(cosine * temperature)
    counts = torch.bincount(prototypes.local_class, minlength=classes).tolist()
    top, bottom = (
        torch.stack([part.sum(dim=1) for part in maps.split(counts, dim=1)], dim=1)
        for maps in (weight * cosine, weight)
    )
    own = torch.where(bottom > 0, top / bottom.clamp_min(1e-6), -torch.ones_like(top))
    top_others = top.sum(dim=1, keepdim=True) - top
    bottom_others = bottom.sum(dim=1, keepdim=True) - bottom
    others = torch.where(bottom_others > 1e-4, top_others / bottom_others.clamp_min(1e-6), -torch.ones_like(top))
    return own, others.clamp(-1, 1)
