"""Labelled slices of the query's stack: painted ones, and pseudo-labels that are used as if they were painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..preprocessing.frame import bounds_of
from ..preprocessing.views import SliceView
from ..priors import Knowledge, usual_reach

# Part of the structures' extent in the plane that painted slices span if they are spread over the structures.
_SPREAD = 0.3


@dataclass(frozen=True)
class LabelledSlices:
    """Slices of a stack with labels.

    Attributes:
        positions: P increasing slice numbers.
        labels: (P, rows, columns) int32, segments 0..L on whole slices, -1 where nothing is known.
        known: which segments each slice shows whole, and how far they go on beyond.
        certain: (P, rows, columns) bool, where labels can be relied upon; None for everywhere.
    """

    positions: list[int]
    labels: np.ndarray
    known: Knowledge
    certain: np.ndarray | None = None

    @classmethod
    def none(cls, segments: int) -> LabelledSlices:
        """No slice at all."""
        return cls([], np.zeros((0, 1, 1), np.int32), Knowledge.everything(0, segments))

    @cached_property
    def segments(self) -> list[set[int]]:
        """Segments on each slice."""
        return [set(np.unique(labels).tolist()) - {0, -1} for labels in self.labels]

    @property
    def all_segments(self) -> set[int]:
        """Segments on any slice."""
        return set().union(*self.segments)

    def some(self, indices: Sequence[int]) -> LabelledSlices:
        """Only some of the slices, by their place in `positions`."""
        chosen = list(indices)
        certain = None if self.certain is None else self.certain[chosen]
        known = replace(self.known, complete=self.known.complete[chosen])
        return LabelledSlices([self.positions[i] for i in chosen], self.labels[chosen], known, certain)

    def joined(self, other: LabelledSlices) -> LabelledSlices:
        """These and other slices, which none of these is; how far segments go on is taken from these."""
        together = np.array([*self.positions, *other.positions])
        order = np.argsort(together)
        certain = [np.ones(s.labels.shape, bool) if s.certain is None else s.certain for s in (self, other)]
        complete = np.concatenate([self.known.complete, other.known.complete])[order]
        return LabelledSlices(
            together[order].tolist(),
            np.concatenate([self.labels, other.labels])[order].astype(np.int32),
            replace(self.known, complete=complete),
            np.concatenate(certain)[order],
        )

    def with_reach(self, factor: float) -> LabelledSlices:
        """With segments that are expected to go on for `factor` times the usual beyond these slices."""
        reaches = [usual_reach(self.complete_positions(s)) for s in range(1, self.known.complete.shape[1] + 1)]
        reach = np.array([np.nan if r is None else factor * r for r in reaches])
        return replace(self, known=replace(self.known, reach=reach))

    def complete_positions(self, segment: int) -> list[int]:
        """Slices that show a segment whole, or are known to be without it."""
        return [p for p, whole in zip(self.positions, self.known.complete[:, segment - 1], strict=True) if whole]


def reach_of(positions: list[int], labels: np.ndarray, complete: np.ndarray, view: SliceView) -> np.ndarray:
    """How far each segment usually goes on beyond painted slices: nan unless these are spread over the structures.

    A few slices close together say nothing about where the structures end.

    Args:
        positions: P increasing slice numbers.
        labels: (P, rows, columns) segments 0..L, -1 where nothing is known.
        complete: (P, L) bool, whether a slice shows a segment whole.
        view: the stack.

    Returns:
        (L,) in slices.
    """
    result = np.full(complete.shape[1], np.nan)
    found = bounds_of(np.any(labels > 0, axis=0)) if positions else None
    if found is None:
        return result
    extent = max((found[1] - found[0]) * view.pixel[0], (found[3] - found[2]) * view.pixel[1])
    for segment, rows in enumerate(complete.T):
        places = [p for p, whole in zip(positions, rows, strict=True) if whole]
        reach = usual_reach(places)
        if reach is not None and (places[-1] - places[0]) * view.gap >= _SPREAD * extent:
            result[segment] = reach
    return result
