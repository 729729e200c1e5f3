"""From a query to layers of logits: within a volume guided by its painted slices, across volumes by other ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..kept import KeptByVolume
from ..network.model import FewShotNetwork
from ..plan import Leg, Plan
from ..preprocessing.frame import Bounds, Frame, body_size, bounds_of, frame_around, union
from ..preprocessing.views import SliceView
from ..priors import prior_of_propagated_shapes
from ..registration.painted_stack import PaintedStack
from ..registration.patient_registration import PatientRegistration
from ..registration.propagated_shapes import counted, propagated_positions
from ..stages import Stage
from .adaptation import STEPS, adapted
from .completeness import Completeness, Painting
from .encodings import Encodings
from .extent import extent_penalty
from .finish import Layer, merge
from .frames import SIDE, frame_of, region_of, with_margin
from .labelled_slices import LabelledSlices
from .likeness import likenesses
from .predictor import Evidence, Predictor
from .pseudo_labels import certain_pixels, halved_gaps, sure_slices, with_slices, with_sure_slices
from .query import Query, Support, at_home, digest_of
from .steps import Steps
from .support import support_images

# Segments that are looked for together, at most: their evidence takes memory.
_TOGETHER = 48
# Below this logit everywhere in a slice, a structure is taken to be absent there.
_ABSENT = -4.0
# Other volumes that predict each by themselves, and pixels of all their slices and segments, at most.
MOST_VOLUMES, _MEMBERS_PIXELS = 5, 1600 * 256 * 256
# How much less like the query than the likest one a volume is that weighs a third of it.
_LIKENESS = 0.05
# A closer pass over all that was found is worth it if its pixels are smaller than this part of the first one's.
_WORTH = 0.75
# What a pass that is guided by pseudo-labels weighs against the others: it holds a structure together, but believes
# their errors.
_GUIDED_SHARE = 0.5
# Passes that follow the first where all that is painted lies together: what one finds is what the next grows from.
_PASSES_FROM_ONE_PLACE = 2
# Those that follow where painted slices are spread, each guided by slices in the middle of the gaps that were left.
_PASSES_BETWEEN = 2


@dataclass(frozen=True)
class Passes:
    """What the passes over a query found.

    Attributes:
        layers: logits, to be merged in their order.
        frame: through which most of it was seen.
        painting: what is known of the query's painted slices; None where it has none.
    """

    layers: list[Layer]
    frame: Frame
    painting: Painting | None


def run_passes(
    network: FewShotNetwork,
    device: torch.device,
    plan: Plan,
    encodings: Encodings,
    kept: KeptByVolume,
    thorough: bool,
    steps: Steps,
    query: Query,
) -> Passes:
    """Layers of logits of a query, and what was found out about its painted slices.

    Args:
        network: in evaluation mode.
        device: where it is.
        plan: is told what lies ahead, and of every step.
        encodings: keep the features of the query's slices.
        kept: keeps what is found of other volumes, for further queries.
        thorough: whether the head is adapted to the query's painted slices, and pseudo-labels guide further passes.
        steps: which steps are done.
        query: what is asked for.
    """
    encodings.begin(query.view.array)
    if query.is_painted:
        return _Within(network, device, plan, encodings, kept, thorough, steps, query).run()
    region = region_of(query)
    groups, weights = _by_volume(query, lambda: likeness_of_others(network, device, plan, kept, query))
    members = [
        _Across(network, device, plan, encodings, kept, thorough, steps, replace(query, foreign=foreign))
        for foreign in groups
    ]
    plan.expect([*(leg for member in members for leg in member.legs()), Leg(Stage.FOLLOWING, 0.4), *ends()])
    layers: list[Layer] = []
    for number, (member, weight) in enumerate(zip(members, weights, strict=True)):
        layers += [replace(layer, member=number, weight=weight) for layer in member.run(region)]
    return Passes(layers, frame_around(region, query.view.pixel, SIDE), None)


def likeness_of_others(
    network: FewShotNetwork, device: torch.device, plan: Plan, kept: KeptByVolume, query: Query
) -> list[tuple[SliceView, float]]:
    """The volumes of other volumes' painted slices with how like the query they are, the likest first."""
    stacks = _painted_stacks(support for support in query.foreign if support.segments)
    tick = plan.begin(Stage.REGISTERING, len({id(stack.view.volume) for stack in stacks}))
    register = PatientRegistration(network, device, query.view, lambda: tick(0), kept)
    return likenesses(register, stacks, tick)


