"""Shape-based interpolation between painted slices (signed distances, Raya & Udupa 1990; carried along the motion)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .motion import Motion, moved

# Signed distances are squashed by tanh(d / _SOFTNESS): a few pixels around the outline are what the decoder needs.
_SOFTNESS = 8.0
_FAR = 64.0
# A slice across the stack says something of at least so many pixels beside it.
_NARROWEST = 3.0
# and of what lies so far away nothing.
_LEAST_WEIGHT = 0.02
# Nearness beyond which a segment that only such slices show has a shape.
_NEAR = 0.5


def signed_distance(mask: np.ndarray, sampling: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Signed Euclidean distance in pixels of a 2D boolean mask, positive inside; -64 everywhere for an empty one.

    Args:
        mask: (rows, columns).
        sampling: distance of neighbouring rows and columns.
    """
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
    outside = distance_transform_edt(~inner, sampling=sampling) - 0.5
    inside = distance_transform_edt(inner, sampling=sampling) - 0.5 if not inner.all() else np.full(inner.shape, _FAR)
    result = np.full(mask.shape, -_FAR, np.float32)
    result[window] = np.where(inner, np.minimum(inside, _FAR), -np.minimum(outside, _FAR))
    return result


def usual_reach(positions: Sequence[float]) -> float | None:
    """By how many slices structures usually go on beyond the outermost painted ones: half a gap.

    Painted slices are mostly spread evenly over the structures. None for a single one, which says nothing.
    """
    return 0.5 * (positions[-1] - positions[0]) / (len(positions) - 1) if len(positions) > 1 else None


def beyond_reach(positions: Sequence[float], count: int, reach: float) -> np.ndarray:
    """(count,) how far beyond the outermost painted slices each slice lies, in units of `reach`; 0 between them."""
    slices = np.arange(count)
    return np.maximum(np.maximum(positions[0] - slices, slices - positions[-1]), 0) / reach


@dataclass(frozen=True)
class CrossingSlice:
    """A painted slice across the stack, as far as the stack's frame shows it.

    Attributes:
        dim: which axis of (Z, h, w) it cuts: 1 (it lies along a row) or 2 (along a column).
        places: indices along that axis that lie in it, one or, in an enlarged frame, several neighbouring ones.
        labels: (Z, w) or (Z, h) integer labels 0..L, -1 where nothing is known.
        complete: (L,) bool, segments whose whole cross-section it shows.
    """

    dim: int
    places: list[int]
    labels: Tensor
    complete: np.ndarray


@dataclass(frozen=True)
class Knowledge:
    """What is known of each segment along the stack.

    Attributes:
        complete: (P, L) bool, whether a slice shows a segment's whole cross-section, which may be empty; elsewhere what
            is not painted as the segment says nothing of it.
        reach: (L,) by how many slices segments are expected to go on beyond their outermost complete slices; nan if
            unknown.
        ends: (L, 2) slices, before the first and after the last complete one, between which and that one a segment
            ends half-way; nan where nothing says so.
    """

    complete: np.ndarray
    reach: np.ndarray
    ends: np.ndarray

    @classmethod
    def everything(cls, slices: int, segments: int, reach: float | None = None) -> Knowledge:
        """All of `slices` painted slices show all segments whole."""
        reaches = np.full(segments, np.nan if reach is None else reach)
        return cls(np.ones((slices, segments), bool), reaches, np.full((segments, 2), np.nan))


