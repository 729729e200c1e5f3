"""A first answer on the slices next to what changed, before the whole volume is segmented anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..example import Example
from ..network.model import FewShotNetwork
from ..plan import Tick
from ..priors import Knowledge
from .encodings import Encodings
from .finish import CONFIDENCE_TEMPERATURE, Layer, merge
from .frames import frame_of
from .labelled_slices import LabelledSlices
from .predictor import Predictor
from .query import UNKNOWN, Query
from .support import support_images


def near_changes(
    network: FewShotNetwork,
    device: torch.device,
    encodings: Encodings,
    query: Query,
    changed: list[Example],
    near: Callable[[list[int], np.ndarray, np.ndarray], None],
    tick: Tick,
) -> None:
    """Segments the gaps that new painted slices lie in, from the slices around them alone.

    Args:
        network, device, encodings: of the session.
        query: with the changed examples.
        changed: examples of the query that are new or other than before.
        near: called with slice numbers, (slices, rows, columns) label values and confidences; not at all where none of
            the slices around the new ones is painted with a segment.
        tick: called with 0 now and then; may raise to cancel.
    """

    def check(_: int) -> None:
        tick(0)

    axis = query.view.axis
    places = [s.index for s in query.own]
    new = sorted({e.index for e in changed if e.axis == axis and e.index in places})
    if not new:
        return
    last = query.view.shape[0] - 1
    before = max([p for p in places if p < new[0]], default=max(new[0] - 2, 0))
    after = min([p for p in places if p > new[-1]], default=min(new[-1] + 2, last))
    part = range(before, after + 1)
    here = [s for s in query.own if s.index in part]
    if not any(s.segments for s in here):
        return
    predictor = Predictor(network, query.view, frame_of(query), device, encodings)
    labels = np.stack([np.where(s.labels == UNKNOWN, 0, s.labels) for s in here])
    complete = np.array([[segment in s.segments for segment in query.segments] for s in here])
    segments = len(query.values)
    known = Knowledge(complete, np.full(segments, np.nan), np.full((segments, 2), np.nan))
    labelled = LabelledSlices([s.index for s in here], labels, known)
    targets = sorted(labelled.all_segments)
    shown = support_images(query, predictor.frame, predictor.window, targets)
    evidence = predictor.evidence(labelled, targets, within=part, tick=check)
    logits = predictor.logits(labelled, shown, targets, evidence, part, tick=check)
    slices = list(part)
    shape = (len(slices), *query.view.shape[1:])
    found, confidence = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    layer = Layer(predictor.frame, targets, logits)
    merge([layer], found, confidence, query.values, slices=slices, tick=check, temperature=CONFIDENCE_TEMPERATURE)
    for support, plane in zip(here, labels, strict=True):
        found[slices.index(support.index)] = np.array([0, *query.values])[plane]
    near(slices, found, confidence)
