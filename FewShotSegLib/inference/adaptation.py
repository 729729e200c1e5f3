"""A few steps of training on the user's own slices, before the others are segmented.

Each painted slice in turn is taken for a query, and the others for its support and its evidence; the segment head
learns to find what was painted there, from features that stay as they are. The slices left in are further apart than
they will be (or of the same patient, where another's will be segmented), so the head is not taken over as learned but
mixed with the bundled one (weight-space ensembles of a model and its fine-tuned self, Wortsman et al., CVPR 2022).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from ..network.encoding_decoding import Features
from ..network.matching import Match
from ..network.model import Box, FewShotNetwork
from ..plan import Tick
from ..priors import POSITION, PRIOR_CHANNELS, PROPAGATED_BLUR
from .boxes import likely_boxes
from .labelled_slices import LabelledSlices
from .predictor import OUTSIDE, Predictor
from .support import SupportImage

STEPS = 40
_RATE = 2e-3
_BETAS = (0.9, 0.999)
_MIX = 0.5
_MOST_SLICES = 5
# Segments of one step, which bound its memory.
MOST_SEGMENTS = 6
_IGNORED = -100
# How far an episode's position is off, as part of the body's size, and by which part of a turn its direction changes
# with every step: what a registration will bring is not exact either.
_OFF = 0.02
_TURN = 0.618


@dataclass(frozen=True)
class _Episode:
    """A painted slice to be found from the others.

    Attributes:
        features, match, evidence: what the head gets; see FewShotNetwork.look.
        labels: (1, h / 2, w / 2) segments 0..L, -1 where nothing is known.
        segments: those that the other slices show, 1..L.
        boxes: where the head runs for each of 1..L, as where a slice is segmented; None for nowhere.
        off: pixels that the evidence is moved by in the plane, each time in another direction.
    """

    features: Features
    match: Match
    evidence: Tensor
    labels: Tensor
    segments: list[int]
    boxes: tuple[Box | None, ...]
    off: float = 0.0


def adapted(
    predictor: Predictor,
    labelled: LabelledSlices,
    shown: list[SupportImage],
    body: float,
    tick: Tick,
    guides: LabelledSlices | None = None,
) -> FewShotNetwork:
    """The network with a head that is adapted to painted slices: of the query, or else of other volumes.

    Args:
        predictor: through the frame to adapt in; its network is left as it is.
        labelled: painted slices of the query.
        shown: painted slices of other volumes; they support all of the query, or are the episodes where it has none.
        body: size of the body in mm.
        tick: called with the number of steps done since the last call, `STEPS` in all; may raise to cancel.
        guides: the painted slices of the query with pseudo-labels between them; then painted slices are found from
            these too, about as near as they will be to the slices that are segmented.

    Returns:
        a copy, or the same network where no segment is painted on two slices. The same for the same input.
    """
    if labelled.positions:
        several = len(labelled.positions) > 1
        episodes = _episodes(predictor, labelled, guides or labelled, shown, tick) if several else []
    else:
        episodes = _episodes_of_others(predictor, labelled, shown, body / predictor.half_pixel, tick)
    if not episodes:
        tick(STEPS)
        return predictor.network
    # What was made in inference mode can't be learned from: copies can.
    with torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(predictor.network).requires_grad_(False)
        network.head.requires_grad_(True)
        descent = _Adam(list(network.head.parameters()))
        episodes = [_cloned(episode) for episode in episodes]
        for step in range(STEPS):
            episode = _moved(episodes[step % len(episodes)], step)
            turn = step // len(episodes) * MOST_SEGMENTS
            loss = _loss(network, episode, _some(episode.segments, turn))
            if loss.requires_grad:  # else nothing of these segments was likely anywhere
                loss.backward()
                descent.step()
            tick(1)
        network.requires_grad_(False)
        with torch.no_grad():
            for mine, bundled in zip(network.head.parameters(), predictor.network.head.parameters(), strict=True):
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


def _episodes(
    predictor: Predictor, labelled: LabelledSlices, guides: LabelledSlices, shown: list[SupportImage], tick: Tick
) -> list[_Episode]:
    """Episodes of painted slices, each to be found from the other guides."""
    segments = labelled.known.complete.shape[1]
    own = predictor.encode_labelled(guides, segments, tick)
    others = predictor.encode_shown(shown, segments, tick)
    # Slices with strokes are pseudo-labels mostly, and of a segment on one slice others can only teach its absence.
    painted = [i for i in range(len(labelled.positions)) if labelled.certain is None or labelled.certain[i].all()]
    count = len(painted)
    everything = list(range(1, segments + 1))
    often = {s for s in everything if sum(s in labelled.segments[i] for i in painted) > 1}
    episodes = []
    for chosen in sorted({painted[int((i + 0.5) * count / _MOST_SLICES)] for i in range(_MOST_SLICES if count else 0)}):
        position = labelled.positions[chosen]
        left_out = guides.positions.index(position)
        rest = [i for i in range(len(guides.positions)) if i != left_out]
        taught = set().union(*(guides.segments[i] for i in rest))
        taught &= {s for s in often if labelled.known.complete[chosen, s - 1]}
        if not taught:
            continue
        support = predictor.support([own[i] for i in _near(left_out, rest)], others)
        match = predictor.network.match(own[left_out][0], support)
        around = guides.some(rest)
        around = replace(around, known=replace(around.known, reach=np.full(segments, np.nan)))
        within = _around(around, position, sorted(taught))
        evidence = predictor.evidence(around, everything, within=within, tick=lambda _: tick(0))([position])
        episodes.append(
            _Episode(
                features=own[left_out][0],
                match=match,
                evidence=evidence.to(predictor.device),
                labels=predictor.frame.cut_labels(labelled.labels[chosen][None], predictor.frame.half).to(
                    predictor.device
                ),
                segments=sorted(taught),
                boxes=tuple(likely_boxes(match, evidence, everything)),
            )
        )
    return episodes


def _around(guides: LabelledSlices, position: int, segments: list[int]) -> range:
    """Slices from the nearest guides before and after that show some segments whole, the farthest of these."""
    first, last = position, position
    for segment in segments:
        places = guides.complete_positions(segment)
        first = min([first, *[p for p in places if p <= position][-1:]])
        last = max([last, *[p for p in places if p >= position][:1]])
    return range(first, last + 1)


def _episodes_of_others(
    predictor: Predictor, nothing: LabelledSlices, shown: list[SupportImage], body: float, tick: Tick
) -> list[_Episode]:
    """Episodes of other volumes' slices, each to be found from further volumes, or else from its own volume's others.

    Args:
        predictor, shown, tick: see `adapted`.
        nothing: no labelled slices, of as many segments.
        body: size of the body in pixels of stride 2.
    """
    segments = nothing.known.complete.shape[1]
    encoded = predictor.encode_shown(shown, segments, tick)
    blurred = torch.stack([_blurred_shapes(s.labels, segments, PROPAGATED_BLUR * body) for s in shown])
    peak = blurred.amax(dim=(0, 2, 3)).clamp(min=1e-3)
    episodes = []
    for left_out in sorted({int((i + 0.5) * len(shown) / _MOST_SLICES) for i in range(_MOST_SLICES)}):
        rest = [i for i, s in enumerate(shown) if s.volume != shown[left_out].volume]
        rest = rest or [i for i in range(len(shown)) if i != left_out]
        taught = {int(v) for i in rest for v in shown[i].labels.unique()} - {0, -1}
        if not taught:
            continue
        features = encoded[left_out][0]
        evidence = torch.zeros(1, segments, PRIOR_CHANNELS, *blurred.shape[-2:])
        expected = (blurred[left_out] / peak[:, None, None]).sqrt()
        evidence[0, :, POSITION] = torch.stack([expected, torch.ones_like(expected)], dim=1)
        match = predictor.network.match(features, predictor.support([], [encoded[i] for i in rest]))
        episodes.append(
            _Episode(
                features=features,
                match=match,
                evidence=evidence.to(predictor.device),
                labels=_halved(shown[left_out].labels)[None].to(predictor.device),
                segments=sorted(taught),
                boxes=tuple(likely_boxes(match, None, list(range(1, segments + 1)))),
                off=_OFF * body,
            )
        )
    return episodes


def _blurred_shapes(labels: Tensor, segments: int, sigma: float) -> Tensor:
    """(h, w) labels -> (L, h / 2, w / 2) shape of each segment, blurred by so many pixels of the result."""
    half = _halved(labels)
    shapes = torch.stack([half == segment for segment in range(1, segments + 1)]).float()
    return torch.from_numpy(gaussian_filter(shapes.numpy(), (0, sigma, sigma)))


def _halved(labels: Tensor) -> Tensor:
    return labels[1::2, 1::2]


def _moved(episode: _Episode, step: int) -> _Episode:
    """A episode with its evidence off in a direction of the step's own."""
    if not episode.off:
        return episode
    angle = 2 * math.pi * _TURN * step
    shift = round(episode.off * math.sin(angle)), round(episode.off * math.cos(angle))
    return replace(episode, evidence=torch.roll(episode.evidence, shift, dims=(-2, -1)))


