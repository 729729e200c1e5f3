"""Matching: everything that compares a query with the examples, and with itself.

First all segments together over whole slices, by what the examples show; then each segment again, once the head has
found it coarsely with all evidence there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NetworkConfig
from .encoding_decoding import Features
from .interaction import PrototypeInteraction, interaction_losses
from .prototypes import Pool, PrototypeSet, build_prototypes, cosine_maps, local_maps, mean_pool, peak_pool
from .self_learning import confident_masks, mix, separated_maps

# maps handed on per segment: 2 levels x (own, others, whole, whole background) + 2 x 2 interacted + 2 x 2 self-learned
# + coarse probability + strongest other
MATCH_CHANNELS = 18
# 2 levels x (interacted, self-learned) x (foreground, its lead over background)
AGAIN_CHANNELS = 8
# low level: examples' own and others, the query's own foreground and background
FINE_CHANNELS = 4
# Background within so many pixels of stride 8 around a segment is its surroundings.
_AROUND = 3


@dataclass(frozen=True)
class SupportSet:
    """What the examples give a query: prototypes of three levels for background and L segments."""

    low: PrototypeSet
    mid: PrototypeSet
    high: PrototypeSet

    @property
    def classes(self) -> int:
        return self.mid.overall.shape[0]


@dataclass(frozen=True)
class Match:
    """Result of matching Q queries.

    Attributes:
        maps: (Q, L, MATCH_CHANNELS, h, w) similarity maps of each segment.
        fine: (Q, L, 2, 2h, 2w) low-level similarity with each segment and with all others.
        coarse: (Q, L + 1, h, w) logits of the interacted prototypes, class 0 is background.
        first: (Q, L + 1, h, w) logits of the support's prototypes alone.
        levels: (Q, L + 1, h, w) logits of the local mean prototypes alone and of the local peak prototypes alone, and
            (Q, L + 1, 2h, 2w) of the local low-level prototypes alone.
        prototypes: (Q, L, Cm + Ch) interacted prototypes of each segment.
        low, mid, high: the queries' features, standardized as the support's; low (Q, Cs, 2h, 2w).
        overall: (L + 1, Cm) and (L + 1, Ch) the support's prototypes.
    """

    maps: Tensor
    fine: Tensor
    coarse: Tensor
    first: Tensor
    levels: tuple[Tensor, Tensor, Tensor]
    prototypes: Tensor
    low: Tensor
    mid: Tensor
    high: Tensor
    overall: tuple[Tensor, Tensor]


class Matching(nn.Module):
    """Prototype matching with interaction (IPL) and self-learning (SL); see the modules of those names."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.interact_mid = PrototypeInteraction(config.mid_channels)
        self.interact_high = PrototypeInteraction(config.high_channels)
        self.sharpness = nn.Parameter(torch.tensor(1.0))
        self.scale = nn.Parameter(torch.tensor(2.7))  # log of the temperature of cosines
        self.weigh = nn.Parameter(torch.tensor([0.4, 0.4, 0.2, 0.2]))
        self.weigh_again = nn.Parameter(torch.full((4,), 0.2))

    def build(self, features: Features, masks: Tensor) -> SupportSet:
        """Prototypes of S support slices under masks (S, L + 1, 2h, 2w) at stride 4, class fractions."""
        cells = self.config.cells
        small = F.avg_pool2d(masks, 2)
        return SupportSet(
            build_prototypes(features.separation.float(), masks, cells, mean_pool),
            build_prototypes(features.mid.float(), small, cells, mean_pool),
            build_prototypes(features.high.float(), small, cells, self._peak),
        )

    @property
    def _peak(self) -> Pool:
        return partial(peak_pool, sharpness=self.sharpness)

    def forward(self, features: Features, support: SupportSet) -> Match:
        """Matches Q queries with the support set; see the class's modules for each step."""
        low = support.low.standardize(features.separation.float())
        mid, high = support.mid.standardize(features.mid.float()), support.high.standardize(features.high.float())
        config = self.config
        temperature = self.scale.exp()
        mid_maps = self._support_maps(mid, support.mid, temperature, config.use_mean_prototypes)
        high_maps = self._support_maps(high, support.high, temperature, config.use_peak_prototypes)
        low_own, low_others = local_maps(low, support.low, temperature)
        w = self.weigh
        absent = torch.where(support.mid.present, 0.0, -1e4)[None, :, None, None]
        first = w[0] * mid_maps[0] + w[1] * high_maps[0] + w[2] * mid_maps[2] + w[3] * high_maps[2]
        first = temperature * first + absent
        probability = first.softmax(dim=1)

        weights = probability.flatten(2)
        certainty = (weights * weights).sum(dim=2) / weights.sum(dim=2).clamp_min(1e-4)
        new_mid, new_high = support.mid.overall, support.high.overall
        own_mid, own_high = mean_pool(mid.flatten(2), weights), self._peak(high.flatten(2), weights)
        if config.use_interaction:
            new_mid = self.interact_mid(new_mid, own_mid, certainty)
            new_high = self.interact_high(new_high, own_high, certainty)
        new_mid, new_high = new_mid.expand_as(own_mid), new_high.expand_as(own_high)
        inter_mid, inter_high = cosine_maps(mid, new_mid), cosine_maps(high, new_high)

        again = first.detach() * 0.5 + temperature * 0.25 * (inter_mid + inter_high).detach()
        sure = confident_masks(again.softmax(dim=1))
        learnt_mid = cosine_maps(mid, mix(support.mid.overall, mean_pool(mid.flatten(2), sure)))
        learnt_high = cosine_maps(high, mix(support.high.overall, self._peak(high.flatten(2), sure)))
        if not config.use_mean_prototypes:
            inter_mid, learnt_mid = torch.zeros_like(inter_mid), torch.zeros_like(learnt_mid)
        if not config.use_peak_prototypes:
            inter_high, learnt_high = torch.zeros_like(inter_high), torch.zeros_like(learnt_high)
        if not config.use_self_learning:
            learnt_mid, learnt_high = torch.zeros_like(learnt_mid), torch.zeros_like(learnt_high)

        v = self.weigh_again
        coarse = 0.5 * first + temperature * (
            v[0] * inter_mid + v[1] * inter_high + v[2] * learnt_mid + v[3] * learnt_high
        )
        coarse = coarse + absent
        share = coarse.softmax(dim=1)
        maps = [*self._per_segment(mid_maps), *self._per_segment(high_maps)]
        for m in (inter_mid, inter_high, learnt_mid, learnt_high):
            maps += [m[:, 1:], m[:, 1:] - m[:, :1]]
        maps += [share[:, 1:], strongest_other(share)]
        fine = torch.stack([low_own[:, 1:], low_others[:, 1:]], dim=2)
        levels = (
            temperature * mid_maps[0] + absent,
            temperature * high_maps[0] + absent,
            temperature * low_own + absent,
        )
        return Match(
            maps=torch.stack(maps, dim=2),
            fine=fine if config.use_low_level else torch.zeros_like(fine),
            coarse=coarse,
            first=first,
            levels=levels,
            prototypes=torch.cat([new_mid[:, 1:], new_high[:, 1:]], dim=-1),
            low=low,
            mid=mid,
            high=high,
            overall=(support.mid.overall, support.high.overall),
        )

    def again(self, match: Match, which: slice, box: tuple[int, int, int, int], share: Tensor) -> tuple[Tensor, Tensor]:
        """Compares queries inside a box with prototypes of their own, under what was found of some segments.

        Args:
            match: of the queries.
            which: the L' segments among 0..L - 1.
            box: top, bottom, left, right at stride 8.
            share: (Q, L', h, w) what each segment is taken to have of a pixel inside the box, 0..1.

        Returns:
            (Q, L', AGAIN_CHANNELS, h, w), and (Q, L', 2, 2h, 2w) of :func:`separated_maps`.
        """
        config = self.config
        top, bottom, left, right = box
        around = F.max_pool2d(share, 2 * _AROUND + 1, stride=1, padding=_AROUND) * (1 - share)
        weights = torch.stack([around, share], dim=2).flatten(3)
        certainty = (weights * weights).sum(dim=3) / weights.sum(dim=3).clamp_min(1e-4)
        maps: list[Tensor] = []
        levels = (
            (match.mid, match.overall[0], mean_pool, self.interact_mid, config.use_mean_prototypes),
            (match.high, match.overall[1], self._peak, self.interact_high, config.use_peak_prototypes),
        )
        for whole, overall, pool, interact, used in levels:
            query = whole[:, :, top:bottom, left:right]
            own = pool(query.flatten(2)[:, None], weights)
            segments = overall[1:][which]
            support = torch.stack([overall[:1].expand_as(segments), segments], dim=1).expand_as(own)
            met = support
            if config.use_interaction:
                met = interact(support.flatten(0, 1), own.flatten(0, 1), certainty.flatten(0, 1)).view_as(own)
            for prototypes, shown in ((met, used), (mix(support, own), used and config.use_self_learning)):
                cosines = cosine_maps(query, prototypes.flatten(1, 2)).unflatten(1, own.shape[1:3])
                pair = [cosines[:, :, 1], cosines[:, :, 1] - cosines[:, :, 0]]
                maps += pair if shown else [torch.zeros_like(m) for m in pair]
        low = match.low[:, :, 2 * top : 2 * bottom, 2 * left : 2 * right]
        separated = separated_maps(low, share)
        return torch.stack(maps, dim=2), separated if config.use_separation else torch.zeros_like(separated)

    @staticmethod
    def _support_maps(
        features: Tensor, prototypes: PrototypeSet, temperature: Tensor, used: bool
    ) -> tuple[Tensor, ...]:
        own, others = local_maps(features, prototypes, temperature)
        whole = cosine_maps(features, prototypes.overall)
        maps = (own, others, whole, whole[:, :1].expand_as(whole))
        return maps if used else tuple(torch.zeros_like(m) for m in maps)

    @staticmethod
    def _per_segment(maps: tuple[Tensor, ...]) -> list[Tensor]:
        return [m[:, 1:] for m in maps]

    def losses(self, features: Features, masks: Tensor, support: SupportSet) -> Tensor:
        """Interaction losses of both levels under the queries' true masks (Q, L + 1, h, w)."""
        weights = masks.flatten(2)
        mid = mean_pool(support.mid.standardize(features.mid.float()).flatten(2), weights)
        high = self._peak(support.high.standardize(features.high.float()).flatten(2), weights)
        present = (weights.sum(dim=2) > 0.5) & support.mid.present
        return interaction_losses(support.mid.overall, mid, present) + interaction_losses(
            support.high.overall, high, present
        )


def strongest_other(values: Tensor) -> Tensor:
    """For each segment the greatest value among all other classes, background included.

    Args:
        values: (Q, L + 1, h, w).

    Returns:
        (Q, L, h, w).
    """
    best, index = values.max(dim=1, keepdim=True)
    second = values.scatter(1, index, -torch.inf).amax(dim=1, keepdim=True)
    classes = torch.arange(1, values.shape[1], device=values.device)[None, :, None, None]
    return torch.where(index == classes, second, best)
