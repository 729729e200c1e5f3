"""Boundary refinement: probabilities fitted to the query's own intensities by a guided filter.

The network decides at half of its frame's resolution; the image knows the edge to the pixel. A guided filter (He, Sun &
Tang, TPAMI 2013, equations 5, 6 and 8) makes each structure's probability a local linear function of the image, so its
boundary follows intensity edges where there are any and stays where it is where there are none.

Where edges mislead (a structure without an edge beside one that has), refinement would do harm. So it must prove itself
on the examples: painted outlines are blurred to the network's resolution and refined; a structure whose painted outline
is not better restored than without refinement is left as the network gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..preprocessing.frame import Frame, bounds_of
from ..preprocessing.intensity import window_of
from .course import Tick, no_tick
from .request import Request

_RADIUS = 2
_EPSILON = 1e-3
_BAND = 0.02
_TRIALS = 8
# The network errs by more than its resolution loses: trial outlines are blurred as if its pixels were this much larger.
_TRIAL_COARSENESS = 2.5


@dataclass(frozen=True)
class Refinement:
    """Guided filter of probabilities.

    Attributes:
        segments: segments 1..L to refine; the others keep their probabilities.
        strength: 0 for none, 1 for the filtered probability alone.
    """

    segments: Sequence[int]
    strength: float = 1.0

    def __call__(self, image: Tensor, probability: Tensor) -> Tensor:
        """Refines one slice.

        Args:
            image: (rows, columns) intensities in [0, 1].
            probability: (L + 1, rows, columns), class 0 is background.

        Returns:
            (L + 1, rows, columns), sums to 1.
        """
        result = probability.clone()
        changed = False
        for segment in self.segments:
            p = probability[segment]
            bounds = bounds_of(((p > _BAND) & (p < 1 - _BAND)).numpy())
            if bounds is None:
                continue
            pad = 2 * _RADIUS + 1
            rows = slice(max(bounds[0] - pad, 0), bounds[1] + pad)
            columns = slice(max(bounds[2] - pad, 0), bounds[3] + pad)
            filtered = guided_filter(image[rows, columns], p[rows, columns])
            result[segment, rows, columns] += self.strength * (filtered - p[rows, columns])
            changed = True
        if not changed:
            return probability
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


def segments_that_gain(
    images: Sequence[Tensor], masks: Sequence[np.ndarray], segments: int, shrink: float, tick: Tick = no_tick
) -> list[int]:
    """Segments whose painted outlines the refinement restores better than plain interpolation does.

    Args:
        images: painted slices, (rows, columns) in [0, 1] each.
        masks: their (rows, columns) segment indices 0..L.
        segments: L.
        shrink: pixels of the network's logits per image pixel along one axis, at most 1.
        tick: called with 1 for each slice, and with 0 in between; may raise to cancel.

    Returns:
        segments 1..L that gain.
    """
    gain = np.zeros(segments)
    for image, mask in zip(images, masks, strict=True):
        size = [max(int(round(n * shrink / _TRIAL_COARSENESS)), 1) for n in mask.shape]
        for segment in np.unique(mask[mask > 0]):
            truth = torch.from_numpy(mask == segment).float()
            small = F.interpolate(truth[None, None], size=size, mode="bilinear", antialias=True, align_corners=False)
            blurred = F.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False)
            rough = F.interpolate(blurred, size=truth.shape, mode="bilinear", align_corners=False)[0, 0]
            probability = torch.stack([1 - rough, rough])
            refined = Refinement([1])(image, probability)[1]
            wrong = ((rough > 0.5) != (truth > 0.5)).sum()
            still_wrong = ((refined > 0.5) != (truth > 0.5)).sum()
            gain[segment - 1] += float(wrong - still_wrong) / max(float(truth.sum()), 1.0)
            tick(0)
        tick(1)
    return [int(s) + 1 for s in np.flatnonzero(gain > 0)]


def trials(request: Request) -> int:
    """Number of painted slices on which `refiner` tries the refinement."""
    return min(len(request.painted.positions or request.foreign), _TRIALS)


def refiner(
    request: Request, frame: Frame, strength: float = 1.0, tick: Tick = no_tick
) -> Callable[[int, Tensor], Tensor] | None:
    """Refinement of a request's slices, for the segments that gain from it on the examples; None if there are none.

    Args:
        request: with painted slices of the query, or of other volumes.
        frame: the one the network saw the region of interest through.
        strength: 0 for none to 1.
        tick: called with 1 for each of the `trials`, and with 0 in between; may raise to cancel.
    """
    stack = request.view.array
    window = window_of(frame.inside(stack))
    if request.painted.positions:
        images = [torch.from_numpy(window(stack[p])) for p in request.painted.positions]
        masks = list(request.painted.masks)
    else:
        images = [torch.from_numpy(window_of(f.image)(f.image)) for f in request.foreign]
        masks = [f.mask for f in request.foreign]
    shrink = min(frame.half[0] / frame.rows, 1.0)
    chosen = segments_that_gain(images[:_TRIALS], masks[:_TRIALS], len(request.values), shrink, tick)
    if not chosen:
        return None
    refinement = Refinement(chosen, strength)
    return lambda z, probability: refinement(torch.from_numpy(window(stack[z])), probability)
