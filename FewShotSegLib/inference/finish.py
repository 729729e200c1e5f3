"""Logits at different scales, merged into labels and confidence, and what follows until they are a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..memory import give_back
from ..parallel import Check, in_parallel
from ..plan import Plan, Tick, no_tick
from ..preprocessing.frame import Frame
from ..preprocessing.intensity import window_of
from ..stages import Stage
from .completeness import looks_like_strokes
from .components import PaintedPlane, in_one_piece, remove_islands
from .predictor import OUTSIDE
from .query import UNKNOWN, Query, Support
from .random_walk import RandomWalk
from .refinement import refined
from .steps import Steps

if TYPE_CHECKING:
    from .pipeline import Passes

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
        member: which of several predictions it belongs to, whose probabilities are averaged.
        weight: of that prediction in the average.
    """

    frame: Frame
    segments: list[int]
    logits: Tensor
    share: float = 1.0
    member: int = 0
    weight: float = 1.0


def finished(query: Query, passes: Passes, strength: float, steps: Steps, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Labels and confidence of a query from its passes.

    Args:
        query: what was asked for.
        passes: what was found.
        strength: of the boundary refinement, 0 for none to 1.
        steps: which are done.
        plan: is told of every step.

    Returns:
        two arrays of the volume's shape: label values and confidences in 0..1.
    """
    view, values = query.view, query.values
    stack = view.array
    window = window_of(passes.frame.inside(stack))

    def refine(z: int, probability: Tensor) -> Tensor:
        return refined(torch.from_numpy(window(stack[z])), probability, strength)

    give_back()  # the results are large
    # Filled through views in the order of the slices, so that large volumes exist once only.
    labels = np.zeros(view.volume.shape, np.uint8 if max(values) < 256 else np.uint16)
    confidence = np.zeros(view.volume.shape, np.float32)
    stacks = np.moveaxis(labels, view.axis, 0), np.moveaxis(confidence, view.axis, 0)
    walker = None if query.is_painted or not steps.walk else RandomWalk(view, len(values))
    tick = plan.begin(Stage.JOINING, len(stacks[0]))
    note = None if walker is None else walker.note
    merge(
        passes.layers,
        *stacks,
        values,
        refine if strength > 0 else None,
        tick=tick,
        temperature=CONFIDENCE_TEMPERATURE,
        note=note,
    )
    if walker is not None:
        walker.relabel(*stacks, values, plan.begin(Stage.FOLLOWING, len(values)))
    _paste(query, passes, labels, confidence)
    own = [*query.own, *query.crossing]
    clean = [values[s - 1] for s in in_one_piece([s.labels for s in (*own, *query.foreign)], query.segments)]
    table = np.array([0, *values, 0])  # the last one is that of what is unknown, -1
    planes = [PaintedPlane(s.view.axis, s.index, table[s.labels]) for s in own]
    remove_islands(labels, confidence, clean, planes, plan.begin(Stage.CLEANING, len(clean)))
    return labels, confidence


def _paste(query: Query, passes: Passes, labels: np.ndarray, confidence: np.ndarray) -> None:
    """Makes the query's painted slices say what is known of them, in place."""
    table = np.array([0, *query.values], labels.dtype)
    everything = frozenset(query.segments)
    if passes.painting is None:  # nothing is found out where no segment is painted: such slices are negative examples
        known = [(s, _said(s, everything)) for s in (*query.own, *query.crossing)]
    else:
        is_open = passes.painting.open
        known = [
            (s, everything - {int(n) + 1 for n in np.flatnonzero(row)})
            for s, row in zip(query.own, is_open, strict=True)
        ]
        known += [(s, settled.complete) for s, settled in zip(query.crossing, passes.painting.crossing, strict=True)]
    slabs = [
        (
            support,
            complete,
            np.moveaxis(labels, support.view.axis, 0)[support.index],
            np.moveaxis(confidence, support.view.axis, 0)[support.index],
        )
        for support, complete in known
    ]
    for support, complete, values, sureness in slabs:
        denied = (support.labels == UNKNOWN) & np.isin(values, table[sorted(complete)])
        values[denied] = 0
        if complete == everything:
            sureness[:] = 1
    # What is painted comes last: where slices cross, the other one may say nothing of it.
    for support, _, values, sureness in slabs:
        painted = support.labels != UNKNOWN
        values[painted] = table[support.labels[painted]]
        sureness[painted] = 1


def _said(support: Support, everything: frozenset[int]) -> frozenset[int]:
    """Segments that a slice without any shows whole: none of them is there, unless something else is said."""
    told = frozenset() if looks_like_strokes(support) else everything
    return frozenset(segment for segment in everything if support.said.get(segment, segment in told))


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
        layers: the first of each prediction covers the region of interest, later ones show single structures larger.
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
    chosen = list(slices) if slices is not None else list(range(count))

    members = [[layer for layer in layers if layer.member == m] for m in sorted({layer.member for layer in layers})]
    each = [member[0].weight for member in members]

    def merged(z: int, _: Check) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
        predictions = [_joined(member, z, plane, len(values)) for member in members]
        weights = [w * shown for w, (_, _, shown) in zip(each, predictions, strict=True)]
        probability = _averaged([p for p, _, _ in predictions], weights)
        first = None
        if temperature is not None and any(f is not None for _, f, _ in predictions):
            firsts = [p if f is None else f for p, f, _ in predictions]
            first = _averaged(firsts, weights)
        if refine is not None:
            probability = refine(z, probability)
        best = probability.max(dim=0)
        sureness = best.values
        if temperature is not None:
            odds = _log_odds(sureness)
            if first is not None:
                alone = _log_odds(first.gather(0, best.indices[None])[0])
                odds = torch.lerp(odds, alone.clamp(-_SUREST, _SUREST), _FIRST_LOOK)
            sureness = torch.sigmoid(odds / temperature)
        return table[best.indices.numpy()], sureness.numpy(), None if note is None else probability

    for row, (z, found) in enumerate(zip(chosen, in_parallel(merged, chosen, tick), strict=True)):
        labels[row], confidence[row], probability = found
        if note is not None and probability is not None:
            note(z, probability)
        tick(1)


def _joined(layers: list[Layer], z: int, plane: tuple[int, int], segments: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """Probabilities (L + 1, rows, columns) of one prediction in a slice.

    Returns:
        of all its layers; of those that replace others alone, None if these are all; and (L + 1,) which it is about.
    """
    logits = torch.full((segments + 1, *plane), OUTSIDE)
    logits[0] = 0
    shown = torch.zeros(segments + 1)
    shown[0] = 1
    first = None
    for layer in layers:
        if first is None and layer.share < 1:
            first = F.softmax(logits, dim=0)
        found, (rows, columns) = layer.frame.paste(layer.logits[:, z], plane)
        shown[layer.segments] = 1
        for segment, its_logits in zip(layer.segments, found, strict=True):
            logits[segment, rows, columns].lerp_(its_logits, layer.share)
    return F.softmax(logits, dim=0), first, shown


def _averaged(probabilities: list[Tensor], weights: list[Tensor]) -> Tensor:
    """The mean of several predictions, weighted by (L + 1,) each: 0 for segments that it is not about."""
    if len(probabilities) == 1:
        return probabilities[0]
    share = torch.stack(weights)[:, :, None, None]
    mean = (torch.stack(probabilities) * share).sum(dim=0) / share.sum(dim=0).clamp(min=1e-6)
    return mean / mean.sum(dim=0, keepdim=True)


def _log_odds(probability: Tensor) -> Tensor:
    """Logarithms of the odds, to be divided by a temperature (Guo et al., ICML 2017, section 4.2)."""
    return torch.logit(probability.clamp(1e-6, 1 - 1e-6))