def _by_volume(
    query: Query, likeness: Callable[[], list[tuple[SliceView, float]]]
) -> tuple[list[list[Support]], list[float]]:
    """Painted slices of other volumes, by volume: each predicts by itself, since averages err less than any of them.

    The likest ones where there are more than can be used, and all together where each alone would take too much memory.
    Slices without any segment go with all.

    Args:
        query: with the painted slices.
        likeness: finds how like the query the volumes are, the likest first.

    Returns:
        the slices of each prediction, and what it weighs.
    """
    volumes: dict[int, list[Support]] = {}
    for support in query.foreign:
        volumes.setdefault(id(support.view.volume), []).append(support)
    showing = [key for key, supports in volumes.items() if any(s.segments for s in supports)]
    empty = [s for key, supports in volumes.items() if key not in showing for s in supports]
    most = min(_MEMBERS_PIXELS // (len(query.values) * query.view.shape[0] * SIDE**2), MOST_VOLUMES)
    if len(showing) < 2 or most < 2:
        return [query.foreign], [1.0]
    alike = likeness()[:most]
    weights = [math.exp((value - alike[0][1]) / _LIKENESS) for _, value in alike]
    return [volumes[id(view.volume)] + empty for view, _ in alike], weights


class _Volume:
    """What both kinds of passes share: one query, the network adapted to it, one pass through a frame."""

    def __init__(
        self,
        network: FewShotNetwork,
        device: torch.device,
        plan: Plan,
        encodings: Encodings,
        kept: KeptByVolume,
        thorough: bool,
        steps: Steps,
        query: Query,
    ) -> None:
        self._network, self._device, self._plan, self._kept = network, device, plan, kept
        self._encodings, self._thorough, self._steps, self._query = encodings, thorough, steps, query
        self._adapted = network

    def _predictor(self, frame: Frame, network: FewShotNetwork | None = None) -> Predictor:
        return Predictor(network or self._adapted, self._query.view, frame, self._device, self._encodings)

    def _nothing(self) -> LabelledSlices:
        return LabelledSlices.none(len(self._query.values))

    def _search(self, frame: Frame, targets: list[int], stage: Stage, only: list[int] | None = None) -> Layer:
        """A pass that is guided by examples of other volumes alone."""
        # The query's own slices, where there are any, teach nothing of what only other volumes show.
        predictor = self._predictor(frame, self._network if self._query.is_painted else None)
        shown = support_images(self._query, frame, predictor.window, targets)
        evidence = self._expected(predictor, targets)
        slices = predictor.count if only is None else len(only)
        tick = self._plan.begin(stage, slices)
        return Layer(frame, targets, predictor.logits(self._nothing(), shown, targets, evidence, only, tick=tick))

    def _guided(
        self, predictor: Predictor, labelled: LabelledSlices, crossing: Sequence[Support], by_user: bool
    ) -> list[Layer]:
        """A pass that is guided by labelled slices of the query; many segments go by groups, which bounds memory."""
        everything = sorted(labelled.all_segments | {s for c in crossing for s in c.segments})
        groups = np.array_split(everything, -(-len(everything) // _TOGETHER))
        return [self._guided_to(group.tolist(), predictor, labelled, crossing, by_user) for group in groups]

    def _guided_to(
        self,
        targets: list[int],
        predictor: Predictor,
        labelled: LabelledSlices,
        crossing: Sequence[Support],
        by_user: bool,
    ) -> Layer:
        shown = support_images(self._query, predictor.frame, predictor.window, targets)
        tick = self._plan.begin(Stage.MEASURING, 1)
        evidence = predictor.evidence(labelled, targets, crossing, tick=lambda _: tick(0))
        tick(1)
        # What pseudo-labels alone say would confirm itself far from where a structure is to be expected.
        if not by_user:
            own, expected = evidence, self._expected(predictor, targets)
            evidence = lambda slices: own(slices) + expected(slices)  # noqa: E731
        tick = self._plan.begin(Stage.SEGMENTING, predictor.count)
        logits = predictor.logits(labelled, shown, targets, evidence, tick=tick)
        logits -= extent_penalty(labelled, targets, self._query.view, by_user)[:, :, None, None].half()
        return Layer(predictor.frame, targets, logits)

    def _expected(self, predictor: Predictor, targets: list[int]) -> Evidence:
        """Evidence of where the examples of other volumes had each segment."""
        frame, shape = predictor.frame, self._query.view.shape
        height, width = frame.half
        rows = frame.top + (torch.arange(height) + 0.5) * frame.rows / height
        columns = frame.left + (torch.arange(width) + 0.5) * frame.columns / width
        grid = torch.meshgrid(rows / shape[1], columns / shape[2], indexing="ij")
        return prior_of_propagated_shapes(self._carried[np.asarray(targets) - 1], *grid)

    @cached_property
    def _carried(self) -> np.ndarray:
        """(L, Z, r, c) shapes of other volumes' segments, carried over by a registration."""
        stacks = counted(_painted_stacks(self._query.foreign))
        tick = self._plan.begin(Stage.REGISTERING, len(stacks))
        register = PatientRegistration(self._network, self._device, self._query.view, lambda: tick(0), self._kept)
        return propagated_positions(self._query.view, stacks, len(self._query.values), register, tick)

    def _seen(self, layers: list[Layer], slices: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels (segments 0..L) and confidence of the layers so far, on some or all slices, (Z, rows, columns)."""
        segments = len(self._query.values)
        count, *plane = self._query.view.shape
        shape = (count if slices is None else len(slices), *plane)
        # small types, because these are whole volumes
        labels = np.zeros(shape, np.uint8 if segments < 256 else np.uint16)
        confidence = np.zeros(shape, np.float16)
        tick = self._plan.begin(Stage.REVIEWING, len(labels))
        merge(layers, labels, confidence, range(1, segments + 1), slices=slices, tick=tick)
        return labels, confidence


class _Within(_Volume):
    """Passes over a query of which slices are painted."""

    def run(self) -> Passes:
        query = self._query
        frame = frame_of(query)
        predictor = self._predictor(frame)
        tick = self._plan.begin(Stage.MEASURING, 1)
        shown = support_images(query, frame, predictor.window, query.segments)
        painting = Completeness(predictor, query, shown, tick).painting()
        tick(1)
        labelled, crossing = painting.labelled, painting.crossing
        together = bool(np.isnan(labelled.known.reach).all())
        rounds = self._rounds(labelled, together) if self._thorough and self._steps.guide else []
        adapt = self._thorough and self._steps.adapt and len(labelled.positions) > 1
        self._expect(len(rounds), adapt)
        if adapt:
            self._adapt(frame, labelled)
        layers = self._of_other_volumes(labelled, crossing)
        layers += self._guided(self._predictor(frame), labelled, crossing, True)
        painted = labelled.all_segments
        for number, further in enumerate(rounds):
            labels, confidence = self._seen(layers, further)
            if together:
                guides = with_sure_slices(labelled, sure_slices(labels, confidence, len(query.values), painted))
                if guides is labelled:  # a further pass would only repeat this one
                    break
            else:
                certain = certain_pixels(labels, confidence, painted)
                guides = with_slices(labelled, further, labels, certain)
            if adapt and not together and number == 0:  # once more for the next round brings no more
                self._adapt(frame, labelled, guides)
            layers += _half_believed(self._guided(self._predictor(frame), guides, crossing, True))
        return Passes(layers, frame, painting)

    def _adapt(self, frame: Frame, labelled: LabelledSlices, guides: LabelledSlices | None = None) -> None:
        tick = self._plan.begin(Stage.ADAPTING, STEPS)
        predictor = self._predictor(frame, self._network)
        shown = support_images(self._query, frame, predictor.window, self._query.segments)
        size = body_size(self._query.view.body, self._query.view.pixel)
        self._adapted = adapted(predictor, labelled, shown, size, tick, guides)

    def _expect(self, rounds: int, adapt: bool) -> None:
        """What lies ahead; a pass is the unit."""
        guided = [Leg(Stage.MEASURING, 0.4), Leg(Stage.SEGMENTING, 1.0)]
        adapting = [Leg(Stage.ADAPTING, 1.5)] if adapt else []
        further = [Leg(Stage.REVIEWING, 0.1), *guided]
        again = [Leg(Stage.REVIEWING, 0.1), *adapting, *guided] + (rounds - 1) * further if rounds else []
        self._plan.expect([*adapting, *guided, *again, *ends()])

    def _of_other_volumes(self, labelled: LabelledSlices, crossing: list[Support]) -> list[Layer]:
        """A pass for the segments that only other volumes' examples show."""
        here = labelled.all_segments | {s for c in crossing for s in c.segments}
        shown = {s for f in self._query.foreign for s in f.segments}
        elsewhere = sorted(shown - here)
        if not elsewhere:
            return []
        wide = frame_around(region_of(self._query), self._query.view.pixel, SIDE)
        return [self._search(wide, elsewhere, Stage.SEARCHING)]

    def _rounds(self, labelled: LabelledSlices, together: bool) -> list[list[int]]:
        """For each further pass, the slices whose pseudo-labels guide it.

        Where all that is painted lies together, all slices, to choose from; else the middles between painted ones,
        then also the middles between all of these.
        """
        if together:
            everything = list(range(self._query.view.shape[0]))
            return _PASSES_FROM_ONE_PLACE * [everything] if labelled.positions else []
        return halved_gaps(labelled.positions, _PASSES_BETWEEN)


class _Across(_Volume):
    """Passes over a query of which no slice is painted."""

    def legs(self) -> list[Leg]:
        """What lies ahead; a pass is the unit."""
        again = [Leg(Stage.REVIEWING, 0.1), Leg(Stage.MEASURING, 0.4), Leg(Stage.SEGMENTING, 1.0)]
        return [
            *([Leg(Stage.ADAPTING, 1.5)] if self._adapts else []),
            *[Leg(Stage.REGISTERING, 1.5), Leg(Stage.SEARCHING, 1.0)],
            *[Leg(Stage.REVIEWING, 0.1), Leg(Stage.LOOKING_CLOSER, 0.7)],
            *(again if self._guides else []),
        ]

    @property
    def _adapts(self) -> bool:
        return self._steps.adapt and len(self._query.foreign) > 1

    @property
    def _guides(self) -> bool:
        return self._thorough and self._steps.guide

    def _adapt(self) -> None:
        """Adapts the head to the other volumes' painted slices, as they lie: the same for all queries."""
        tick = self._plan.begin(Stage.ADAPTING, STEPS)
        query = at_home(self._query)

        def find() -> FewShotNetwork:
            frame = frame_around(region_of(query), query.view.pixel, SIDE)
            predictor = Predictor(self._network, query.view, frame, self._device, Encodings())
            shown = support_images(query, frame, predictor.window, query.segments)
            size = body_size(query.view.body, query.view.pixel)
            return adapted(predictor, self._nothing(), shown, size, tick)

        self._adapted = self._kept.get(query.view.volume, ("adapted", digest_of(query)), find)

    def run(self, region: Bounds) -> list[Layer]:
        """What the passes found.

        Args:
            region: where to look first.
        """
        query = self._query
        frame = frame_around(region, query.view.pixel, SIDE)
        targets = sorted({segment for support in query.foreign for segment in support.segments})
        if self._adapts:
            self._adapt()
        layers = [self._search(frame, targets, Stage.SEARCHING)]
        labels, confidence = self._seen(layers)
        found = bounds_of(np.max(labels, axis=0) > 0)
        if found is not None:
            close = frame_around(with_margin(found, query.view), query.view.pixel, SIDE)
            if close.pixel(query.view.pixel) < _WORTH * frame.pixel(query.view.pixel):
                only = sorted({z for logits in layers[0].logits for z in slices_with(logits)})
                layers.append(self._search(close, targets, Stage.LOOKING_CLOSER, only))
                labels, confidence = self._seen(layers)
        if self._guides:
            sure = sure_slices(labels, confidence, len(query.values))
            if sure.positions:
                around = [bounds_of((sure.labels == s).any(axis=0)) for s in targets]
                bounds = union([with_margin(b, query.view) for b in around if b is not None])
                predictor = self._predictor(frame_around(bounds, query.view.pixel, SIDE))
                layers += _half_believed(self._guided(predictor, sure, [], False))
        return layers


def _half_believed(layers: list[Layer]) -> list[Layer]:
    return [replace(layer, share=_GUIDED_SHARE) for layer in layers]


def ends() -> list[Leg]:
    """What follows the last pass."""
    return [Leg(Stage.JOINING, 0.3), Leg(Stage.CLEANING, 0.05)]


def _painted_stacks(foreign: Iterable[Support]) -> list[PaintedStack]:
    """The painted slices of other volumes, by volume and axis."""
    stacks: dict[tuple[int, int], list[Support]] = {}
    for item in foreign:
        stacks.setdefault((id(item.view.volume), item.view.axis), []).append(item)
    result = []
    for items in stacks.values():
        items.sort(key=lambda item: item.index)
        masks = np.stack([np.maximum(item.labels, 0) for item in items])
        result.append(PaintedStack(items[0].view, items[0].turn, [item.index for item in items], masks))
    return result


def slices_with(logits: Tensor) -> list[int]:
    """Slices (and their neighbours) in which a segment may be, from its logits (Z, h, w)."""
    likely = logits.amax(dim=(1, 2)) > _ABSENT
    near = torch.nn.functional.max_pool1d(likely.float()[None, None], 5, stride=1, padding=2)[0, 0] > 0
    return torch.nonzero(near).flatten().tolist()