class ShapeInterpolation:
    """Interpolated shape of L segments, its disagreement, nearness and betweenness.

    The signed distances of the two neighbouring outlines are looked up along the motion between the slices, followed
    from slice to slice, and then mixed: a structure that wanders or bends (a vessel, say) is not lost half-way. Where a
    neighbour lacks the segment, it ends half-way. Slices across the stack correct the shape near them.

    Args:
        painted: (P, h, w) integer labels, below 0 where nothing is known.
        positions: P increasing slice numbers.
        segments: L.
        step: slice distance in in-plane pixels.
        motion: from slice to slice of the stack.
        known: of each segment.
        crossing: painted slices across the stack.
    """

    def __init__(
        self,
        painted: Tensor,
        positions: list[int],
        segments: int,
        step: float,
        motion: Motion,
        known: Knowledge,
        crossing: Sequence[CrossingSlice] = (),
    ) -> None:
        self._segments, self._plane = segments, painted.shape[-2:]
        labels = painted.cpu().numpy()
        distances = np.full((len(positions) + 1, segments, *self._plane), -_FAR, np.float32)
        for row, position_labels in enumerate(labels):
            for label in range(1, segments + 1):
                distances[row, label - 1] = signed_distance(position_labels == label)
        # the last one stands for slices where a segment is known to be absent though nobody painted them
        self._shapes = _Shapes(torch.from_numpy(distances), step, motion)
        self._groups = _groups(positions, known)
        radius = self._shapes.radius.amax(dim=0) if positions else torch.ones(segments)
        self._corrections = [_Correction(c, step, radius) for c in crossing]
        grouped = {segment for group in self._groups for segment in group.segments}
        across = {int(segment) for c in crossing for segment in np.flatnonzero(c.complete)}
        self._only_across = sorted(across - grouped)

    def __call__(self, queries: list[int]) -> Tensor:
        """Q slice numbers -> (Q, L, 4, h, w), see :mod:`FewShotSegLib.priors`; 0 of what is nowhere complete."""
        if len(self._groups) == 1 and len(self._groups[0].segments) == self._segments and not self._corrections:
            return self._of(self._groups[0], queries)
        result = torch.zeros(len(queries), self._segments, 4, *self._plane)
        for group in self._groups:
            result[:, group.segments] = self._of(group, queries)
        if self._only_across:
            nothing = torch.zeros(len(queries), len(self._only_across), *self._plane)
            outside = nothing - 2 * _SOFTNESS
            channels = self._corrected(outside, nothing, nothing, 0.5 + nothing, queries, self._only_across)
            # Away from these slices nothing is known of the shape.
            result[:, self._only_across] = channels * (channels[:, :, 2:3] > _NEAR)
        return result

    def _of(self, group: _Group, queries: list[int]) -> Tensor:
        shapes = self._shapes
        first, second, weight, between, near = _neighbours(group.positions, queries, shapes.step, group.reach)
        rows_a, rows_b = [np.asarray(group.rows)[index] for index in (first, second)]
        has_a, has_b = shapes.present[rows_a][:, group.segments], shapes.present[rows_b][:, group.segments]
        shape_a, shape_b = shapes.carried(group, queries, first), shapes.carried(group, queries, second)
        # an absent neighbour counts as minus the other's inner radius, which lets the structure vanish half-way
        radius_a, radius_b = (shapes.radius[rows][:, group.segments, None, None] for rows in (rows_a, rows_b))
        shape_b, shape_a = (
            torch.where((has_a & ~has_b)[..., None, None], torch.minimum(-radius_a, shape_a), shape_b),
            torch.where((has_b & ~has_a)[..., None, None], torch.minimum(-radius_b, shape_b), shape_a),
        )
        mixed = torch.lerp(shape_a, shape_b, _column(weight))
        apart, nearness = (shape_a - shape_b).abs(), _column(near).expand_as(mixed)
        return self._corrected(mixed, apart, nearness, _column(between).expand_as(mixed), queries, group.segments)

    def _corrected(
        self, mixed: Tensor, apart: Tensor, near: Tensor, between: Tensor, queries: list[int], segments: list[int]
    ) -> Tensor:
        """Channels (Q, L', 4, h, w) of some segments, with what slices across the stack say."""
        for correction in self._corrections:
            mixed, apart, near = correction(mixed, apart, near, queries, segments)
        return torch.stack([torch.tanh(mixed / _SOFTNESS), torch.tanh(apart / (2 * _SOFTNESS)), near, between], dim=2)


@dataclass(frozen=True)
class _Group:
    """Segments of which the same slices are complete.

    Attributes:
        segments: counted from 0.
        positions: increasing places of these slices.
        rows: which of the shapes each is; the last shape is an empty one.
        reach: of these segments.
    """

    segments: list[int]
    positions: list[float]
    rows: list[int]
    reach: float | None


def _groups(positions: list[int], known: Knowledge) -> list[_Group]:
    alike: dict[tuple, list[int]] = {}
    for segment in range(known.complete.shape[1]):
        of_it = known.complete[:, segment], known.reach[segment : segment + 1], known.ends[segment]
        alike.setdefault(tuple(part.tobytes() for part in of_it), []).append(segment)
    groups = []
    for segments in alike.values():
        rows = np.flatnonzero(known.complete[:, segments[0]]).tolist()
        if not rows:
            continue
        places: list[float] = [positions[row] for row in rows]
        low, high = known.ends[segments[0]]
        if low < places[0]:
            places, rows = [low, *places], [-1, *rows]
        if high > places[-1]:
            places, rows = [*places, high], [*rows, -1]
        reach = float(known.reach[segments[0]])
        groups.append(_Group(segments, places, rows, None if np.isnan(reach) else reach))
    return groups


