"""Groups of episodes: a few slices, encoded once, in which every (support set, query, segment) is one episode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor
from torch.nn import functional as F

from ..priors import priors_of_painted_slices
from .augment import IntensityChange, plane_grid, sample, slice_noise
from .painting import (
    ACROSS,
    ONE_BY_ONE,
    WHOLE,
    Cut,
    crossing_slices,
    draw_cuts,
    draw_way,
    known_ends,
    paint,
    shown_across,
)
from .plane import Plane, choose_axis
from .positions import Known, SimulatedPositions
from .slice_choice import MOST_QUERIES, covered, neighbours, run_through, single_slices, spread, thinned, usual_count
from .sources import REAL_LABELS, TrainingVolume

CROP = 192
MAX_SEGMENTS = 6
# Pairs of a query and a segment at most.
_MOST_PAIRS = 72
# Chance that the queries of another patient's examples are neighbouring slices of a stack.
_IN_STACKS = 0.7
# Chance that all painted slices lie near one end of a structure, in so much of it: a sliver of a kidney, say, from
# which all of it has to be found.
_AT_AN_END = 0.3
_END = (0.05, 0.3)
# Chances: of one segment only, of intensities shifted by structure, and of slices averaged (to so many mm at most).
_ALONE = 0.25
_RECOLOURED = 0.3
# How far intensities are shifted, as part of their spread; and the chance and size of shifts that only the queries of
# another patient have, as a kidney has in another phase of the contrast medium.
_SHIFT = 0.3
_OTHER_PHASE = 0.2
_PHASE_SHIFT = 0.15
_THICK = 0.3
_THICKEST = 9.0
# Chances that some of the painted slices are such as a look saw, that a registration tells besides where to expect the
# segments, and that these slices lie in a part of what is there only; and how much further structures may go on then.
_SEEN = 0.5
_EXPECTED = 0.5
_SEEN_PARTLY = 0.5
_FURTHER = (2.0, 4.0)


@dataclass(frozen=True)
class EpisodeGroup:
    """Support and query slices with L segments.

    Attributes:
        images: (S + Q, 1, CROP, CROP) in [-1, 1], support slices first.
        labels: (S + Q, CROP, CROP) integers 0..L, of support slices -1 where nothing is known.
        supports: S.
        segments: L.
        evidence: (Q, L, PRIOR_CHANNELS, CROP / 2, CROP / 2), or None where nothing is known.
        within: whether the support slices belong to the queries' own volume and say where.
        stack: whether the queries are neighbouring slices, in their order.
    """

    images: Tensor
    labels: Tensor
    supports: int
    segments: int
    evidence: Tensor | None
    within: bool
    stack: bool

    @property
    def episodes(self) -> int:
        """Pairs of a query and a segment."""
        return (len(self.images) - self.supports) * self.segments


class Rejected(Exception):
    """The drawn place gives no usable group; draw again."""


class EpisodeSampler:
    """Draws groups of episodes from training volumes.

    Args:
        volumes: from :func:`FewShotSegLib.training.sources.load_volumes`.
        weights: relative frequency of each volume.
        seed: of all chance.
        within: share of groups within one volume, with evidence of the painted slices.
    """

    def __init__(self, volumes: list[TrainingVolume], weights: list[float], seed: int, within: float = 0.6) -> None:
        self.volumes = volumes
        self.weights = np.asarray(weights, float) / np.sum(weights)
        self.rng = np.random.default_rng(seed)
        self.within = within
        self._boxes: dict[tuple[str, str], dict[int, tuple[slice, ...]]] = {}
        self._positions = SimulatedPositions(self.rng)
        self._partners: dict[str, list[TrainingVolume]] = {}
        for volume in volumes:
            if volume.label_group:
                self._partners.setdefault(volume.label_group, []).append(volume)

    def draw(self) -> EpisodeGroup:
        """Draws the next group."""
        while True:
            volume = self.volumes[self.rng.choice(len(self.volumes), p=self.weights)]
            try:
                if volume.kind == "volume" and self.rng.random() < self.within:
                    return self._within_volume(volume)
                return self._across(volume)
            except Rejected:
                continue

    # --- choice of structure -------------------------------------------------------------------------------------

    def _labeling(self, volume: TrainingVolume) -> str:
        names = list(volume.labelings)
        if REAL_LABELS in names:
            real = 0.65 if len(volume.label_names) > 1 else 0.35
            if len(names) == 1 or self.rng.random() < real:
                return REAL_LABELS
            names.remove(REAL_LABELS)
        # larger regions look more like organs
        weights = np.array([{"regions0": 0.5, "regions1": 1.0}.get(n, 1.0) for n in names])
        return names[self.rng.choice(len(names), p=weights / weights.sum())]

    def _objects(self, volume: TrainingVolume, labeling: str) -> dict[int, tuple[slice, ...]]:
        key = (volume.name, labeling)
        if key not in self._boxes:
            found = find_objects(np.asarray(volume.labelings[labeling]))
            self._boxes[key] = {i + 1: box for i, box in enumerate(found) if box is not None and _extent(box) >= 4}
        if not self._boxes[key]:
            raise Rejected
        return self._boxes[key]

    def _anchor(self, volume: TrainingVolume, labeling: str) -> int:
        return int(self.rng.choice(list(self._objects(volume, labeling))))

    # --- within one volume ---------------------------------------------------------------------------------------

    def _within_volume(self, volume: TrainingVolume) -> EpisodeGroup:
        rng = self.rng
        labeling = self._labeling(volume)
        anchor = self._anchor(volume, labeling)
        objects = self._objects(volume, labeling)
        box, axis = objects[anchor], choose_axis(rng, volume)
        if box[axis].stop - box[axis].start < 3:
            raise Rejected
        plane = Plane(volume, axis)
        way = draw_way(rng)
        seen = way == WHOLE and rng.random() < _SEEN
        start, length, margin = covered(rng, objects, anchor, axis)
        first = max(int(start - margin), 0)
        last = min(int(math.ceil(start + length - 1 + margin)), plane.count - 1)
        stack = thinned(rng, first, last)
        if len(stack) < 4:
            raise Rejected
        further = 1.0
        if seen and rng.random() < _SEEN_PARTLY:
            share = rng.uniform(0.3, 0.8)
            start, length = start + rng.uniform(0, 1 - share) * length, share * length
            further = float(rng.choice(_FURTHER))
        at_an_end = way == WHOLE and not seen and rng.random() < _AT_AN_END
        if at_an_end:
            share = rng.uniform(*_END)
            start, length = start + rng.integers(2) * (1 - share) * length, share * length

        pixel, center = self._view(plane, box)
        flips = tuple(bool(f) for f in rng.random(3) < 0.5)
        grid = plane_grid(rng, CROP, pixel, center, plane.spacing, plane.shape, rng.uniform(0, 1), flips)  # type: ignore[arg-type]
        labels = sample(plane.take(volume.labelings[labeling], stack), grid, labels=True)
        cuts: list[Cut] = []
        wanted = usual_count(rng) + int(seen) + int(seen and rng.random() < 0.5)
        if way == ACROSS:
            wanted, cuts = draw_cuts(rng, labels[:, 1::2, 1::2] == anchor)
        elif way == ONE_BY_ONE:
            wanted += int(rng.integers(1, 5))
        where = (start - first) / (last - first + 1), length / (last - first + 1)
        painted = spread(rng, len(stack), *where, wanted)
        shown = [labels[painted].flatten(), *(cut.of(labels[:, 1::2, 1::2]).flatten() for cut in cuts)]
        labels, kept = self._choose_segments(labels, torch.cat(shown), anchor)
        segments = len(kept)
        painting = paint(rng, way, labels[painted], segments, seen)
        queries = list(range(len(stack)))[neighbours(rng, len(stack), MOST_QUERIES)]
        queries = queries[neighbours(rng, len(queries), _MOST_PAIRS // segments)]
        if painting.uncompleted:
            queries = painted

        planes = plane.thick(volume.image, stack, self._thickness(plane))
        raw = sample(planes, grid, False, _air(volume))
        if rng.random() < _RECOLOURED:
            shifts = self._shifts(raw)
            raw = raw + shifts(sample(plane.take(volume.labelings[self._colours(volume)], stack), grid, True))
        low, high = self._window(volume, raw)
        image = IntensityChange(rng)(((raw - low) / (high - low)).clamp(0, 1))
        small = F.avg_pool2d(image[:, None], 2)[:, 0]
        if rng.random() < 0.5:
            small = (small + torch.randn(small.shape) * rng.uniform(0, 0.03)).clamp(0, 1)
        step = float(np.mean(np.diff(stack))) * plane.gap / (2 * pixel)
        half = labels[:, 1::2, 1::2]
        # slices close together say nothing of where structures end
        known = painting.knowledge(painted, None if at_an_end else further, known_ends(cuts, half, painted, segments))
        evidence = priors_of_painted_slices(
            small,
            painting.labels[:, 1::2, 1::2],
            painted,
            segments,
            step,
            known,
            None if painting.certain is None else painting.certain[:, 1::2, 1::2],
            crossing=crossing_slices(cuts, half, segments),
        )(queries)
        if seen and rng.random() < _EXPECTED:
            wanted_slices = [stack[q] for q in queries]
            carried = painting.labels[:, 1::4, 1::4]
            evidence = evidence + self._positions.carried(
                carried, plane, labeling, kept, wanted_slices, grid, 4 * pixel
            )
        across = [shown_across(cut.enlarged(), image, labels, 2 * step) for cut in cuts]
        images = slice_noise(rng, torch.cat([image[painted], *(i[None] for i, _ in across), image[queries]]))
        supports = len(painted) + len(across)
        if painting.uncompleted:
            images = images[:supports].repeat(2, 1, 1)
        labels = torch.cat([painting.labels, *(found[None] for _, found in across), labels[queries]])
        # Without painted slices along the stack the engine looks at each slice by itself.
        in_stack = bool(painted) and not painting.uncompleted
        return EpisodeGroup(images[:, None] * 2 - 1, labels, supports, segments, evidence, True, in_stack)

    def _view(self, plane: Plane, box: tuple[slice, ...]) -> tuple[float, tuple[float, float]]:
        """Pixel size in mm and centre in mm of a crop that shows a structure at a random scale."""
        rng = self.rng
        bounds = [(s.start * d, s.stop * d) for s, d in zip(plane.of(box), plane.spacing, strict=True)]
        extent = max(b - a for a, b in bounds)
        whole = max(n * d for n, d in zip(plane.shape, plane.spacing, strict=True))
        field = extent * math.exp(rng.uniform(math.log(1.15), math.log(6.0)))
        field = float(np.clip(field, 40 * min(plane.spacing), 1.15 * whole))
        free = max(field - extent, 0.15 * extent)
        row, column = ((a + b) / 2 + rng.uniform(-0.35, 0.35) * free for a, b in bounds)
        return field / CROP, (row, column)

    def _choose_segments(self, labels: Tensor, shown: Tensor, anchor: int | None) -> tuple[Tensor, list[int]]:
        """Keeps the anchor and some more labels that are shown, renumbered; the rest becomes background."""
        values, counts = shown.unique(return_counts=True)
        found = [int(v) for v, c in zip(values, counts, strict=True) if v > 0 and c >= 12]
        if not found or (anchor is not None and anchor not in found):
            raise Rejected
        others = [v for v in found if v != anchor]
        self.rng.shuffle(others)
        room = MAX_SEGMENTS - (anchor is not None)
        chance = self.rng.random()
        # Users often paint one structure, and its neighbours are background then.
        count = 0 if chance < _ALONE else room if chance < 0.75 else int(self.rng.integers(0, room + 1))
        keep = ([] if anchor is None else [anchor]) + others[:count]
        result = torch.zeros_like(labels, dtype=torch.long)
        for new, old in enumerate(keep, start=1):
            result[labels == old] = new
        return result, keep

    def _colours(self, volume: TrainingVolume) -> str:
        """A labeling whose structures get other intensities."""
        names = [n for n in volume.labelings if n != "regions0"]
        return names[self.rng.integers(len(names))]

    def _shifts(self, raw: Tensor, deviation: float = _SHIFT) -> Callable[[Tensor], Tensor]:
        """Shifts the intensity of every labelled structure: another contrast, the same texture."""
        spread = float(torch.quantile(raw.flatten()[::17], 0.95) - torch.quantile(raw.flatten()[::17], 0.05))
        table = torch.from_numpy(self.rng.normal(0, deviation, 4096).astype(np.float32)) * spread
        table[0] = 0
        return lambda labels: table[labels.long() % len(table)]

    def _thickness(self, plane: Plane) -> int:
        """Number of slices averaged into one, as in scans with thick slices."""
        most = int(_THICKEST / plane.gap)
        return int(self.rng.integers(2, most + 1)) if most >= 2 and self.rng.random() < _THICK else 1

    def _window(self, volume: TrainingVolume, raw: Tensor) -> tuple[float, float]:
        """Intensities that become 0 and 1: percentiles, or for CT a common or a random window in HU."""
        rng = self.rng
        chance = rng.random()
        if volume.modality == "CT" and chance < 0.5:
            middle, width = rng.normal(50, 30), math.exp(rng.uniform(math.log(250), math.log(700)))
            if chance < 0.08:
                middle, width = rng.normal(-300, 200), rng.uniform(1000, 2200)
            return middle - width / 2, middle + width / 2
        flat = raw.flatten()[::7]
        low = float(torch.quantile(flat, rng.uniform(0.0, 0.04)))
        high = float(torch.quantile(flat, rng.uniform(0.96, 1.0)))
        if high - low < 1e-3:
            raise Rejected
        return low, high

    # --- across volumes, or between slices whose relation is not used --------------------------------------------

    def _across(self, volume: TrainingVolume) -> EpisodeGroup:
        rng = self.rng
        labeling = self._labeling(volume)
        other = volume
        partners = [v for v in self._partners.get(volume.label_group, []) if v is not volume]
        if labeling == REAL_LABELS and partners and rng.random() < 0.6:
            other = partners[rng.integers(len(partners))]
        anchor = self._anchor(volume, labeling)
        if anchor not in self._objects(other, labeling):
            raise Rejected
        axis = choose_axis(rng, volume)
        if axis not in other.axes:
            raise Rejected
        if labeling == REAL_LABELS and volume.set_name == "CCTH_CT" and axis != 0 and other is not volume:
            raise Rejected
        support, query = Plane(volume, axis), Plane(other, axis)
        supports = int(rng.choice([1, 2, 3, 4], p=[0.35, 0.25, 0.3, 0.1]))
        near = labeling != REAL_LABELS
        box_s, box_q = self._objects(volume, labeling)[anchor], self._objects(other, labeling)[anchor]
        chosen_s = single_slices(rng, box_s[axis], support.count, supports, empty=0.0, near=near)
        stack = volume.kind == "volume" and rng.random() < _IN_STACKS
        if stack:
            chosen_q = run_through(rng, box_q[axis], query.count)
        else:
            middle = int(np.mean(chosen_s)) if other is volume and near else None
            chosen_q = single_slices(rng, box_q[axis], query.count, 4, empty=0.25, near=near, middle=middle)
        if other is volume:
            chosen_q = [q for q in chosen_q if q not in chosen_s]
        if not chosen_q:
            raise Rejected
        pixel, center_s = self._view(support, box_s)
        center_q = self._view(query, box_q)[1] if rng.random() < 0.7 else center_s
        flips = tuple(bool(f) for f in rng.random(3) < 0.5)
        turn = flips if rng.random() < 0.9 else tuple(bool(f) for f in rng.random(3) < 0.5)
        strength = rng.uniform(0.2, 1)
        grid_s = plane_grid(rng, CROP, pixel, center_s, support.spacing, support.shape, strength, flips)  # type: ignore[arg-type]
        scale = math.exp(rng.normal(0, 0.12))
        grid_q = plane_grid(rng, CROP, pixel * scale, center_q, query.spacing, query.shape, strength, turn)  # type: ignore[arg-type]
        planes_s = support.take(volume.labelings[labeling], chosen_s)
        labels_s = sample(planes_s, grid_s, True)
        labels_q = sample(query.take(other.labelings[labeling], chosen_q), grid_q, True)
        labels, kept = self._choose_segments(torch.cat([labels_s, labels_q]), labels_s, anchor)
        some = neighbours(rng, len(chosen_q), min(MOST_QUERIES, _MOST_PAIRS // len(kept)))
        chosen_q, labels = chosen_q[some], torch.cat([labels[:supports], labels[supports:][some]])
        thickness = self._thickness(support) if support.gap > query.gap else self._thickness(query)
        raw_s = sample(support.thick(volume.image, chosen_s, thickness), grid_s, False, _air(volume))
        raw_q = sample(query.thick(other.image, chosen_q, thickness), grid_q, False, _air(other))
        if rng.random() < _RECOLOURED:
            colours = self._colours(volume) if other is volume else REAL_LABELS
            shifts = self._shifts(raw_s)
            raw_s = raw_s + shifts(sample(support.take(volume.labelings[colours], chosen_s), grid_s, True))
            raw_q = raw_q + shifts(sample(query.take(other.labelings[colours], chosen_q), grid_q, True))
        if rng.random() < _OTHER_PHASE:
            shown = sample(query.take(other.labelings[labeling], chosen_q), grid_q, True)
            raw_q = raw_q + self._shifts(raw_q, _PHASE_SHIFT)(shown)
        low_s, high_s = self._window(volume, raw_s)
        low_q, high_q = self._window(other, raw_q)
        if volume.modality == other.modality == "CT" or (other is volume and rng.random() < 0.7):
            low_q, high_q = low_s, high_s
        curve_s = IntensityChange(rng)
        curve_q = curve_s if rng.random() < 0.5 else _related(rng, curve_s)
        image_s = curve_s(((raw_s - low_s) / (high_s - low_s)).clamp(0, 1))
        image_q = curve_q(((raw_q - low_q) / (high_q - low_q)).clamp(0, 1))
        images = slice_noise(rng, torch.cat([image_s, image_q]))
        segments = len(kept)
        evidence = None
        if turn == flips and rng.random() < 0.65:
            known = Known(support, planes_s, labels[:supports, 1::4, 1::4])
            evidence = self._positions.draw(known, query, labeling, kept, chosen_q, grid_q, 4 * pixel * scale)
        return EpisodeGroup(images[:, None] * 2 - 1, labels, supports, segments, evidence, False, stack)


def _related(rng: np.random.Generator, curve: IntensityChange) -> IntensityChange:
    """Another curve that keeps the first one's direction: the same kind of scan from another machine."""
    other = IntensityChange(rng, strength=0.7)
    other.invert = curve.invert
    if curve.knots is not None or rng.random() < 0.7:
        other.knots = curve.knots
    return other


def _extent(box: tuple[slice, ...]) -> int:
    return sorted(s.stop - s.start for s in box)[1]


def _air(volume: TrainingVolume) -> float:
    return -1000.0 if volume.modality == "CT" else 0.0
