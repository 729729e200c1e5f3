"""What lies ahead of a run, and about how long it takes.

Times are seconds of one CPU core, measured once, on one computer. Only their ratios matter, and those only to tell how
far a run has got and how long it will still take.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..preprocessing.frame import Frame
from ..stages import Stage
from .carried import stacks_of
from .course import Leg
from .request import Request
from .tuning import MOST_SEGMENTS, STEPS

_FULL = 256**2
"""Pixels of a frame or of a plane that the next figures are for."""

_ENCODE = 0.075
_DECODE = 0.01
_TUNE = 0.05
_MEASURE = 0.009
_MERGE = 0.0025
_REGISTER = 5.0
_REFINE = 0.1
_CLEAN = 0.1
_FOLLOW = 0.02
# Guided looks go through the slices once more, for their context.
_PASSES = 2
# How much of the network's time a graphics card takes; the rest is done on the CPU in any case.
_CARD = 0.05


@dataclass(frozen=True)
class Looks:
    """What is looked at, guided by painted slices.

    Attributes:
        frame: around everything that is painted.
        present: segments 1..L that are painted.
        close: frames of small structures, each with its segment.
    """

    frame: Frame
    present: list[int]
    close: list[tuple[Frame, int]]


class Outlook:
    """Estimates of a request's stages.

    Args:
        request: what is to be segmented.
        device: where the network is.
    """

    def __init__(self, request: Request, device: torch.device) -> None:
        self._count, *plane = request.view.shape
        self._plane = plane[0] * plane[1] / _FULL
        self._segments, self._registered = len(request.values), len(stacks_of(request.foreign))
        self._painted = bool(request.painted.positions)
        self._network = 1.0 if device.type == "cpu" else _CARD

    def within(self, looks: Looks, reviewed: list[int], tune_again: bool) -> list[Leg]:
        """A run with painted slices of the query.

        Args:
            looks: guided by them.
            reviewed: for each further look, the number of slices that are reviewed for it.
            tune_again: whether the head is tuned anew before the first of them.
        """
        ahead = [self._tuning(looks.frame)]
        if len(looks.present) < self._segments:
            # Where to search is not known yet; the frame will not be much smaller than this one.
            ahead += self._search(looks.frame, self._segments - len(looks.present))
        guided = self._guided(looks)
        ahead += guided
        for number, slices in enumerate(reviewed):
            tuning = [self._tuning(looks.frame)] if tune_again and number == 0 else []
            ahead += [self._review(slices), *tuning, *guided]
        return ahead + self.end()

    def across(self, frame: Frame, tune: bool, zoom: bool, again: bool) -> list[Leg]:
        """A run with painted slices of other volumes only.

        What will be found, and so looked at again, is not known yet: about as much as there is to search.

        Args:
            frame: of the search.
            tune, zoom, again: see Pipeline.
        """
        ahead = [self._tuning(frame)] if tune else []
        return ahead + self._search(frame, self._segments) + self._after_search(frame, zoom, again)

    def search_again(self, frame: Frame, targets: int, zoom: bool) -> list[Leg]:
        """The rest of a run with painted slices of other volumes only, where some segments are looked for once more."""
        searching = Leg(Stage.SEARCHING, self.look(self._count, frame, targets))
        return [searching, self._review(self._count), *self._after_search(frame, zoom, again=True)]

    def _after_search(self, frame: Frame, zoom: bool, again: bool) -> list[Leg]:
        ahead = []
        if zoom:
            closer = Leg(Stage.LOOKING_CLOSER, self.look(self._count // 2, frame, self._segments))
            ahead += [self._review(self._count), closer]
        if again:
            everything = Looks(frame, list(range(1, self._segments + 1)), [])
            ahead += [self._review(self._count), *self._guided(everything)]
        return ahead + self.end()

    def again(self, looks: Looks) -> list[Leg]:
        """The rest of a run from a further look on."""
        return self._guided(looks) + self.end()

    def end(self) -> list[Leg]:
        """What follows the last look."""
        joining = self._plane * self._count * _MERGE * (self._segments + 1)
        legs = [Leg(Stage.REFINING, _REFINE), Leg(Stage.JOINING, joining)]
        if not self._painted:
            legs.append(Leg(Stage.FOLLOWING, self._plane * self._count * _FOLLOW * self._segments))
        return [*legs, Leg(Stage.CLEANING, _CLEAN)]

    def look(self, slices: int, frame: Frame, targets: int, passes: int = 1) -> float:
        """Work of finding some segments in slices seen through a frame; each pass goes on with the same encoding."""
        return self._network * slices * frame.area / _FULL * (_ENCODE + _DECODE * targets * passes)

    def measuring(self, frame: Frame, targets: int) -> float:
        """Work of measuring the distances of all slices to some segments and to what is none of them."""
        return self._count * frame.area / _FULL * _MEASURE * (targets + 1)

    def _tuning(self, frame: Frame) -> Leg:
        step = self._network * frame.area / _FULL * _TUNE * min(self._segments, MOST_SEGMENTS)
        return Leg(Stage.TUNING, STEPS * step)

    def _search(self, frame: Frame, targets: int) -> list[Leg]:
        registering = Leg(Stage.REGISTERING, _REGISTER * self._registered)
        return [registering, Leg(Stage.SEARCHING, self.look(self._count, frame, targets))]

    def _guided(self, looks: Looks) -> list[Leg]:
        segmenting = self.look(self._count, looks.frame, len(looks.present), _PASSES)
        measuring = self.measuring(looks.frame, len(looks.present))
        legs = [Leg(Stage.MEASURING, measuring), Leg(Stage.SEGMENTING, segmenting)]
        for close, _ in looks.close:
            legs.append(Leg(Stage.MEASURING, self.measuring(close, 1)))
            # Small structures are mostly on some of the slices only.
            legs.append(Leg(Stage.LOOKING_CLOSER, self.look(self._count // 2, close, 1, _PASSES)))
        return legs

    def _review(self, slices: int) -> Leg:
        return Leg(Stage.REVIEWING, self._plane * slices * _MERGE * (self._segments + 1))