class _Shapes:
    """Signed distances (P + 1, L, h, w) of the painted slices and of an empty one, and how to carry them elsewhere."""

    def __init__(self, distances: Tensor, step: float, motion: Motion) -> None:
        self._distances, self.step, self._motion = distances, step, motion
        largest = distances.amax(dim=(2, 3))
        self.present = largest > 0
        self.radius = largest.clamp(min=1.0)
        self._followed: dict[tuple[tuple[float, ...], int], Tensor] = {}

    def carried(self, group: _Group, queries: list[int], sources: np.ndarray) -> Tensor:
        """Signed distances (Q, L', h, w) of one painted slice for each query, looked up where the motion leads."""
        shapes = []
        for query, source in zip(queries, sources, strict=True):
            shape, position = self._distances[group.rows[source], group.segments], group.positions[source]
            if position != query and group.rows[source] >= 0:
                followed = self._back_to(group.positions, 1 if position < query else -1)
                shape = moved(shape[None], followed[query].float()[None])[0]
            shapes.append(shape)
        return torch.stack(shapes)

    def _back_to(self, positions: list[float], direction: int) -> Tensor:
        key = (tuple(positions), direction)
        if key not in self._followed:
            self._followed[key] = self._motion.back_to(positions, direction)
        return self._followed[key]


class _Correction:
    """What a painted slice across the stack says of the shape near it (this project).

    In the slice itself the shape is what is painted there; the difference to the interpolated one fades with the
    distance, over about half of the structure's inner radius.

    Args:
        crossing: the slice.
        step: slice distance in in-plane pixels.
        radius: (L,) greatest inner radius of each segment on other slices, in pixels.
    """

    def __init__(self, crossing: CrossingSlice, step: float, radius: Tensor) -> None:
        self._dim, self._places, self._complete = crossing.dim, crossing.places, crossing.complete
        labels, segments = crossing.labels.cpu().numpy(), len(crossing.complete)
        distances = [signed_distance(labels == s, (step, 1.0)) for s in range(1, segments + 1)]
        self._distances = torch.from_numpy(np.stack(distances))
        self._width = 0.5 * torch.maximum(radius, self._distances.amax(dim=(1, 2))).clamp(min=_NARROWEST)

    def __call__(
        self, shapes: Tensor, apart: Tensor, near: Tensor, queries: list[int], segments: list[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Signed distances, how much the shapes differ and nearness of some segments, (Q, L', h, w) each, corrected."""
        rows = [row for row, s in enumerate(segments) if self._complete[s]]
        if not rows:
            return shapes, apart, near
        chosen = [segments[row] for row in rows]
        along = self._turned(shapes[:, rows])
        # Far from an outline the distance says nothing exact.
        base = along.clamp(min=-2 * _SOFTNESS)
        error = self._distances[chosen][:, queries].transpose(0, 1).clamp(min=-2 * _SOFTNESS)
        error = error - base[..., self._places].mean(dim=-1)
        place = torch.arange(along.shape[-1], dtype=torch.float32)
        first, last = self._places[0], self._places[-1]
        beside = torch.maximum(first - place, place - last).clamp(min=0)
        weight = torch.exp(-0.5 * (beside / self._width[chosen][:, None]) ** 2)[None, :, None]
        corrected = [
            torch.where(weight > _LEAST_WEIGHT, base + error[..., None] * weight, along),
            self._turned(apart[:, rows]) * (1 - weight),
            torch.maximum(self._turned(near[:, rows]), 1 / (1 + beside / _SOFTNESS)),
        ]
        results = []
        for before, after in zip((shapes, apart, near), corrected, strict=True):
            result = before.clone()
            result[:, rows] = self._turned(after)
            results.append(result)
        return results[0], results[1], results[2]

    def _turned(self, maps: Tensor) -> Tensor:
        """(Q, L', h, w) with the axis that the slice cuts last, or back."""
        return maps.transpose(2, 3) if self._dim == 1 else maps


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None, None, None]


def _neighbours(positions: list[float], queries: list[int], step: float, reach: float | None) -> tuple[np.ndarray, ...]:
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
