"""What the baselines share: the encoder, the interface that the engine calls, and the losses that all of them have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features, upsample
from FewShotSegLib.network.model import Box
from FewShotSegLib.training.losses import soft_dice, with_background

CHANNELS = 128


@dataclass(frozen=True)
class BaselineSupport:
    """Encoded support slices and what is painted on them.

    Attributes:
        features: Of the S slices.
        masks: (S, L + 1, h, w) class fractions at stride 8, class 0 is background.
    """

    features: Features
    masks: Tensor

    @property
    def segments(self) -> int:
        """L."""
        return self.masks.shape[1] - 1


@dataclass(frozen=True)
class BaselineMatch:
    """Queries compared with a support.

    Attributes:
        logits: (Q, L, h', w') of each segment at the method's own resolution; background has logit 0.
        coarse: (Q, L + 1, h, w) at stride 8, class 0 is background.
    """

    logits: Tensor
    coarse: Tensor


@dataclass(frozen=True)
class BaselineLooked:
    """Segments among all of a match, and a box of its map at stride 8."""

    which: slice
    box: Box


@dataclass(frozen=True)
class BaselinePrediction:
    """Logits (Q, L, H / 2, W / 2) of the segments; background has logit 0."""

    logits: Tensor


class Baseline(nn.Module):
    """A few-shot network with the interface of `FewShotNetwork`; a subclass says how queries meet the support.

    Each segment is a question of its own, as in the papers: inside or outside, whatever else is painted.
    """

    sees_stack = False
    """Every slice is segmented by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = LiteEncoder()

    def compare(self, features: Features, support: BaselineSupport) -> Tensor:
        """Logits (Q, L, h', w') of every segment in Q encoded queries, at any stride; positive inside."""
        raise NotImplementedError

    def auxiliary(
        self, features: Features, support: BaselineSupport, logits: Tensor, fractions: Tensor
    ) -> dict[str, Tensor]:
        """The method's further losses.

        Args:
            features: Of the Q queries.
            support: That they were compared with.
            logits: (Q, L, h', w') as `compare` gave them.
            fractions: (Q, L + 1, h, w) true class fractions of the queries at stride 8.
        """
        return {}

    def encode(self, images: Tensor) -> Features:
        """(N, 1, H, W) in [-1, 1], sides divisible by 32 -> the encoder's maps.

        The five maps travel in the fields of `Features`: strides 8, 16, 32, 4 and 2 in the order of the fields.
        """
        s2, s4, s8, s16, s32 = self.encoder(images)
        return Features(s8, s16, s32, s4, s2)

    def build_support(self, features: Features, masks: Tensor) -> BaselineSupport:
        """Support set from S encoded slices and class fractions (S, L + 1, 2h, 2w) at stride 4."""
        return BaselineSupport(features, F.avg_pool2d(masks, 2))

    def match(self, features: Features, support: BaselineSupport) -> BaselineMatch:
        """Compares Q encoded queries with the support."""
        logits = self.compare(features, support)
        return BaselineMatch(logits, with_background(_resized(logits, support.masks.shape[-2:])))

    def look(self, match: BaselineMatch, evidence: Tensor | None, segment: int | slice, box: Box) -> BaselineLooked:
        """Which segments are decoded where: there is no head, hence no first part of it."""
        return BaselineLooked(slice(segment, segment + 1) if isinstance(segment, int) else segment, box)

    def decode(
        self, features: Features, match: BaselineMatch, looked: BaselineLooked, context: None = None
    ) -> BaselinePrediction:
        """Logits (Q, L', 4h, 4w) of some segments inside a box of the stride-8 map; from the match alone."""
        top, bottom, left, right = looked.box
        height, width = match.coarse.shape[-2:]
        full = _resized(match.logits[:, looked.which], (4 * height, 4 * width))
        return BaselinePrediction(full[:, :, 4 * top : 4 * bottom, 4 * left : 4 * right].float())

    def forward(self, features: Features, support: BaselineSupport) -> BaselinePrediction:
        """Segments Q encoded queries over whole slices."""
        height, width = support.masks.shape[-2:]
        return BaselinePrediction(_resized(self.compare(features, support), (4 * height, 4 * width)))

    def losses(
        self, features: Features, support: BaselineSupport, labels: Tensor, fractions: Tensor
    ) -> tuple[BaselinePrediction, dict[str, Tensor]]:
        """Prediction and losses: cross-entropy and Dice as IPL+SL has them, and the method's own.

        Args:
            features: Of the queries.
            support: With L segments.
            labels: (Q, H, W) integers 0..L.
            fractions: (Q, L + 1, H / 8, W / 8) class fractions of the queries.
        """
        logits = self.compare(features, support)
        full = upsample(with_background(logits), labels.shape)
        target = F.one_hot(labels, support.segments + 1).permute(0, 3, 1, 2).float()
        losses = {"cross_entropy": F.cross_entropy(full, labels), "dice": soft_dice(full.softmax(dim=1), target)}
        losses |= self.auxiliary(features, support, logits, fractions)
        size = (4 * fractions.shape[-2], 4 * fractions.shape[-1])
        return BaselinePrediction(_resized(logits, size)), losses


class Neck(nn.Module):
    """The encoder's three deepest stages as one map at stride 8: a linear projection of each, added."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        inputs = LiteEncoder.channels[2:]
        self.project = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in inputs)

    def forward(self, features: Features) -> Tensor:
        """(N, C, h, w) at stride 8."""
        maps = (features.mid, features.high, features.separation)
        size = features.mid.shape
        projected = [project(m) for project, m in zip(self.project, maps, strict=True)]
        return projected[0] + upsample(projected[1], size) + upsample(projected[2], size)


def alignment_loss(network: Baseline, features: Features, support: BaselineSupport, logits: Tensor) -> Tensor:
    """Prototype alignment (PANet, Wang et al. 2019, section 3.4): the predicted queries segment the support in turn.

    Args:
        network: Compares.
        features: Of the queries.
        support: Whose slices are segmented.
        logits: (Q, L, h', w') of the queries.
    """
    coarse = with_background(_resized(logits.detach(), support.masks.shape[-2:]))
    found = F.one_hot(coarse.argmax(dim=1), support.segments + 1).permute(0, 3, 1, 2).to(logits.dtype)
    present = found[:, 1:].sum(dim=(0, 2, 3)) > 0
    if not present.any():
        return logits.new_zeros(())
    back = _resized(network.compare(support.features, BaselineSupport(features, found)), support.masks.shape[-2:])
    wrong = F.binary_cross_entropy_with_logits(back, support.masks[:, 1:].to(back.dtype), reduction="none")
    return wrong.mean(dim=(0, 2, 3))[present].mean()


def _resized(maps: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Bilinear, averaged where the maps get smaller."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
