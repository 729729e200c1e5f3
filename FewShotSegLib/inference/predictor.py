"""The network over a stack of slices, seen through one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.encoding_decoding import Features
from ..network.matching import Match, SupportSet
from ..network.model import Box, FewShotNetwork, Looked, class_fractions
from ..parallel import Check, in_parallel
from ..plan import Tick, no_tick
from ..preprocessing.frame import Frame, union
from ..preprocessing.intensity import window_of
from ..preprocessing.views import SliceView
from ..priors import PRIOR_CHANNELS, CrossingSlice, Knowledge, Motion, priors_of_painted_slices
from .boxes import likely_boxes
from .encodings import Encodings
from .labelled_slices import LabelledSlices
from .query import Support
from .support import SupportImage

OUTSIDE = -10.0
"""Logit where the head was not run: surely not this segment."""

# Slices that are gone through together: on a CPU few, since the box of a segment is around all places in all of them.
_CHUNK, _CHUNK_ON_GPU = 4, 8
# Slices of the stacks that the network learned context from, about; taller ones are taken in turns, every second slice
# and the others, say.
_STACK = 30
# Pixels encoded together on a CPU: more would not stay in its cache, and take longer.
_ENCODED_AT_ONCE = 2 * 256 * 256
_NEAREST = 5
# Pixels of all slices, once for each segment, up to which what both passes over the slices need is kept between them.
_KEPT_PIXELS = 160 * 256 * 256


Evidence = Callable[[Sequence[int]], Tensor]
"""Maps Q slice numbers to evidence of T segments, (Q, T, PRIOR_CHANNELS, h / 2, w / 2)."""


@dataclass(frozen=True)
class _Matched:
    """What the head needs of a chunk of Q slices.

    Attributes:
        features, match: of the slices.
        hint: (Q, T, PRIOR_CHANNELS, h / 2, w / 2) evidence of the targets, or None.
        boxes: where the head runs for each target.
        looked: what the head's first part made of each target, where that is kept.
    """

    features: Features
    match: Match
    hint: Tensor | None
    boxes: list[Box | None]
    looked: dict[int, Looked]


class Predictor:
    """Runs the network over slices of a stack through one frame.

    Args:
        network: in evaluation mode.
        view: the stack.
        frame: what the network sees of its slices.
        device: where the network is.
        encodings: keep what is found of the stack's slices, whatever is painted on them.

    Attributes:
        window: of the intensities in the frame.
        half_pixel: mm between points of the logits and of the evidence, at stride 2.
        step: slice distance, in such points.
    """

    def __init__(
        self, network: FewShotNetwork, view: SliceView, frame: Frame, device: torch.device, encodings: Encodings
    ) -> None:
        self.network, self.view, self.frame, self.device = network, view, frame, device
        self.encodings = encodings
        self.window = encodings.window(frame, lambda: window_of(frame.inside(view.array)))
        self.half_pixel = 2 * frame.pixel(view.pixel)
        self.step = view.gap / self.half_pixel
        self._seen_through = (frame, self.window)

    @property
    def count(self) -> int:
        """Slices of the stack."""
        return len(self.view.array)

    def logits(
        self,
        labelled: LabelledSlices,
        shown: list[SupportImage],
        targets: list[int],
        evidence: Evidence | None = None,
        only: Sequence[int] | None = None,
        context: bool = True,
        tick: Tick = no_tick,
    ) -> Tensor:
        """Logits of some segments in every slice.

        Args:
            labelled: labelled slices of this stack.
            shown: painted slices of other volumes or axes.
            targets: T segments 1..L to decode.
            evidence: of the targets; of the labelled slices, where there are any, else of other volumes.
            only: increasing slice numbers to look at; elsewhere the segments are surely absent. None for the whole
                stack: slices that lie closer together than the logits' points are interpolated.
            context: whether slices see what their neighbours show; they must then be neighbours in their order.
            tick: called with the number of slices done since the last call; may raise to cancel.

        Returns:
            (T, Z, h / 2, w / 2) float16 on the CPU; background has logit 0.
        """
        result = torch.full((len(targets), self.count, *self.frame.half), OUTSIDE, dtype=torch.float16)
        segments = labelled.known.complete.shape[1]
        own, others = self.encode_labelled(labelled, segments, tick), self.encode_shown(shown, segments, tick)
        known: dict[tuple[int, ...], SupportSet] = {}
        wanted = self._spaced(labelled.positions) if only is None else list(only)
        chunks = [wanted[start : start + self._chunk] for start in range(0, len(wanted), self._chunk)]
        twice = context and bool(labelled.positions) and self.network.sees_stack
        keeps = twice and len(wanted) * len(targets) * self.frame.area <= _KEPT_PIXELS
        kept: dict[int, _Matched] = {}

        def matched(slices: list[int]) -> _Matched:
            if slices[0] in kept:
                return kept.pop(slices[0])
            nearest = _nearest(labelled, slices)
            if nearest not in known:
                known[nearest] = self.support([own[i] for i in nearest], others)
            features = self.features(slices)
            match = self.network.match(features, known[nearest])
            hint = None if evidence is None else evidence(slices)
            boxes = likely_boxes(match, hint if labelled.positions else None, targets)
            found = _Matched(features, match, hint, boxes, {})
            if keeps:
                kept[slices[0]] = found
            return found

        def looked(found: _Matched, row: int, box: Box) -> Looked:
            if row in found.looked:
                return found.looked.pop(row)
            given = None if found.hint is None else found.hint[:, row : row + 1].to(self.device)
            result = self.network.look(found.match, given, targets[row] - 1, box)
            if keeps:
                found.looked[row] = result
            return result

        surveyed = self._context(chunks, matched, looked, len(targets), tick) if twice else None

        def decoded(number: int, check: Check) -> list[Tensor | None]:
            here = self._rows(number, chunks)
            found = matched(chunks[number])
            logits: list[Tensor | None] = []
            for row, box in enumerate(found.boxes):
                check()
                if box is None:
                    logits.append(None)
                    continue
                near = None if surveyed is None else surveyed[here, row : row + 1].to(self.device).float()
                whole = torch.full((len(chunks[number]), *self.frame.half), OUTSIDE, dtype=torch.float16)
                top, bottom, left, right = (4 * b for b in box)
                inside = self.network.decode(found.features, found.match, looked(found, row, box), near).logits
                whole[:, top:bottom, left:right] = inside[:, 0].half().cpu()
                logits.append(whole)
            return logits

        for slices, found in zip(chunks, in_parallel(decoded, range(len(chunks)), tick), strict=True):
            for row, logits in enumerate(found):
                if logits is not None:
                    result[row, slices] = logits
            tick(len(slices) - (_surveyed(slices) if twice else 0))
        if only is None:
            _fill_between(result, wanted)
            tick(self.count - len(wanted))
        return result

    def _spaced(self, labelled: list[int]) -> list[int]:
        """The slices to look at: all where they are as far apart as points of the logits, else some, and labelled ones.

        Slices of a large volume, or along another axis, lie closer together than what is found in them is fine.
        """
        step = max(int(max(self.half_pixel, 0.5 * max(self.view.pixel)) / self.view.gap), 1)
        return sorted({*range(0, self.count, step), self.count - 1, *labelled})

    @property
    def _chunk(self) -> int:
        return _CHUNK if self.device.type == "cpu" else _CHUNK_ON_GPU

    def _rows(self, number: int, chunks: list[list[int]]) -> slice:
        """Where the slices of a chunk lie among those of all chunks."""
        return slice(number * self._chunk, number * self._chunk + len(chunks[number]))

    def _context(
        self,
        chunks: list[list[int]],
        matched: Callable[[list[int]], _Matched],
        looked: Callable[[_Matched, int, Box], Looked],
        targets: int,
        tick: Tick,
    ) -> Tensor:
        """Context of neighbouring slices for the head.

        Args:
            chunks: slices, by what is matched together.
            matched, looked: see `logits`.
            targets: T.
            tick: called with half of the number of slices done since the last call; may raise to cancel.

        Returns:
            (Z', T, K, h / 8, w / 8) float16 on the CPU, for `decode`.
        """
        count, channels = sum(len(slices) for slices in chunks), self.network.config.stack_channels
        height, width = self.frame.height // 8, self.frame.width // 8
        kept = torch.zeros(count, targets, channels, height, width, dtype=torch.float16)
        around: list[Box | None] = [None] * targets

        def surveyed(slices: list[int], check: Check) -> list[tuple[Box, Tensor] | None]:
            found = matched(slices)
            surveys: list[tuple[Box, Tensor] | None] = []
            for row, box in enumerate(found.boxes):
                check()
                survey = None if box is None else self.network.survey(looked(found, row, box))[:, 0].half().cpu()
                surveys.append(None if box is None or survey is None else (box, survey))
            return surveys

        for number, surveys in enumerate(in_parallel(surveyed, chunks, tick)):
            here = self._rows(number, chunks)
            for row, found in enumerate(surveys):
                if found is not None:
                    (top, bottom, left, right), survey = found
                    kept[here, row, :, top:bottom, left:right] = survey
                    around[row] = union([found[0], around[row] or found[0]])
            tick(_surveyed(chunks[number]))
        step = max(round(count / _STACK), 1)

        def mixed(job: tuple[int, int], _: Check) -> None:
            row, first = job
            box = around[row]
            if box is not None:
                inside = kept[first::step, row : row + 1, :, box[0] : box[1], box[2] : box[3]]
                inside[:] = self.network.context(inside.to(self.device).float()).half().cpu()

        for _ in in_parallel(mixed, [(row, first) for row in range(targets) for first in range(step)], tick):
            pass
        return kept

    # --- encoding ------------------------------------------------------------------------------------------------

    def encode(self, images: Tensor) -> Features:
        """(N, h, w) in [0, 1] -> features."""
        x = (images[:, None] * 2 - 1).to(self.device).contiguous(memory_format=torch.channels_last)
        return Features.concatenate([self.network.encode(part) for part in x.split(self._batch)])

    @property
    def _batch(self) -> int:
        return max(_ENCODED_AT_ONCE // self.frame.area, 1) if self.device.type == "cpu" else _CHUNK_ON_GPU

    def features(self, slices: list[int]) -> Features:
        """Features of some slices of the stack."""
        return self.encodings.features(self._seen_through, slices, lambda z: self.encode(self._images(z)))

    def _images(self, slices: list[int]) -> Tensor:
        return self.frame.cut(self.window(self.view.array[slices]))

    def encode_labelled(
        self, labelled: LabelledSlices, segments: int, tick: Tick = no_tick
    ) -> list[tuple[Features, Tensor]]:
        """Features and class fractions of each labelled slice of the stack; `tick` is called before each."""
        result = []
        for position, labels in zip(labelled.positions, labelled.labels, strict=True):
            tick(0)
            cut = self.frame.cut_labels(labels[None])
            result.append((self.features([position]), class_fractions(cut, segments, 4).to(self.device)))
        return result

    def encode_shown(
        self, shown: list[SupportImage], segments: int, tick: Tick = no_tick
    ) -> list[tuple[Features, Tensor]]:
        """Features and class fractions of each painted slice of other volumes or axes; `tick` is called before each."""
        result = []
        for s in shown:
            tick(0)
            result.append((self.encode(s.image[None]), class_fractions(s.labels[None], segments, 4).to(self.device)))
        return result

    def support(self, own: list[tuple[Features, Tensor]], others: list[tuple[Features, Tensor]]) -> SupportSet:
        """Support set of encoded slices."""
        chosen = own + others
        features = Features.concatenate([f for f, _ in chosen])
        return self.network.build_support(features, torch.cat([m for _, m in chosen]))

    # --- evidence ------------------------------------------------------------------------------------------------

    def evidence(
        self,
        labelled: LabelledSlices,
        targets: list[int],
        crossing: Sequence[Support] = (),
        within: range | None = None,
        coarseness: int = 1,
        tick: Tick = no_tick,
    ) -> Evidence:
        """Evidence of labelled slices.

        Args:
            labelled: labelled slices of the stack.
            targets: T segments; what is labelled as any other counts as background.
            crossing: painted slices across the stack.
            within: the slices to look at, all if None; labelled slices outside tell nothing.
            coarseness: how much coarser than the logits the evidence is measured.
            tick: called with 0 now and then; may raise to cancel.
        """
        part = within or range(self.count)
        inside = [i for i, p in enumerate(labelled.positions) if p in part]
        labelled = labelled.some(inside)
        height, width = self.frame.half[0] // coarseness, self.frame.half[1] // coarseness
        table = torch.zeros(labelled.known.complete.shape[1] + 1, dtype=torch.long)
        table[targets] = torch.arange(1, len(targets) + 1)
        labels = _relabelled(self.frame.cut_labels(labelled.labels, (height, width)), table)
        certain = None
        if labelled.certain is not None:
            certain = self.frame.cut_labels(labelled.certain.astype(np.int32), (height, width)) > 0
        chosen = np.asarray(targets) - 1
        known = Knowledge(
            labelled.known.complete[:, chosen], labelled.known.reach[chosen], labelled.known.ends[chosen] - part.start
        )
        motion = self.encodings.motion(self._seen_through, lambda: Motion.of(self._reduced(range(self.count), 1), tick))
        motion = motion.part(part.start, part.stop)
        across = [self._crossing(s, targets, table, part, (height, width)) for s in crossing]
        measured = priors_of_painted_slices(
            self._reduced(part, coarseness),
            labels,
            [p - part.start for p in labelled.positions],
            len(targets),
            self.step / coarseness,
            known,
            certain,
            tick,
            motion if coarseness == 1 else motion.reduced(coarseness),
            [c for c in across if c is not None],
        )

        def evidence(slices: Sequence[int]) -> Tensor:
            found = measured([z - part.start for z in slices])
            if coarseness > 1:
                maps = F.interpolate(found.flatten(1, 2), size=self.frame.half, mode="bilinear")
                found = maps.unflatten(1, (-1, PRIOR_CHANNELS))
            return found

        return evidence

    def _crossing(
        self, support: Support, targets: list[int], table: Tensor, part: range, size: tuple[int, int]
    ) -> CrossingSlice | None:
        """A painted slice across the stack as the frame shows it; None where it lies outside."""
        axes = [axis for axis in range(3) if axis != self.view.axis]
        dim = axes.index(support.view.axis)
        apart = np.abs(np.asarray(self._sources(dim, size)) - support.index)
        if apart.min() > 0.5 * (self.frame.rows, self.frame.columns)[dim] / size[dim] + 1:
            return None
        # one in a frame of larger pixels, which skips some rows and columns; several in one that enlarges
        places = np.flatnonzero(apart == apart.min()).tolist() if apart.min() == 0 else [int(apart.argmin())]
        # along the slice: the stack's axis first, then what is left of the plane
        rest = [axis for axis in range(3) if axis != support.view.axis]
        labels = support.labels if rest[0] == self.view.axis else support.labels.T
        columns = np.asarray(self._sources(1 - dim, size))
        inside = (columns >= 0) & (columns < labels.shape[1])
        cut = np.where(inside, labels[part.start : part.stop][:, columns.clip(0, labels.shape[1] - 1)], 0)
        complete = support.complete
        return CrossingSlice(
            1 + dim,
            places,
            _relabelled(torch.from_numpy(cut.astype(np.int64)), table),
            np.array([target in complete for target in targets]),
        )

    def _sources(self, dim: int, size: tuple[int, int]) -> list[int]:
        """Which row (dim 0) or column (1) of whole slices each one of a map over the frame shows."""
        start, length = (self.frame.top, self.frame.rows) if dim == 0 else (self.frame.left, self.frame.columns)
        return (start + np.floor((np.arange(size[dim]) + 0.5) * length / size[dim]).astype(int)).tolist()

    def _reduced(self, part: range, coarseness: int) -> Tensor:
        """(Z, h, w) slices, as evidence is taken of them."""
        size = self.frame.half[0] // coarseness, self.frame.half[1] // coarseness
        stack = self.view.array[part.start : part.stop]
        parts = [stack[i : i + 16] for i in range(0, len(stack), 16)]
        return torch.cat([self.frame.cut(self.window(part), size) for part in parts])


def _fill_between(logits: Tensor, known: list[int]) -> None:
    """Interpolates logits (T, Z, h, w) of slices between those that are known, in place."""
    for before, after in pairwise(known):
        ends = logits[:, before].float(), logits[:, after].float()
        for z in range(before + 1, after):
            logits[:, z] = torch.lerp(*ends, (z - before) / (after - before))


def _surveyed(slices: list[int]) -> int:
    """How many slices count as done when these have been gone through for their context."""
    return len(slices) // 2


def _relabelled(labels: Tensor, table: Tensor) -> Tensor:
    """Labels by a table; what is unknown stays so."""
    return torch.where(labels < 0, labels, table[labels.clamp(min=0)])


def _nearest(labelled: LabelledSlices, slices: list[int]) -> tuple[int, ...]:
    """Indices of the labelled slices nearest to a chunk's middle, and of the next ones that hold further segments."""
    middle = (slices[0] + slices[-1]) / 2
    order = sorted(range(len(labelled.positions)), key=lambda i: (abs(labelled.positions[i] - middle), i))
    chosen = order[:_NEAREST]
    seen = set().union(*(labelled.segments[i] for i in chosen))
    for i in order[_NEAREST:]:
        if not labelled.segments[i] <= seen:
            chosen.append(i)
            seen |= labelled.segments[i]
    return tuple(sorted(chosen))
