"""The whole network: encode slices once, build a support set, segment queries for all segments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..priors import GEODESIC, POSITION, PRIOR_CHANNELS, SHAPE
from .config import NetworkConfig
from .encoding_decoding import EncodingDecodingModule, Features
from .head import SegmentHead
from .matching import Match, Matching, SupportSet

Box = tuple[int, int, int, int]
"""top, bottom, left, right in pixels of the stride-8 map, end exclusive."""


@dataclass(frozen=True)
class Looked:
    """The head's first part, of L segments in Q queries inside a box of h x w pixels of stride 8.

    Attributes:
        state: (Q, L, H8, h, w).
        shown: (Q L, PRIOR_CHANNELS, 4h, 4w) the evidence that it saw there, zeros where there is none.
        which: the segments among all of the match.
        box: where.
    """

    state: Tensor
    shown: Tensor
    which: slice
    box: Box


@dataclass(frozen=True)
class Decoded:
    """What the head made of L segments in Q queries, inside a box of h x w pixels of stride 8.

    Attributes:
        logits: (Q, L, 4h, 4w); background has logit 0.
        coarse: (Q, L, h, w) of the head's first part.
        separated: (Q, L, 2, 2h, 2w) cosines with the query's own foreground and background.
    """

    logits: Tensor
    coarse: Tensor
    separated: Tensor


@dataclass(frozen=True)
class Prediction:
    """What the head made of whole slices, and the match that it was made from."""

    decoded: Decoded
    match: Match

    @property
    def logits(self) -> Tensor:
        """(Q, L, H / 2, W / 2); background has logit 0."""
        return self.decoded.logits


class FewShotNetwork(nn.Module):
    """IPL+SL few-shot segmentation network (after Song et al. 2025; each module says what is the paper's)."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.features = EncodingDecodingModule(self.config)
        self.matching = Matching(self.config)
        self.head = SegmentHead(self.config)
        # As the activations are: else every convolution would first reorder its weights.
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @property
    def sees_stack(self) -> bool:
        """Whether `decode` makes use of the context of neighbouring slices."""
        return self.config.use_stack

    def encode(self, images: Tensor) -> Features:
        """(N, 1, H, W) in [-1, 1], sides divisible by 32 -> feature maps."""
        return self.features(images)

    def build_support(self, features: Features, masks: Tensor) -> SupportSet:
        """Support set from S encoded slices.

        Args:
            features: of the S slices.
            masks: (S, L + 1, H / 4, W / 4), class fractions per pixel, class 0 is background.
        """
        return self.matching.build(features, masks)

    def match(self, features: Features, support: SupportSet) -> Match:
        """Similarity maps of Q encoded queries with every segment of the support set."""
        return self.matching(features, support)

    def look(self, match: Match, evidence: Tensor | None, segment: int | slice, box: Box) -> Looked:
        """Runs the first part of the segment head for some segments inside a box.

        Args:
            match: of the Q queries.
            evidence: (Q, L', PRIOR_CHANNELS, H / 2, W / 2) of these segments, or None across volumes.
            segment: which segments, 0..L - 1.
            box: where; the queries' own prototypes are pooled inside it only.
        """
        which = slice(segment, segment + 1) if isinstance(segment, int) else segment
        top, bottom, left, right = box
        maps = match.maps[:, which, :, top:bottom, left:right]
        queries, segments, _, height, width = maps.shape
        if evidence is None:
            shown = maps.new_zeros(queries, segments, PRIOR_CHANNELS, 4 * height, 4 * width)
        else:
            shown = self._switch(evidence[..., 4 * top : 4 * bottom, 4 * left : 4 * right])
        shown = shown.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        state = self.head.look(maps.flatten(0, 1), shown).unflatten(0, (queries, segments))
        return Looked(state, shown, which, box)

    def decode(self, features: Features, match: Match, looked: Looked, context: Tensor | None = None) -> Decoded:
        """Runs the rest of the segment head.

        Args:
            features: of the Q queries.
            match: their match.
            looked: the first part.
            context: (Q, L', K, H / 8, W / 8) of :meth:`context`, None for slices by themselves.
        """
        which, (top, bottom, left, right) = looked.which, looked.box
        queries, segments = looked.state.shape[:2]
        state = looked.state.flatten(0, 1)
        if context is not None:
            state = state + self.head.stack.added(context[..., top:bottom, left:right].flatten(0, 1))
        coarse = self.head.logit8(state)
        low4 = features.low4[:, :, 2 * top : 2 * bottom, 2 * left : 2 * right]
        low2 = features.low2[:, :, 4 * top : 4 * bottom, 4 * left : 4 * right]
        if not self.config.use_low_level:
            low4, low2 = torch.zeros_like(low4), torch.zeros_like(low2)
        share = coarse.detach().sigmoid().float().view(queries, segments, *coarse.shape[-2:])
        again, separated = self.matching.again(match, which, looked.box, share)
        fine = torch.cat([match.fine[:, which, :, 2 * top : 2 * bottom, 2 * left : 2 * right], separated], dim=2)
        logits = self.head.complete(
            state,
            coarse,
            again.flatten(0, 1),
            fine.flatten(0, 1),
            low4.repeat_interleave(segments, dim=0),
            low2.repeat_interleave(segments, dim=0),
            looked.shown,
            match.prototypes[:, which].flatten(0, 1),
        )
        pairs = (queries, segments)
        return Decoded(logits.unflatten(0, pairs), coarse[:, 0].unflatten(0, pairs), separated)

    def survey(self, looked: Looked) -> Tensor:
        """What is kept of Q slices for the context of their neighbours.

        Returns:
            (Q, L', K, h, w), inside the box.
        """
        return self.head.stack.keep(looked.state.flatten(0, 1)).unflatten(0, looked.state.shape[:2])

    def context(self, kept: Tensor) -> Tensor:
        """Context of neighbouring slices.

        Args:
            kept: (Z, L', K, h, w) of :meth:`survey`, of neighbouring slices in their order.

        Returns:
            (Z, L', K, h, w), for `decode`.
        """
        return self.head.stack(kept)

    def _switch(self, evidence: Tensor) -> Tensor:
        config = self.config
        kinds = ((config.use_shape, SHAPE), (config.use_geodesic, GEODESIC), (config.use_position, POSITION))
        for used, channels in kinds:
            if not used:
                evidence = evidence.clone()
                evidence[:, :, channels] = 0
        return evidence

    def forward(
        self, features: Features, support: SupportSet, evidence: Tensor | None = None, stack: bool = False
    ) -> Prediction:
        """Segments Q encoded queries over whole slices.

        Args:
            features: of the queries.
            support: support set with L segments.
            evidence: (Q, L, PRIOR_CHANNELS, H / 2, W / 2) or None.
            stack: whether the queries are neighbouring slices, in their order.
        """
        match = self.match(features, support)
        height, width = features.mid.shape[-2:]
        whole = (0, height, 0, width)
        looked = self.look(match, evidence, slice(None), whole)
        context = self.context(self.survey(looked)) if stack and self.sees_stack else None
        return Prediction(self.decode(features, match, looked, context), match)


def class_fractions(labels: Tensor, segments: int, stride: int) -> Tensor:
    """Class fractions of larger pixels.

    Args:
        labels: (N, H, W) integer labels 0..segments, below 0 where nothing is known.
        segments: L.
        stride: of the larger pixels.

    Returns:
        (N, segments + 1, H / stride, W / stride); they sum to the part of a pixel of which something is known.
    """
    one_hot = F.one_hot(labels.clamp(min=0).long(), segments + 1).permute(0, 3, 1, 2).float()
    return F.avg_pool2d(one_hot * (labels >= 0)[:, None], stride)
