"""One pass of the network over a stack of slices, seen through one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..evidence import Motion, evidence_of_painted_slices, sweep_steps
from ..network.encoding_decoding import Features
from ..network.matching import Match, SupportSet
from ..network.model import Box, FewShotNetwork, class_fractions
from ..preprocessing.frame import Frame, union
from ..preprocessing.intensity import Window
from .course import Tick, no_tick
from .feature_store import FeatureStore

OUTSIDE = -10.0
"""Logit where the head was not run: surely not this segment."""

_CHUNK = 8
# Slices of the stacks that the network learned context from, about; taller ones are taken in turns, every second slice
# and the others, say.
_STACK = 30
# Pixels encoded together on a CPU: more would not stay in its cache, and take longer.
_ENCODED_AT_ONCE = 2 * 256 * 256
_NEAREST = 5
# Where the head runs: near the interpolated shape (at first within about 24 pixels of stride 2), or where matching
# finds the segment. Later pairs are stricter, for when the boxes of all segments together would cost too much.
_WHERE = ((-0.99, 0.05), (-0.9, 0.15), (-0.6, 0.4))
# Boxes of all segments together, in whole frames: more would cost more than encoding the slice did.
_BUDGET = 9.0


_Matcher = Callable[[list[int]], tuple[Features, Match, Tensor | None]]


@dataclass(frozen=True)
class SupportSlice:
    """A painted slice of another volume, cut to the frame's pixel size and shape.

    Attributes:
        image: (h, w) in [0, 1].
        labels: (h, w) segment indices 0..L.
        volume: which volume it is from; equal for slices of the same one.
    """

    image: Tensor
    labels: Tensor
    volume: int = 0


@dataclass(frozen=True)
class Painted:
    """Painted slices of the query itself.

    Attributes:
        positions: increasing slice numbers.
        masks: (P, rows, columns) segment indices 0..L on whole slices.
        reach: by how many slices segments are expected to go on beyond the outermost ones; None if unknown.
        certain: (P, rows, columns) bool, where masks can be relied upon; None for everywhere.
    """

    positions: list[int] = field(default_factory=list)
    masks: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.int32))
    reach: float | None = None
    certain: np.ndarray | None = None

    @cached_property
    def segments(self) -> list[set[int]]:
        """Segments on each painted slice."""
        return [set(np.unique(mask).tolist()) - {0} for mask in self.masks]

    def some(self, indices: list[int]) -> Painted:
        """Only some of the painted slices, by their place in `positions`."""
        certain = None if self.certain is None else self.certain[indices]
        return Painted([self.positions[i] for i in indices], self.masks[indices], self.reach, certain)


class FramePass:
    """Runs the network over all slices of a stack through one frame.

    Args:
        network: in evaluation mode.
        stack: (Z, rows, columns) intensities of whole slices.
        gap: slice distance in mm.
        pixel: (row, column) pixel size in mm.
        frame: what the network sees.
        window: of the intensities.
        device: where the network is.
        store: keeps what is found of the stack's slices, whatever is painted on them.

    Attributes:
        half_pixel: mm between points of the logits and of the evidence, at stride 2.
        step: slice distance, in such points.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        stack: np.ndarray,
        gap: float,
        pixel: tuple[float, float],
        frame: Frame,
        window: Window,
        device: torch.device,
        store: FeatureStore,
    ) -> None:
        self.network, self.stack, self.frame, self.window, self.device = network, stack, frame, window, device
        self.store = store
        self._look = (frame, window)
        self._motion: Motion | None = None
        self.half_pixel = 2 * frame.pixel(pixel)
        self.step = gap / self.half_pixel

    def run(
        self,
        painted: Painted,
        foreign: list[SupportSlice],
        segments: int,
        targets: list[int],
        tick: Tick = no_tick,
        hints: Callable[[Sequence[int]], Tensor] | None = None,
        only: list[int] | None = None,
    ) -> Tensor:
        """Logits of some segments in every slice.

        Args:
            painted: painted slices of this stack, with segments 0..L.
            foreign: painted slices of other volumes.
            segments: L.
            targets: segments 1..L to decode.
            tick: called with the number of slices done since the last call; may raise to cancel.
            hints: evidence of the targets by slices, (Q, T, EVIDENCE_CHANNELS, h / 2, w / 2): of the painted slices,
                where there are any, else of other volumes.
            only: increasing slice numbers to look at, all if None; elsewhere the segments are surely absent.

        Returns:
            (T, Z, h / 2, w / 2) float16 on the CPU; background has logit 0.
        """
        count = len(self.stack)
        result = torch.full((len(targets), count, *self.frame.half), OUTSIDE, dtype=torch.float16)
        own, others = self.encode_supports(painted, foreign, segments, tick)
        known: dict[tuple[int, ...], SupportSet] = {}

        def matched(slices: list[int]) -> tuple[Features, Match, Tensor | None]:
            nearest = _nearest(painted, slices)
            if nearest not in known:
                known.clear()
                known[nearest] = self.support([own[i] for i in nearest], others)
            features = self._features(slices)
            tick(0)
            return features, self.network.match(features, known[nearest]), None if hints is None else hints(slices)

        wanted = list(range(count)) if only is None else only
        chunks = [wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK)]
        context = None
        if self.passes(painted) > 1:
            context = self._context(chunks, matched, targets, tick)
        for number, slices in enumerate(chunks):
            here = slice(number * _CHUNK, number * _CHUNK + len(slices))
            features, match, hint = matched(slices)
            boxes = self.boxes(match, hint if painted.positions else None, targets)
            for row, (segment, box) in enumerate(zip(targets, boxes, strict=True)):
                tick(0)
                if box is None:
                    continue
                shown = None if hint is None else hint[:, row : row + 1].to(self.device)
                near = None if context is None else context[here, row : row + 1].to(self.device).float()
                logits = self.network.decode(features, match, shown, segment - 1, box, near).logits
                top, bottom, left, right = (4 * b for b in box)
                result[row, slices, top:bottom, left:right] = logits[:, 0].half().cpu()
            tick(len(slices) - (0 if context is None else _surveyed(slices)))
        return result

    def passes(self, painted: Painted) -> int:
        """How often `run` goes through the slices: once more before, for their context, where some are painted."""
        return 2 if painted.positions and self.network.sees_stack else 1

    def _context(self, chunks: list[list[int]], matched: _Matcher, targets: list[int], tick: Tick) -> Tensor:
        """Context of neighbouring slices for the head.

        Args:
            chunks: slices, by what is matched together.
            matched: see `run`.
            targets: T segments.
            tick: called with half of the number of slices done since the last call; may raise to cancel.

        Returns:
            (Z', T, K, h / 8, w / 8) float16 on the CPU, for `decode`.
        """
        count, channels = sum(len(slices) for slices in chunks), self.network.config.stack_channels
        height, width = self.frame.height // 8, self.frame.width // 8
        kept = torch.zeros(count, len(targets), channels, height, width, dtype=torch.float16)
        around: list[Box | None] = [None] * len(targets)
        for number, slices in enumerate(chunks):
            start = number * _CHUNK
            _, match, hint = matched(slices)
            for row, (segment, box) in enumerate(zip(targets, self.boxes(match, hint, targets), strict=True)):
                tick(0)
                if box is None:
                    continue
                shown = None if hint is None else hint[:, row : row + 1].to(self.device)
                top, bottom, left, right = box
                survey = self.network.survey(match, shown, segment - 1, box)[:, 0]
                kept[start : start + len(slices), row, :, top:bottom, left:right] = survey.half().cpu()
                around[row] = union([box, around[row] or box])
            tick(_surveyed(slices))
        step = max(round(len(self.stack) / _STACK), 1)
        for row, box in enumerate(around):
            tick(0)
            if box is not None:
                inside = kept[:, row : row + 1, :, box[0] : box[1], box[2] : box[3]]
                for first in range(step):
                    inside[first::step] = self.network.context(inside[first::step].to(self.device).float()).half().cpu()
        return kept

    def encode(self, images: Tensor) -> Features:
        """(N, h, w) in [0, 1] -> features."""
        x = (images[:, None] * 2 - 1).to(self.device).contiguous(memory_format=torch.channels_last)
        return Features.concatenate([self.network.encode(part) for part in x.split(self._batch)])

    @property
    def _batch(self) -> int:
        return max(_ENCODED_AT_ONCE // self.frame.area, 1) if self.device.type == "cpu" else _CHUNK

    def _features(self, slices: list[int]) -> Features:
        return self.store.features(self._look, slices, lambda z: self.encode(self._images(z)))

    def _images(self, slices: list[int]) -> Tensor:
        planes = self.window(self.stack[slices])
        return self.frame.cut(planes)

    def encode_supports(
        self, painted: Painted, foreign: list[SupportSlice], segments: int, tick: Tick = no_tick
    ) -> tuple[list[tuple[Features, Tensor]], list[tuple[Features, Tensor]]]:
        """Features and class fractions of each painted slice of the query, and of each of other volumes.

        Args:
            painted: painted slices of this stack.
            foreign: painted slices of other volumes.
            segments: L.
            tick: called with 0 before each slice; may raise to cancel.
        """
        own, others = [], []
        for position, mask in zip(painted.positions, painted.masks, strict=True):
            tick(0)
            labels = self.frame.cut_labels(mask[None])
            own.append((self._features([position]), class_fractions(labels, segments, 4).to(self.device)))
        for s in foreign:
            tick(0)
            others.append((self.encode(s.image[None]), class_fractions(s.labels[None], segments, 4).to(self.device)))
        return own, others

    def support(self, own: list[tuple[Features, Tensor]], others: list[tuple[Features, Tensor]]) -> SupportSet:
        """Support set of encoded slices."""
        chosen = own + others
        features = Features.concatenate([f for f, _ in chosen])
        return self.network.build_support(features, torch.cat([m for _, m in chosen]))

    def evidence_around(self, painted: Painted, targets: list[int], position: int, tick: Tick = no_tick) -> Tensor:
        """Evidence for one slice, (1, T, EVIDENCE_CHANNELS, h / 2, w / 2), from between its painted neighbours.

        Args:
            painted: painted slices of this stack.
            targets: T segments.
            position: number of the slice.
            tick: called with 0 now and then; may raise to cancel.
        """
        before = [p for p in painted.positions if p <= position] or [position]
        after = [p for p in painted.positions if p >= position] or [position]
        first, last = before[-1], after[0]
        here = [i for i, p in enumerate(painted.positions) if first <= p <= last]
        near = painted.some(here)
        near = replace(near, positions=[p - first for p in near.positions], reach=None)
        return self.evidence(near, targets, lambda _: tick(0), first, last + 1)([position - first])

    @property
    def evidence_steps(self) -> int:
        """Steps that `evidence` of the whole stack takes."""
        return sweep_steps((len(self.stack), *self.frame.half))

    def evidence(
        self, painted: Painted, targets: list[int], tick: Tick = no_tick, first: int = 0, stop: int | None = None
    ) -> Callable[[Sequence[int]], Tensor]:
        """Evidence of painted slices.

        Args:
            painted: painted slices of the part of the stack from `first` to `stop`, counted from there.
            targets: T segments; what is painted as any other counts as background.
            tick: called with the number of steps done since the last call; may raise to cancel.
            first: slice number of the part's first slice.
            stop: slice number after its last one, None for the stack's end.

        Returns:
            function that maps Q slice numbers of the part to (Q, T, EVIDENCE_CHANNELS, h / 2, w / 2).
        """
        height, width = self.frame.half
        table = torch.zeros(max(int(painted.masks.max(initial=0)), *targets) + 1, dtype=torch.long)
        table[targets] = torch.arange(1, len(targets) + 1)
        labels = table[self.frame.cut_labels(painted.masks, (height, width))]
        certain = None
        if painted.certain is not None:
            certain = self.frame.cut_labels(painted.certain.astype(np.int32), (height, width)) > 0
        if self._motion is None:
            self._motion = self.store.motion(self._look, lambda: Motion.of(self._halved(0, None), tick))
        small, motion = self._halved(first, stop), self._motion.part(first, stop)
        return evidence_of_painted_slices(
            small, labels, painted.positions, len(targets), self.step, painted.reach, certain, tick, motion
        )

    def _halved(self, first: int, stop: int | None) -> Tensor:
        """(Z, h / 2, w / 2) slices from `first` to `stop`, as evidence is taken of them."""
        stack = self.stack[first:stop]
        parts = [stack[i : i + 16] for i in range(0, len(stack), 16)]
        return torch.cat([self.frame.cut(self.window(part), self.frame.half) for part in parts])

    def boxes(self, match: Match, evidence: Tensor | None, targets: list[int]) -> list[Box | None]:
        """Where the head runs for each target: around all places where it may be in any slice, within the budget.

        Args:
            match: of Q slices.
            evidence: (Q, T, EVIDENCE_CHANNELS, h / 2, w / 2) of painted slices of the query, None if there are none.
            targets: T segments.

        Returns:
            boxes at stride 8, None where a target is nowhere likely.
        """
        share = match.coarse.softmax(dim=1).amax(dim=0).cpu()
        near = None if evidence is None else F.max_pool2d(evidence[:, :, 0], 4).amax(dim=0)
        boxes: list[Box | None] = []
        for shape_limit, share_limit in _WHERE:
            boxes = []
            for row, segment in enumerate(targets):
                if near is None:
                    possible = share[segment] > share_limit
                else:
                    # Matching alone may look alike anywhere; within a volume it counts only where it is strong.
                    possible = (near[row] > shape_limit) | (share[segment] > 0.5)
                boxes.append(_around(possible))
            area = sum((b[1] - b[0]) * (b[3] - b[2]) for b in boxes if b is not None)
            if area <= _BUDGET * share.shape[-2] * share.shape[-1]:
                break
        return boxes


def _surveyed(slices: list[int]) -> int:
    """How many slices count as done when these have been gone through for their context."""
    return len(slices) // 2


def _around(possible: Tensor) -> Box | None:
    """Box around the True of a (h, w) map, with a margin of one; None where there is none."""
    if not possible.any():
        return None
    rows, columns = possible.any(dim=1).nonzero(), possible.any(dim=0).nonzero()
    height, width = possible.shape
    return (
        max(int(rows[0]) - 1, 0),
        min(int(rows[-1]) + 2, height),
        max(int(columns[0]) - 1, 0),
        min(int(columns[-1]) + 2, width),
    )


def _nearest(painted: Painted, slices: list[int]) -> tuple[int, ...]:
    """Indices of the painted slices nearest to a chunk's middle, and of the next ones that hold further segments."""
    middle = (slices[0] + slices[-1]) / 2
    order = sorted(range(len(painted.positions)), key=lambda i: (abs(painted.positions[i] - middle), i))
    chosen = order[:_NEAREST]
    seen = set().union(*(painted.segments[i] for i in chosen))
    for i in order[_NEAREST:]:
        if not painted.segments[i] <= seen:
            chosen.append(i)
            seen |= painted.segments[i]
    return tuple(sorted(chosen))
