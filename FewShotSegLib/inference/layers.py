"""Logits at different scales, merged into labels and confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..preprocessing.frame import Frame
from .course import Tick, no_tick
from .frame_pass import OUTSIDE

CONFIDENCE_TEMPERATURE = 2.0
"""What log-odds of the bundled weights are divided by. Open volumes give 1.7, single looks at them 2 (see
`evaluation.calibration`); the larger counts, since these volumes trained the network: on others it is surer still."""
# What the first look says of the label counts by this much, all looks together by the rest: looks that are guided by
# what others saw believe their errors, so that all looks together are sure of them too.
_FIRST_LOOK = 0.6
# Log-odds of a single look beyond which it says no more: it has erred that surely.
_SUREST = 8.0


@dataclass
class Layer:
    """Logits of some segments through one frame.

    Attributes:
        frame: where.
        segments: T segments 1..L.
        logits: (T, Z, h, w) float16.
        share: 1 if these logits replace those of earlier layers, less to average with them.
    """

    frame: Frame
    segments: list[int]
    logits: Tensor
    share: float = 1.0


def smooth_through_slices(layer: Layer, step: float) -> None:
    """Averages logits with those of the neighbouring slices, in place; the nearer the slices, the more.

    Args:
        layer: what to smooth.
        step: slice distance in pixels of the layer's maps.
    """
    weight = float(np.exp(-0.5 * (step / 1.0) ** 2))
    if weight < 0.01 or layer.logits.shape[1] < 3:
        return
    for t in range(len(layer.logits)):
        x = layer.logits[t].float()
        padded = torch.cat([x[:1], x, x[-1:]])
        layer.logits[t] = ((weight * padded[:-2] + x + weight * padded[2:]) / (1 + 2 * weight)).half()


def merge(
    layers: list[Layer],
    labels: np.ndarray,
    confidence: np.ndarray,
    values: Sequence[int],
    refine: Callable[[int, Tensor], Tensor] | None = None,
    slices: Sequence[int] | None = None,
    tick: Tick = no_tick,
    temperature: float | None = None,
    note: Callable[[int, Tensor], None] | None = None,
) -> None:
    """Fills in labels and confidence of whole slices; a later layer replaces an earlier one inside its frame.

    Args:
        layers: the first covers the region of interest, later ones show single structures larger.
        labels: (Z, rows, columns), integer, to be filled.
        confidence: (Z, rows, columns), float, to be filled with the probability of the chosen label.
        values: label values of segments 1..L.
        refine: maps slice number and probabilities (L + 1, rows, columns) to refined ones.
        slices: Z slice numbers to fill in, all if None.
        tick: called with 1 for each slice; may raise to cancel.
        temperature: of a confidence that doubts what the first look found otherwise; above 1 it is less sure. None for
            the probability as it is. Labels stay.
        note: called with slice number and refined probabilities.
    """
    count, *shape = labels.shape
    plane = (shape[0], shape[1])
    table = np.array([0, *values], dtype=labels.dtype)
    for row, z in enumerate(slices if slices is not None else range(count)):
        logits = torch.full((len(values) + 1, *plane), OUTSIDE)
        logits[0] = 0
        first = None
        for layer in layers:
            if first is None and layer.share < 1 and temperature is not None:
                first = logits.clone()
            found, (rows, columns) = layer.frame.paste(layer.logits[:, z], plane)
            for segment, its_logits in zip(layer.segments, found, strict=True):
                logits[segment, rows, columns].lerp_(its_logits, layer.share)
        probability = F.softmax(logits, dim=0)
        if refine is not None:
            probability = refine(z, probability)
        if note is not None:
            note(z, probability)
        best = probability.max(dim=0)
        labels[row] = table[best.indices.numpy()]
        sureness = best.values
        if temperature is not None:
            odds = _log_odds(sureness)
            if first is not None:
                alone = _log_odds(F.softmax(first, dim=0).gather(0, best.indices[None])[0])
                odds = torch.lerp(odds, alone.clamp(-_SUREST, _SUREST), _FIRST_LOOK)
            sureness = torch.sigmoid(odds / temperature)
        confidence[row] = sureness.numpy()
        tick(1)


def _log_odds(probability: Tensor) -> Tensor:
    """Logarithms of the odds, to be divided by a temperature (Guo et al., ICML 2017, section 4.2)."""
    return torch.logit(probability.clamp(1e-6, 1 - 1e-6))