def _near(left_out: int, rest: list[int], most: int = 5) -> list[int]:
    return sorted(sorted(rest, key=lambda i: abs(i - left_out))[:most])


def _some(segments: list[int], turn: int) -> list[int]:
    """At most `MOST_SEGMENTS`, others at each turn."""
    if len(segments) <= MOST_SEGMENTS:
        return segments
    return sorted(segments[(turn + i) % len(segments)] for i in range(MOST_SEGMENTS))


def _loss(network: FewShotNetwork, episode: _Episode, segments: list[int]) -> Tensor:
    """Cross entropy and Dice loss of some segments, where something is known."""
    logits = torch.cat([_decoded(network, episode, segment) for segment in segments], dim=1)
    known = (episode.labels >= 0)[:, None]
    truth = torch.stack([episode.labels == segment for segment in segments], dim=1).float()
    target = (truth * torch.arange(1, len(segments) + 1, device=truth.device)[:, None, None]).sum(dim=1).long()
    full = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
    found = full.softmax(dim=1)[:, 1:] * known
    present = truth.sum(dim=(0, 2, 3)) > 0
    dice = (2 * (found * truth).sum(dim=(0, 2, 3)) + 1) / ((found + truth).sum(dim=(0, 2, 3)) + 1)
    loss = F.cross_entropy(full, torch.where(known[:, 0], target, _IGNORED), ignore_index=_IGNORED)
    return loss + (1 - dice[present]).mean() if present.any() else loss


def _decoded(network: FewShotNetwork, episode: _Episode, segment: int) -> Tensor:
    """(1, 1, h / 2, w / 2) logits of a segment."""
    height, width = episode.labels.shape[-2:]
    box = episode.boxes[segment - 1]
    if box is None:
        return torch.full((1, 1, height, width), OUTSIDE, device=episode.labels.device)
    shown = episode.evidence[:, segment - 1 : segment]
    looked = network.look(episode.match, shown, segment - 1, box)
    inside = network.decode(episode.features, episode.match, looked).logits
    top, bottom, left, right = (4 * b for b in box)
    return F.pad(inside, (left, width - right, top, height - bottom), value=OUTSIDE)


def _cloned(value: Any) -> Any:
    """A copy of all tensors in nested dataclasses and tuples, single precision."""
    if isinstance(value, Tensor):
        return value.float().clone() if value.is_floating_point() else value.clone()
    if isinstance(value, tuple):
        return tuple(_cloned(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _cloned(getattr(value, f.name)) for f in fields(value)})
    return value
