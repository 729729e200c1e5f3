"""Training losses of one group of episodes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.encoding_decoding import Features, upsample
from ..network.matching import SupportSet
from ..network.model import FewShotNetwork, Prediction, class_fractions


def with_background(logits: Tensor) -> Tensor:
    """(Q, L, h, w) segment logits -> (Q, L + 1, h, w): background has logit 0."""
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


def soft_dice(probability: Tensor, target: Tensor) -> Tensor:
    """Mean Dice loss of the segments that occur in the group; (Q, L + 1, h, w) each, class 0 is background."""
    overlap = (probability * target).sum(dim=(0, 2, 3))[1:]
    total = (probability + target).sum(dim=(0, 2, 3))[1:]
    present = target.sum(dim=(0, 2, 3))[1:] > 0
    if not present.any():
        return probability.new_zeros(())
    return 1 - ((2 * overlap + 1) / (total + 1))[present].mean()


def size_error(probability: Tensor, target: Tensor) -> Tensor:
    """By how much each segment's area on each query is off, as part of the segment's area on all of them.

    Dice alone makes what is uncertain too large: a pixel is worth having from half of the Dice on, as a probability.
    Areas are right on average only where probabilities are, also beyond a segment's ends, where its area is nothing.

    Args:
        probability, target: (Q, L + 1, h, w), class 0 is background.

    Returns:
        mean of the segments that occur in the group.
    """
    found, true = probability.sum(dim=(2, 3))[:, 1:], target.sum(dim=(2, 3))[:, 1:]
    total = true.sum(dim=0)
    present = total > 0
    if not present.any():
        return probability.new_zeros(())
    return ((found - true).abs().sum(dim=0) / (total + 1))[present].clamp(max=2).mean()


def group_losses(
    network: FewShotNetwork, prediction: Prediction, features: Features, support: SupportSet, labels: Tensor
) -> dict[str, Tensor]:
    """All losses; their sum is trained.

    Args:
        network: that made the prediction.
        prediction: of the queries.
        features: of the queries.
        support: that they were matched with.
        labels: (Q, H, W) integers 0..L.
    """
    segments = prediction.logits.shape[1]
    full = upsample(with_background(prediction.logits), labels.shape)
    target = F.one_hot(labels, segments + 1).permute(0, 3, 1, 2).float()
    fine = class_fractions(labels, segments, 4)
    fractions = F.avg_pool2d(fine, 2)
    probability = full.softmax(dim=1)
    own, others = prediction.decoded.separated.unbind(dim=2)
    lead = network.matching.scale.detach().exp() * (own - others)
    return {
        "cross_entropy": F.cross_entropy(full, labels),
        "dice": soft_dice(probability, target),
        "size": 0.1 * size_error(probability, target),
        "coarse": 0.3 * _soft_cross_entropy(with_background(prediction.decoded.coarse), fractions),
        "matching": 0.3 * _soft_cross_entropy(prediction.match.coarse, fractions),
        "prototypes": 0.1 * _soft_cross_entropy(prediction.match.first, fractions),
        "mean_prototypes": 0.1 * _soft_cross_entropy(prediction.match.levels[0], fractions),
        "peak_prototypes": 0.15 * _soft_cross_entropy(prediction.match.levels[1], fractions),
        "low_prototypes": 0.1 * _soft_cross_entropy(prediction.match.levels[2], fine),
        "separation": 0.1 * _near(fine[:, 1:], lead),
        "interaction": 0.05 * network.matching.losses(features, fractions, support),
    }


def _soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    # A class missing from the support has a logit of about -1e4; it must not make the loss explode.
    return -(target * F.log_softmax(logits, dim=1).clamp_min(-20)).sum(dim=1).mean()


def _near(target: Tensor, logits: Tensor) -> Tensor:
    """Cross entropy of each segment alone, (Q, L, h, w), where foreground or background of it is near."""
    known = logits.detach() != 0
    wrong = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (wrong * known).sum() / known.sum().clamp_min(1)


@torch.no_grad()
def group_dice(prediction: Prediction, labels: Tensor) -> float:
    """Mean Dice of the segments that occur in the group's queries, for the learning curve."""
    full = upsample(with_background(prediction.logits), labels.shape)
    found = full.argmax(dim=1)
    scores = []
    for segment in range(1, prediction.logits.shape[1] + 1):
        a, b = found == segment, labels == segment
        if b.any():
            scores.append(float(2 * (a & b).sum() / (a.sum() + b.sum())))
    return sum(scores) / len(scores) if scores else float("nan")
