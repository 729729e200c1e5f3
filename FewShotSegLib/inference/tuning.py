"""A few steps of training on the user's own slices, before the others are segmented.

Each painted slice in turn is taken for a query, and the others for its support and its evidence; the segment head
learns to find what was painted there, from features that stay as they are. The slices left in are further apart than
they will be, so the head is not taken over as learned but mixed with the bundled one (weight-space ensembles of a model
and its fine-tuned self, Wortsman et al., CVPR 2022).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from ..network.encoding_decoding import Features
from ..network.matching import Match
from ..network.model import FewShotNetwork
from .course import Tick, no_tick
from .frame_pass import FramePass, Painted, SupportSlice

STEPS = 40
_RATE = 2e-3
_BETAS = (0.9, 0.999)
_MIX = 0.5
_MOST_SLICES = 5
# Segments of one step, which bound its memory.
MOST_SEGMENTS = 6


@dataclass(frozen=True)
class _Lesson:
    """A painted slice to be found from the others.

    Attributes:
        features, match, evidence: what the head gets; see FewShotNetwork.decode.
        labels: (1, h / 2, w / 2) segments 0..L.
        segments: those that the other slices show, 1..L.
    """

    features: Features
    match: Match
    evidence: Tensor
    labels: Tensor
    segments: list[int]


def tuned(work: FramePass, painted: Painted, foreign: list[SupportSlice], segments: int, tick: Tick) -> FewShotNetwork:
    """The network with a head that is tuned to painted slices.

    Args:
        work: pass through the frame to tune in; its network is left as it is.
        painted: painted slices of the query.
        foreign: painted slices of other volumes, which support all of them.
        segments: L.
        tick: called with the number of steps done since the last call, `STEPS` in all; may raise to cancel.

    Returns:
        a copy, or the same network where fewer than two slices are painted. The same for the same input.
    """
    lessons = _lessons(work, painted, foreign, segments, tick) if len(painted.positions) > 1 else []
    if not lessons:
        tick(STEPS)
        return work.network
    # What was made in inference mode can't be learned from: copies can.
    with torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(work.network).requires_grad_(False)
        network.head.requires_grad_(True)
        descent = _Adam(list(network.head.parameters()))
        lessons = [_cloned(lesson) for lesson in lessons]
        for step in range(STEPS):
            lesson = lessons[step % len(lessons)]
            turn = step // len(lessons) * MOST_SEGMENTS
            _loss(network, lesson, _some(lesson.segments, turn)).backward()
            descent.step()
            tick(1)
        network.requires_grad_(False)
        with torch.no_grad():
            for mine, bundled in zip(network.head.parameters(), work.network.head.parameters(), strict=True):
                mine.lerp_(bundled, 1 - _MIX)
    return network


class _Adam:
    """Adam (Kingma & Ba, ICLR 2015). torch's own brings its compiler along: a second and 80 MB for 40 steps."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self._state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter against its gradient, which is then forgotten."""
        self._steps += 1
        for parameter, mean, square in self._state:
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - _BETAS[0])
            square.lerp_(parameter.grad**2, 1 - _BETAS[1])
            scale = (square / (1 - _BETAS[1] ** self._steps)).sqrt_().add_(1e-8)
            parameter.sub_(_RATE / (1 - _BETAS[0] ** self._steps) * mean / scale)
            parameter.grad = None


def _lessons(
    work: FramePass, painted: Painted, foreign: list[SupportSlice], segments: int, tick: Tick = no_tick
) -> list[_Lesson]:
    own, others = work.encode_supports(painted, foreign, segments, tick)
    count = len(painted.positions)
    lessons = []
    for left_out in sorted({int((i + 0.5) * count / _MOST_SLICES) for i in range(_MOST_SLICES)}):
        rest = [i for i in range(count) if i != left_out]
        shown = set().union(*(painted.segments[i] for i in rest))
        if not shown:
            continue
        others_only = replace(painted, positions=[painted.positions[i] for i in rest], masks=painted.masks[rest])
        position = painted.positions[left_out]
        support = work.support([own[i] for i in _near(left_out, rest)], others)
        lessons.append(
            _Lesson(
                features=own[left_out][0],
                match=work.network.match(own[left_out][0], support),
                evidence=work.evidence_around(others_only, list(range(1, segments + 1)), position, tick),
                labels=work.frame.cut_labels(painted.masks[left_out][None], work.frame.half).to(work.device),
                segments=sorted(shown),
            )
        )
    return lessons


def _near(left_out: int, rest: list[int], most: int = 5) -> list[int]:
    return sorted(sorted(rest, key=lambda i: abs(i - left_out))[:most])


def _some(segments: list[int], turn: int) -> list[int]:
    """At most `MOST_SEGMENTS`, others at each turn."""
    if len(segments) <= MOST_SEGMENTS:
        return segments
    return sorted(segments[(turn + i) % len(segments)] for i in range(MOST_SEGMENTS))


def _loss(network: FewShotNetwork, lesson: _Lesson, segments: list[int]) -> Tensor:
    """Cross entropy and Dice loss of some segments."""
    which = torch.tensor(segments, device=lesson.labels.device) - 1
    match = replace(
        lesson.match,
        maps=lesson.match.maps[:, which],
        coarse=lesson.match.coarse[:, [0, *segments]],
        prototypes=lesson.match.prototypes[:, which],
    )
    height, width = match.maps.shape[-2:]
    logits, _ = network.decode(lesson.features, match, lesson.evidence[:, which], slice(None), (0, height, 0, width))
    truth = torch.stack([lesson.labels == segment for segment in segments], dim=1).float()
    target = (truth * torch.arange(1, len(segments) + 1, device=truth.device)[:, None, None]).sum(dim=1).long()
    full = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
    found = full.softmax(dim=1)[:, 1:]
    present = truth.sum(dim=(0, 2, 3)) > 0
    dice = (2 * (found * truth).sum(dim=(0, 2, 3)) + 1) / ((found + truth).sum(dim=(0, 2, 3)) + 1)
    loss = F.cross_entropy(full, target)
    return loss + (1 - dice[present]).mean() if present.any() else loss


def _cloned(value: Any) -> Any:
    """A copy of all tensors in nested dataclasses and tuples, single precision."""
    if isinstance(value, Tensor):
        return value.float().clone() if value.is_floating_point() else value.clone()
    if isinstance(value, tuple):
        return tuple(_cloned(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _cloned(getattr(value, f.name)) for f in fields(value)})
    return value
