"""A random walk through the query's own intensities, for what was found by examples of other volumes.

Where no slice of the query is painted, the network cuts straight through an organ of one brightness where it is not to
be expected any more, and takes along what lies beside it. Once most of a structure is found, the query itself tells
what it looks like. So each structure's log-odds are halved, those of its intensities are added, and a random walker
with these as its prior (Grady, CVPR 2005, "Multilabel random walker image segmentation using prior models") moves its
outline to the edges. The walker is solved for each structure against all else, in the structure's surroundings only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter1d
from torch import Tensor
from torch.nn import functional as F

from ..plan import Tick, no_tick
from ..preprocessing.frame import bounds_of
from ..preprocessing.views import SliceView

# Pixels less probable than this are not kept; they count as this improbable.
_LEAST, _NOWHERE = 0.02, 1e-4
# So far around a structure its surroundings are looked at.
_SURROUNDINGS_MM = 12.0
_LEAST_PIXELS = 50
# What the network says and what the intensities say of a pixel, in log-odds: shares of both, and most of the latter.
_NETWORK, _INTENSITY, _MOST = 0.5, 0.3, 3.0
_BINS, _BLUR_BINS, _LEAST_FREQUENCY = 48, 1.5, 1e-3
# Of the walker: how much the prior holds a voxel, how much an edge stops the walk, for intensities in 0 to 1.
_PRIOR, _EDGE = 0.1, 400.0
_ROUNDS = 25
# Structures in larger surroundings are walked through on coarser pixels.
_MOST_VOXELS = 4_000_000


@dataclass(frozen=True)
class _Patch:
    """Where a segment is probable in one slice: its first row and column, and its (rows, columns) log-odds there."""

    z: int
    top: int
    left: int
    log_odds: Tensor


class RandomWalk:
    """Gathers probabilities slice by slice, then labels the stack anew.

    Example:
        >>> walk = RandomWalk(request.view, segments=2)
        >>> for z, probability in enumerate(probabilities):
        ...     walk.note(z, probability)
        >>> walk.relabel(labels, confidence, values=[1, 2])

    Args:
        view: the query.
        segments: L.
    """

    def __init__(self, view: SliceView, segments: int) -> None:
        self._view = view
        self._patches: list[list[_Patch]] = [[] for _ in range(segments)]

    def note(self, z: int, probability: Tensor) -> None:
        """Keeps what is probable in one slice.

        Args:
            z: which slice.
            probability: (L + 1, rows, columns), class 0 is background.
        """
        for segment, patches in enumerate(self._patches, start=1):
            bounds = bounds_of((probability[segment] > _LEAST).numpy())
            if bounds is None:
                continue
            top, bottom, left, right = bounds
            here = probability[:, top:bottom, left:right].clamp_min(_NOWHERE)
            others = torch.cat([here[:segment], here[segment + 1 :]]).amax(dim=0)
            patches.append(_Patch(z, top, left, (here[segment] / others).log_().half()))

    def relabel(self, labels: np.ndarray, confidence: np.ndarray, values: list[int], tick: Tick = no_tick) -> None:
        """Labels by the walker what was labelled by the probabilities, in place.

        A voxel that changes its label is as sure as its former label was not, but at least as sure as a coin.

        Args:
            labels: (Z, rows, columns).
            confidence: the same shape, 0..1.
            values: label values of segments 1..L.
            tick: called with 1 for each of them, and with 0 in between; may raise to cancel.
        """
        boxes = [self._box(patches) for patches in self._patches]
        whole = _around([box for box in boxes if box is not None])
        if whole is None:
            tick(len(values))
            return
        walked = np.zeros([part.stop - part.start for part in whole], labels.dtype)
        best = np.full(walked.shape, 0.5, np.float16)
        for value, patches, box in zip(values, self._patches, boxes, strict=True):
            if box is not None:
                probability = self._walked(patches, box, tick)
                inside = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, whole, strict=True))
                better = probability > best[inside]
                walked[inside][better], best[inside][better] = value, probability[better]
            tick(1)
        changed = walked != labels[whole]
        labels[whole] = walked
        confidence[whole][changed] = np.maximum(1 - confidence[whole][changed], 0.5)

    def _box(self, patches: list[_Patch]) -> tuple[slice, ...] | None:
        """A segment's surroundings: slices, rows and columns."""
        if not patches:
            return None
        first = np.array([(p.z, p.top, p.left) for p in patches]).min(axis=0)
        last = np.array([(p.z + 1, p.top + p.log_odds.shape[0], p.left + p.log_odds.shape[1]) for p in patches])
        margin = [ceil(_SURROUNDINGS_MM / size) for size in (self._view.gap, *self._view.pixel)]
        low = np.maximum(first - margin, 0)
        high = np.minimum(last.max(axis=0) + margin, self._view.shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def _walked(self, patches: list[_Patch], box: tuple[slice, ...], tick: Tick) -> np.ndarray:
        """Probability of one segment in its box, (Z', rows', columns') float16."""
        shape = [part.stop - part.start for part in box]
        odds = torch.full(shape, float(np.log(_NOWHERE)))
        for patch in patches:
            height, width = patch.log_odds.shape
            top, left = patch.top - box[1].start, patch.left - box[2].start
            odds[patch.z - box[0].start, top : top + height, left : left + width] = patch.log_odds.float()
        image = torch.from_numpy(self._view.array[box].astype(np.float32))
        coarse = 1
        while odds.numel() > _MOST_VOXELS * coarse**2 and coarse < min(shape[1:]):
            coarse += 1
        small, seen = (F.avg_pool2d(x[None], coarse, ceil_mode=True)[0] for x in (odds, image))
        rows, columns = self._view.pixel
        spacing = self._view.gap, rows * coarse, columns * coarse
        walked = _walk(small, seen, spacing, tick)
        if coarse > 1:  # what the walk changes is coarse then, not the outline
            change = torch.logit(walked, eps=_NOWHERE) - _NETWORK * small
            change = F.interpolate(change[None], size=shape[1:], mode="bilinear", align_corners=False)[0]
            walked = torch.sigmoid(_NETWORK * odds + change)
        return np.asarray(walked.half().numpy())


def _around(boxes: list[tuple[slice, ...]]) -> tuple[slice, ...] | None:
    """The box around all boxes; None if there are none."""
    if not boxes:
        return None
    return tuple(slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*boxes, strict=True))


