"""From a request to layers of logits: a pass over the region of interest, then a closer look at small structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..evidence import evidence_of_carried_shapes, evidence_of_other_volumes, position_map
from ..network.model import FewShotNetwork
from ..preprocessing.frame import (
    GRAIN,
    Bounds,
    Frame,
    body_bounds,
    body_size,
    bounds_of,
    frame_around,
    is_whole,
    union,
    widen,
)
from ..preprocessing.intensity import window_of
from ..stages import Stage
from .beyond import doubt
from .carried import carried_positions, stacks_of
from .course import Course
from .feature_store import FeatureStore
from .frame_pass import FramePass, Painted
from .layers import Layer, merge, smooth_through_slices
from .outlook import Looks, Outlook
from .patient_registration import PatientRegistration
from .request import Request
from .self_painted import certain_pixels, halved_gaps, sure_slices, sureness, with_slices, with_sure_slices
from .support import support_slices
from .tuning import STEPS, tuned

SIDE = 256
_MARGIN = 0.3  # of a structure's extent, on each side
_LEAST_MARGIN_MM = 10.0
# A structure is looked at again, larger, when it fills less than this part of the region's side.
_SMALL = 0.45
_CLOSE_SIDE = 128
# Below this logit everywhere in a slice, a structure is taken to be absent there.
_ABSENT = -4.0
# How far, as part of the body's size, a structure may lie from where the examples had it.
_DOUBT = 0.08
# A closer look at all that was found is worth it if its pixels are smaller than this part of the first look's.
_WORTH = 0.75
# Segments that the first look finds with less confidence than this, on average, are looked for once more.
_UNSURE = 0.86
# What the guided look weighs against the others: it holds a structure together, but believes their errors.
_GUIDED_SHARE = 0.5
# Looks that follow the first where all that is painted lies together: what one finds is what the next grows from.
_LOOKS_FROM_ONE_PLACE = 2
# Those that follow where painted slices are spread, each guided by slices in the middle of the gaps that were left.
_LOOKS_BETWEEN = 2


class Pipeline:
    """Segments one request.

    Args:
        network: in evaluation mode.
        device: where it is.
        course: is told what lies ahead, and of every step.
        zoom: whether small structures are looked at again in a frame of their own.
        again: whether slices of a look guide further ones: its surest ones where none or only neighbouring ones are
            painted, else those half-way between painted ones, then also those a quarter of the way; and whether
            segments of other volumes that a look is unsure of are looked for again, darker and brighter.
        tune: whether the segment head is tuned to the painted slices, of the query or else of other volumes.
        store: keeps the features of the query's slices.
        smooth: whether logits are smoothed through the slices.
        carry: whether other volumes' structures are brought by a registration, not relative to the bodies only.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        device: torch.device,
        course: Course,
        zoom: bool = True,
        again: bool = True,
        tune: bool = True,
        store: FeatureStore | None = None,
        smooth: bool = True,
        carry: bool = True,
    ) -> None:
        self.network, self.device, self.course = network, device, course
        self.zoom, self.again, self.tune = zoom, again, tune
        self.store = store or FeatureStore()
        self.smooth, self.carry = smooth, carry

    def run(self, request: Request) -> list[Layer]:
        """Layers of logits, to be merged in their order."""
        self.store.begin(request.view.array)
        self._outlook = Outlook(request, self.device)
        self._tuned_network = self.network
        self._someone_painted = bool(request.painted.positions)
        self._carried = cache(lambda: self._registered(request) if self.carry else None)
        if request.painted.positions:
            return self._within(request)
        return self._across(request)

    # --- painted slices in the query itself ---------------------------------------------------------------------

    def _within(self, request: Request) -> list[Layer]:
        rounds = self._rounds(request) if self.again else []
        together = request.painted.reach is None
        tune = self.tune and len(request.painted.positions) > 1
        looks = self._looks(request)
        self.course.expect(self._outlook.within(looks, [len(r) for r in rounds], tune and not together))
        if tune:
            self._tuned_network = self._tuned(request, looks.frame)
        layers = self._guided(request)
        painted = set().union(*request.painted.segments)
        for number, further in enumerate(rounds):
            labels, confidence = self._seen(request, layers, further)
            if together:
                sure = sure_slices(labels, confidence, len(request.values), painted)
                more = with_sure_slices(request.painted, sure)
                if more is request.painted:  # a further look would only repeat this one
                    self.course.expect(self._outlook.end())
                    break
            else:
                more = with_slices(request.painted, further, labels, certain_pixels(labels, confidence, painted))
            guided = replace(request, painted=more)
            if tune and not together and number == 0:  # once more for the next round brings no more
                self._tuned_network = self._tuned(request, self._looks(guided).frame, more)
            layers += self._half_believed(self._guided(guided, search=False))
        return layers

    @staticmethod
    def _rounds(request: Request) -> list[list[int]]:
        """For each further look, the slices that the looks before it show it.

        Where all that is painted lies together, all slices, to choose from; else the middles between painted ones,
        then also the middles between all of these.
        """
        if request.painted.reach is None:
            return _LOOKS_FROM_ONE_PLACE * [list(range(request.view.shape[0]))]
        return halved_gaps(request.painted.positions, _LOOKS_BETWEEN)

    def _tuned(self, request: Request, frame: Frame, seen: Painted | None = None) -> FewShotNetwork:
        segments = len(request.values)
        tick = self.course.begin(Stage.TUNING, STEPS)
        work = self._pass(request, frame, self.network)
        foreign = support_slices(request, frame, work.window, list(range(1, segments + 1)))
        size = body_size(body_bounds(request.view.array), request.view.pixel)
        return tuned(work, request.painted, foreign, segments, size, tick, seen)

    def _looks(self, request: Request) -> Looks:
        everything = range(1, len(request.values) + 1)
        bounds = [self._painted_bounds(request, segment) for segment in everything]
        frame = frame_around(union([b for b in bounds if b is not None]), request.view.pixel, SIDE)
        present = [s for s, b in zip(everything, bounds, strict=True) if b is not None]
        return Looks(frame, present, self._close_looks(request, frame, bounds) if self.zoom else [])

    def _guided(self, request: Request, search: bool = True) -> list[Layer]:
        """Layers guided by painted slices; with `search`, also of segments that only other volumes' examples have."""
        looks = self._looks(request)
        present = looks.present
        elsewhere = [s for s in range(1, len(request.values) + 1) if s not in present]
        layers = []
        if elsewhere and search:
            wide = frame_around(self._search_region(request), request.view.pixel, SIDE)
            layers.append(self._layer(request, wide, elsewhere, Painted(), Stage.SEARCHING))
        main = self._layer(request, looks.frame, present, request.painted, Stage.SEGMENTING)
        layers.append(main)
        for close, segment in looks.close:
            only = slices_with(main.logits[present.index(segment)])
            layers.append(self._layer(request, close, [segment], request.painted, Stage.LOOKING_CLOSER, only))
        return layers

    def _painted_bounds(self, request: Request, segment: int) -> Bounds | None:
        """Rectangle of a segment in all painted slices, with its margin."""
        found = bounds_of((request.painted.masks == segment).any(axis=0))
        return None if found is None else self._with_margin(found, request)

    @staticmethod
    def _with_margin(found: Bounds, request: Request) -> Bounds:
        pixel, shape = request.view.pixel, request.view.shape[1:]
        extent = max((found[1] - found[0]) * pixel[0], (found[3] - found[2]) * pixel[1])
        margin = max(extent * _MARGIN, _LEAST_MARGIN_MM)
        return widen(found, (margin, margin), pixel, shape)

    def _close_looks(self, request: Request, frame: Frame, bounds: list[Bounds | None]) -> list[tuple[Frame, int]]:
        """Frames of small structures; together they show at most as many pixels as the region's frame."""
        pixel = request.view.pixel
        size = frame.pixel(pixel)
        looks = []
        for segment, b in enumerate(bounds, start=1):
            if b is None:
                continue
            extent = max((b[1] - b[0]) * pixel[0], (b[3] - b[2]) * pixel[1]) / size
            if extent < _SMALL * max(frame.height, frame.width):
                looks.append((extent, segment, b))
        if not looks:
            return []
        looks.sort()
        side = int(np.sqrt(frame.area / len(looks))) // GRAIN * GRAIN
        side = int(np.clip(side, 2 * GRAIN, _CLOSE_SIDE))
        looks = looks[: max(frame.area // side**2, 1)]
        return [(frame_around(b, pixel, side), segment) for _, segment, b in looks]

    # --- examples from other volumes only -----------------------------------------------------------------------

    def _across(self, request: Request) -> list[Layer]:
        segments = len(request.values)
        everything = list(range(1, segments + 1))
        frame = frame_around(self._search_region(request), request.view.pixel, SIDE)
        tune = self.tune and len(request.foreign) > 1
        self.course.expect(self._outlook.across(frame, tune, self.zoom, self.again))
        if tune:
            self._tuned_network = self._tuned(request, frame)
        first = self._layer(request, frame, everything, Painted(), Stage.SEARCHING)
        layers = [first]
        labels, confidence = self._seen(request, layers)
        found = sureness(labels, confidence, everything)
        unsure = {segment: value for segment, value in found.items() if value < _UNSURE}
        if self.again and unsure:
            request = self._searched_again(request, first, unsure)
            labels, confidence = self._seen(request, layers)
        if self.zoom:
            close = self._close_frame(request, labels)
            if close is not None and close.pixel(request.view.pixel) < _WORTH * frame.pixel(request.view.pixel):
                only = sorted({z for segment in everything for z in slices_with(first.logits[segment - 1])})
                layers.append(self._layer(request, close, everything, Painted(), Stage.LOOKING_CLOSER, only))
                labels, confidence = self._seen(request, layers)
        if self.again:
            sure = sure_slices(labels, confidence, segments)
            if sure.positions:
                guided = replace(request, painted=sure)
                self.course.expect(self._outlook.again(self._looks(guided)))
                layers += self._half_believed(self._guided(guided, search=False))
        return layers

    def _searched_again(self, request: Request, first: Layer, unsure: dict[int, float]) -> Request:
        """Looks once more for segments that a look is unsure of: perhaps they are darker or brighter in this volume.

        Args:
            request: what is asked for.
            first: of all segments; what is surer the second time replaces its logits.
            unsure: segments with their sureness.

        Returns:
            the request, which says of which segments that was so.
        """
        self.course.expect(self._outlook.search_again(first.frame, len(unsure), self.zoom))
        varied = replace(request, varied=frozenset(unsure))
        second = self._layer(varied, first.frame, list(unsure), Painted(), Stage.SEARCHING)
        again = sureness(*self._seen(request, [first, second]), unsure)
        surer = [segment for segment in unsure if again.get(segment, 0.0) > unsure[segment]]
        for segment in surer:
            first.logits[segment - 1] = second.logits[second.segments.index(segment)]
        return replace(request, varied=frozenset(surer))

    def _close_frame(self, request: Request, labels: np.ndarray) -> Frame | None:
        """Frame around all that was found; None if nothing was."""
        found = bounds_of(np.max(labels, axis=0) > 0)
        if found is None:
            return None
        return frame_around(self._with_margin(found, request), request.view.pixel, SIDE)

    def _search_region(self, request: Request) -> Bounds:
        """Where to look first: around where the examples had the structures, if bodies can be compared."""
        shape = request.view.shape[1:]
        body = body_bounds(request.view.array)
        comparable = is_whole(body, shape) and all(is_whole(f.body, f.mask.shape) for f in request.foreign)
        if not comparable:
            return body
        position = self._positions(request)
        peak = position.max(axis=(1, 2), keepdims=True)
        found = bounds_of(np.max(position / np.maximum(peak, 1e-6), axis=0) > 0.05)
        if found is None:
            return body
        height, width = (body[1] - body[0]) / position.shape[1], (body[3] - body[2]) / position.shape[2]
        there = (
            int(body[0] + found[0] * height),
            int(body[0] + found[1] * height) + 1,
            int(body[2] + found[2] * width),
            int(body[2] + found[3] * width) + 1,
        )
        pixel = request.view.pixel
        margin = _DOUBT * (body[1] - body[0]) * pixel[0], _DOUBT * (body[3] - body[2]) * pixel[1]
        return widen(there, margin, pixel, shape)

    # --- both ----------------------------------------------------------------------------------------------------

    def _seen(
        self, request: Request, layers: list[Layer], slices: list[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels (segment indices) and confidence of the layers so far, on some or all slices, (Z, rows, columns)."""
        segments = len(request.values)
        count, *plane = request.view.shape
        shape = (count if slices is None else len(slices), *plane)
        # small types, because these are whole volumes
        labels = np.zeros(shape, np.uint8 if segments < 256 else np.uint16)
        confidence = np.zeros(shape, np.float16)
        tick = self.course.begin(Stage.REVIEWING, len(labels))
        merge(layers, labels, confidence, range(1, segments + 1), slices=slices, tick=tick)
        return labels, confidence

    @staticmethod
    def _half_believed(guided: list[Layer]) -> list[Layer]:
        return [replace(layer, share=_GUIDED_SHARE) for layer in guided]

    def _layer(
        self,
        request: Request,
        frame: Frame,
        targets: list[int],
        painted: Painted,
        stage: Stage,
        only: list[int] | None = None,
    ) -> Layer:
        """One pass through a frame, for some segments; `only` on some slices."""
        count = len(request.view.array)
        # The query's own slices, where there are any, teach nothing of what only other volumes show.
        untaught = request.painted.positions and not painted.positions
        work = self._pass(request, frame, self.network if untaught else self._tuned_network)
        foreign = support_slices(request, frame, work.window, targets)
        hints = self._hints(request, work, painted, targets)
        slices = count if only is None else len(only)
        looking = self._outlook.look(slices, frame, len(targets), work.passes(painted))
        tick = self.course.begin(stage, slices, looking)
        logits = work.run(painted, foreign, len(request.values), targets, tick, hints, only)
        if painted.reach:
            lost = doubt(painted.positions, count, painted.reach, self._someone_painted)
            logits -= torch.from_numpy(lost)[:, None, None].half()
        layer = Layer(frame, targets, logits)
        if self.smooth:
            smooth_through_slices(layer, work.step)
        return layer

    def _pass(self, request: Request, frame: Frame, network: FewShotNetwork) -> FramePass:
        view = request.view
        window = window_of(frame.inside(view.array))
        return FramePass(network, view.array, view.gap, view.pixel, frame, window, self.device, self.store)

    def _hints(
        self, request: Request, work: FramePass, painted: Painted, targets: list[int]
    ) -> Callable[[Sequence[int]], Tensor]:
        """Evidence by slices: of painted slices of the query, where there are any, else of other volumes.

        Of both where what counts as painted was found by looks at a query that nobody has painted: what they took for
        a structure far from where it is to be expected would else confirm itself.
        """
        which = torch.tensor(targets) - 1
        if not painted.positions:
            position = self._position(request, work.frame)
            return lambda slices: position(slices)[:, which]
        measuring = self._outlook.measuring(work.frame, len(targets))
        tick = self.course.begin(Stage.MEASURING, work.evidence_steps, measuring)
        own = work.evidence(painted, targets, tick)
        if self._someone_painted or self._carried() is None:
            return own
        expected = self._position(request, work.frame)
        return lambda slices: own(slices) + expected(slices)[:, which]

    def _registered(self, request: Request) -> np.ndarray:
        tick = self.course.begin(Stage.REGISTERING, len(stacks_of(request.foreign)))
        register = PatientRegistration(self.network, self.device, request.view, lambda: tick(0))
        return carried_positions(request.view, request.foreign, len(request.values), register, tick)

    def _position(self, request: Request, frame: Frame) -> Callable[[Sequence[int]], Tensor]:
        """Evidence of where the examples had each segment, by slices."""
        height, width = frame.half
        rows = frame.top + (torch.arange(height) + 0.5) * frame.rows / height
        columns = frame.left + (torch.arange(width) + 0.5) * frame.columns / width
        carried = self._carried()
        if carried is not None:
            _, whole_rows, whole_columns = request.view.shape
            grid = torch.meshgrid(rows / whole_rows, columns / whole_columns, indexing="ij")
            return evidence_of_carried_shapes(carried, *grid)
        top, bottom, left, right = body_bounds(request.view.array)
        grid = torch.meshgrid((rows - top) / (bottom - top), (columns - left) / (right - left), indexing="ij")
        evidence = evidence_of_other_volumes(self._positions(request), *grid)
        return lambda slices: evidence[None].expand(len(slices), *evidence.shape)

    @staticmethod
    def _positions(request: Request) -> np.ndarray:
        masks, bodies = [f.mask for f in request.foreign], [f.body for f in request.foreign]
        return position_map(masks, bodies, len(request.values))


def slices_with(logits: Tensor) -> list[int]:
    """Slices (and their neighbours) in which a segment may be, from its logits (Z, h, w)."""
    likely = logits.amax(dim=(1, 2)) > _ABSENT
    near = torch.nn.functional.max_pool1d(likely.float()[None, None], 5, stride=1, padding=2)[0, 0] > 0
    return torch.nonzero(near).flatten().tolist()
