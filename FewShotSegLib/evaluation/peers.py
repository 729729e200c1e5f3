"""The methods that need no training, each as a `Method`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from FewShotSegLib.evaluation import fillers
from FewShotSegLib.evaluation.brushes import Strokes
from FewShotSegLib.evaluation.methods import Answer, Scope
from FewShotSegLib.evaluation.sessions import Repeated, Session
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume


class NearestSlice:
    """Copies the nearest painted slice."""

    name = "nearest"
    scope: Scope = "within"
    takes_parts = True
    is_network = False
    takes_any_paint = False
    tells_confidence = False

    def prepare(self) -> None:
        """Needs nothing."""

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        return fillers.nearest_slice(painted_labelmap(query, examples), axis=examples[0].axis), None


class FillBetweenSlices:
    """Slicer's Fill between slices."""

    name = "fill"
    scope: Scope = "within"
    takes_parts = True
    is_network = False
    takes_any_paint = True
    tells_confidence = False

    def prepare(self) -> None:
        """Loads Slicer's libraries."""
        fillers.load_slicer()

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        return fillers.fill_between_slices(painted_labelmap(query, examples), query.spacing), None


class GrowFromSeeds:
    """Slicer's Grow from seeds, with all of each painted slice as seeds.

    Args:
        keep: Whether further results on the same volume update the first one, as in Slicer's effect, where seeds are
            only added. Off, every call starts anew.
    """

    name = "grow"
    scope: Scope = "within"
    takes_parts = True
    is_network = False
    takes_any_paint = True
    tells_confidence = False

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._kept: tuple[Volume, Any] | None = None

    def prepare(self) -> None:
        """Loads Slicer's libraries."""
        fillers.load_slicer()

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        kept = None
        if self._keep:
            if self._kept is None or self._kept[0] is not query:
                self._kept = query, fillers.grow_filter(query.array, query.spacing)
            kept = self._kept[1]
        return fillers.grow_from_seeds(query.array, painted_labelmap(query, examples), query.spacing, kept), None

    def session(self, query: Volume) -> Session:
        """Keeps its filter from answer to answer, as Slicer's effect does."""
        return Repeated(GrowFromSeeds(keep=True), query)


class RandomWalker:
    """The random walker of scikit-image, with all of each painted slice as seeds."""

    name = "walker"
    scope: Scope = "within"
    takes_parts = True
    is_network = False
    takes_any_paint = False
    tells_confidence = True

    def prepare(self) -> None:
        """Loads the solver."""
        from FewShotSegLib.evaluation import random_walker  # noqa: F401

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; confidence is the probability of the label."""
        from FewShotSegLib.evaluation.random_walker import walk

        return walk(query.array, painted_labelmap(query, examples), query.spacing, axis=examples[0].axis)


class Registration:
    """Labels of other volumes carried over by affine and B-spline registration."""

    name = "register"
    scope: Scope = "across"
    takes_parts = False  # a few slices are too few to register; it gets the whole query and all examples
    is_network = False
    takes_any_paint = False
    tells_confidence = True

    def prepare(self) -> None:
        """Loads SimpleITK."""
        from FewShotSegLib.evaluation import registration  # noqa: F401

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; confidence is the share of the votes."""
        from FewShotSegLib.evaluation.registration import propagate

        return propagate(query, examples)


Peer = type[NearestSlice] | type[FillBetweenSlices] | type[GrowFromSeeds] | type[RandomWalker] | type[Registration]

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (NearestSlice, FillBetweenSlices, GrowFromSeeds, RandomWalker, Registration)
}


def painted_labelmap(query: Volume, examples: Sequence[Example]) -> np.ndarray:
    """What the examples paint on the query: labels on painted slices, `fillers.UNKNOWN` elsewhere.

    Args:
        query: The volume to segment.
        examples: Slices of that volume; of `Strokes` only what is painted is known.

    Returns:
        int32 array (k, j, i).

    Raises:
        ValueError: There is no example, or one comes from another volume.
    """
    if not examples:
        raise ValueError("There are no examples.")
    painted = np.full(query.array.shape, fillers.UNKNOWN, np.int32)
    for example in examples:
        if example.image is not query:
            raise ValueError("This method needs examples that are slices of the query itself.")
        on_slice = np.moveaxis(painted, example.axis, 0)[example.index]
        known = example.known if isinstance(example, Strokes) else np.ones(example.mask.shape, bool)
        on_slice[known] = example.mask[known]
    return painted