def _walk(odds: Tensor, image: Tensor, spacing: tuple[float, float, float], tick: Tick) -> Tensor:
    """Probability of one structure by its log-odds and intensities, all (Z, rows, columns); spacing in that order."""
    found = odds > 0
    if int(found.sum()) < _LEAST_PIXELS:
        return torch.sigmoid(odds)
    distance = distance_transform_edt(~found.numpy(), sampling=spacing)
    near = torch.from_numpy(np.asarray(distance) < _SURROUNDINGS_MM)
    low, high = (float(end) for end in np.percentile(image[near].numpy(), [2, 98]))
    if not high > low:  # nothing to go by
        return torch.sigmoid(odds)
    seen = ((image - low) / (high - low)).clamp_(-0.5, 1.5)
    tick(0)
    prior = torch.sigmoid(_NETWORK * odds + _INTENSITY * intensity_log_odds(seen, torch.sigmoid(odds), near))
    return random_walker(prior, seen, spacing, tick)


def intensity_log_odds(image: Tensor, probability: Tensor, near: Tensor) -> Tensor:
    """What intensities alone say of a structure: by their frequencies in it and around it.

    Args:
        image: intensities from -0.5 to 1.5.
        probability: the same shape, of the structure.
        near: the same shape, bool: what counts, the structure and its surroundings.

    Returns:
        the same shape; from -3 to 3.
    """
    bins = ((image + 0.5) * (_BINS / 2)).long().clamp_(0, _BINS - 1)
    inside = torch.bincount(bins[near], probability[near], _BINS).numpy()
    around = torch.bincount(bins[near], 1 - probability[near], _BINS).numpy()
    often, seldom = (
        gaussian_filter1d(counts.astype(float), _BLUR_BINS) / max(float(counts.sum()), 1e-6) + _LEAST_FREQUENCY
        for counts in (inside, around)
    )
    table = torch.from_numpy(np.log(often / seldom)).float().clamp_(-_MOST, _MOST)
    return table[bins]


def random_walker(prior: Tensor, image: Tensor, spacing: tuple[float, float, float], tick: Tick = no_tick) -> Tensor:
    """Random walker of two classes with a prior at every voxel.

    Solves (L + g) x = g p (Grady 2005) for the graph Laplacian L of 6-neighbours with weights exp(-b d^2), d being the
    difference of intensities, by conjugate gradients with a diagonal preconditioner. Neighbours across slices count
    less, by how much farther away they are.

    Args:
        prior: (Z, rows, columns) p, 0 to 1.
        image: the same shape, intensities of about 0 to 1.
        spacing: of slices, rows and columns in mm.
        tick: called with 0 in between; may raise to cancel.

    Returns:
        (Z, rows, columns) x, 0 to 1.
    """
    nearest = min(spacing[1:])
    weights = [torch.exp(-_EDGE * image.diff(dim=axis).square()) * (nearest / spacing[axis]) for axis in range(3)]
    diagonal = torch.full_like(prior, _PRIOR)
    for axis, weight in enumerate(weights):
        before, after = _neighbours(diagonal, axis)
        before += weight
        after += weight

    def applied(x: Tensor) -> Tensor:
        result = diagonal * x
        for axis, weight in enumerate(weights):
            (before, after), (x_before, x_after) = _neighbours(result, axis), _neighbours(x, axis)
            before.addcmul_(weight, x_after, value=-1)
            after.addcmul_(weight, x_before, value=-1)
        return result

    x = prior.clone()
    residual = _PRIOR * prior - applied(x)
    scaled = residual / diagonal
    direction, size = scaled.clone(), torch.sum(residual * scaled)
    for _ in range(_ROUNDS):
        if not size > 0:
            break  # a prior without an edge is its own solution
        tick(0)
        steered = applied(direction)
        step = size / torch.sum(direction * steered)
        x += step * direction
        residual -= step * steered
        torch.div(residual, diagonal, out=scaled)
        size, former = torch.sum(residual * scaled), size
        direction.mul_(size / former).add_(scaled)
    return x.clamp_(0, 1)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Views of all but the last and of all but the first along an axis."""
    count = x.shape[axis] - 1
    return x.narrow(axis, 0, count), x.narrow(axis, 1, count)
