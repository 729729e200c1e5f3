"""Shape-based interpolation between painted slices (signed distances, Raya & Udupa 1990; carried along the motion)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .motion import Motion, moved

# Signed distances are squashed by tanh(d / _SOFTNESS): a few pixels around the outline are what the decoder needs.
_SOFTNESS = 8.0
_FAR = 64.0


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Signed Euclidean distance in pixels of a 2D boolean mask, positive inside; -64 everywhere for an empty one."""
    if not mask.any():
        return np.full(mask.shape, -_FAR, np.float32)
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    # Far from the structure the exact distance says nothing more: the transform runs in its surroundings only.
    pad = int(_FAR / 2)
    window = (
        slice(max(rows[0] - pad, 0), rows[-1] + pad + 1),
        slice(max(columns[0] - pad, 0), columns[-1] + pad + 1),
    )
    inner = mask[window]
    outside = distance_transform_edt(~inner) - 0.5
    inside = distance_transform_edt(inner) - 0.5 if not inner.all() else np.full(inner.shape, _FAR)
    result = np.full(mask.shape, -_FAR, np.float32)
    result[window] = np.where(inner, np.minimum(inside, _FAR), -np.minimum(outside, _FAR))
    return result


def usual_reach(positions: list[int]) -> float | None:
    """By how many slices structures usually go on beyond the outermost painted ones: half a gap.

    Painted slices are mostly spread evenly over the structures. None for a single one, which says nothing.
    """
    return 0.5 * (positions[-1] - positions[0]) / (len(positions) - 1) if len(positions) > 1 else None


def beyond_reach(positions: list[int], count: int, reach: float) -> np.ndarray:
    """(count,) how far beyond the outermost painted slices each slice lies, in units of `reach`; 0 between them."""
    slices = np.arange(count)
    return np.maximum(np.maximum(positions[0] - slices, slices - positions[-1]), 0) / reach


class ShapeInterpolation:
    """Interpolated shape of L segments, its disagreement, nearness and betweenness.

    The signed distances of the two neighbouring outlines are looked up along the motion between the slices, followed
    from slice to slice, and then mixed: a structure that wanders or bends (a vessel, say) is not lost half-way. Where a
    neighbour lacks the segment, it ends half-way.

    Args:
        painted: (P, h, w) integer labels.
        positions: P increasing slice numbers.
        segments: L.
        step: slice distance in in-plane pixels.
        motion: from slice to slice of the stack.
        reach: by how many slices segments are expected to go on beyond the outermost painted ones; None if unknown.
    """

    def __init__(
        self,
        painted: Tensor,
        positions: list[int],
        segments: int,
        step: float,
        motion: Motion,
        reach: float | None = None,
    ) -> None:
        labels = painted.cpu().numpy()
        present = np.stack([labels == label for label in range(1, segments + 1)], axis=1)
        distances = np.stack([np.stack([signed_distance(mask) for mask in masks]) for masks in present])
        self._present: np.ndarray = np.any(present, axis=(2, 3))
        self._radius = torch.from_numpy(distances.max(axis=(2, 3)).clip(min=1.0).astype(np.float32))
        self._distances = torch.from_numpy(distances)
        self._positions, self._step, self._reach = positions, step, reach
        self._from_before, self._from_after = motion.back_to(positions, 1), motion.back_to(positions, -1)

    def __call__(self, queries: list[int]) -> Tensor:
        """Q slice numbers -> (Q, L, 4, h, w), see :mod:`FewShotSegLib.evidence`."""
        first, second, weight, between, near = _neighbours(self._positions, queries, self._step, self._reach)
        has_a, has_b = self._present[first], self._present[second]
        shape_a, shape_b = self._carried(queries, first), self._carried(queries, second)
        # an absent neighbour counts as minus the other's inner radius, which lets the structure vanish half-way
        only_a = torch.from_numpy(has_a & ~has_b)[..., None, None]
        only_b = torch.from_numpy(has_b & ~has_a)[..., None, None]
        end_a = -self._radius[first][..., None, None].expand_as(shape_a)
        end_b = -self._radius[second][..., None, None].expand_as(shape_b)
        shape_b = torch.where(only_a, torch.minimum(end_a, shape_a), shape_b)
        shape_a = torch.where(only_b, torch.minimum(end_b, shape_b), shape_a)
        mixed = torch.lerp(shape_a, shape_b, _column(weight))
        return torch.stack(
            [
                torch.tanh(mixed / _SOFTNESS),
                torch.tanh((shape_a - shape_b).abs() / (2 * _SOFTNESS)),
                _column(near).expand_as(mixed),
                _column(between).expand_as(mixed),
            ],
            dim=2,
        )

    def _carried(self, queries: list[int], sources: np.ndarray) -> Tensor:
        """Signed distances (Q, L, h, w) of one painted slice for each query, looked up where the motion leads."""
        shapes = []
        for query, source in zip(queries, sources, strict=True):
            shape, position = self._distances[source], self._positions[source]
            if position != query:
                followed = self._from_before if position < query else self._from_after
                shape = moved(shape[None], followed[query].float()[None])[0]
            shapes.append(shape)
        return torch.stack(shapes)


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None, None, None]


def _neighbours(positions: list[int], queries: list[int], step: float, reach: float | None) -> tuple[np.ndarray, ...]:
    """Painted neighbours of every query: indices before and after, weight of the latter, betweenness and nearness."""
    p = np.asarray(positions)
    q = np.asarray(queries)
    second = np.searchsorted(p, q, side="left").clip(0, len(p) - 1)
    first = np.where(p[second] == q, second, (second - 1).clip(0))
    first = np.where(q < p[0], 0, first)
    beyond = (q < p[0]) | (q > p[-1])
    first = np.where(q > p[-1], len(p) - 1, first)
    gap = p[second] - p[first]
    weight = np.where(gap > 0, (q - p[first]) / np.maximum(gap, 1), 0.0)
    distance = np.abs(q[:, None] - p[None, :]).min(axis=1)
    between = np.where(beyond, 0.5 ** (1 + distance / reach if reach else 1), 1.0)
    return first, second, weight, between, 1 / (1 + distance * step / _SOFTNESS)
