"""Protocol C: paint, look, paint where it helps most, until the result is good enough.

The middle slice of the labelled ones is painted first. In each round the method answers, its mean Dice over labels on
all unpainted voxels is measured, and where it is below the target one more slice is painted from the reference, with
all its labels. Which one is told by a `Strategy`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from FewShotSegLib.evaluation import measures
from FewShotSegLib.evaluation.episodes import Episode, Support
from FewShotSegLib.evaluation.methods import Answer
from FewShotSegLib.evaluation.sessions import Plane, Session
from FewShotSegLib.evaluation.slice_rules import slices_with_label, spread_order
from FewShotSegLib.example import Example

MOST_SLICES = 15


class Suggested:
    """The slice that the method suggests."""

    def next(self, session: Session, answer: Answer, painted: Sequence[Plane]) -> Plane | None:
        """The slice to paint next, None to stop."""
        return session.suggest()


class Spread:
    """Slices along axis 0 that are evenly spread over the labelled ones, each new one in the largest gap.

    Args:
        labelled: Sorted indices of the slices that hold any label.
    """

    def __init__(self, labelled: Sequence[int]) -> None:
        self._order = spread_order(labelled)

    def next(self, session: Session, answer: Answer, painted: Sequence[Plane]) -> Plane | None:
        """The next slice in order, None where all are painted."""
        return next(((0, k) for k in self._order if (0, k) not in painted), None)


class Unsure:
    """The slice along axis 0 with the least mean confidence."""

    def next(self, session: Session, answer: Answer, painted: Sequence[Plane]) -> Plane | None:
        """The least confident slice that is unpainted, None where all are painted.

        Raises:
            ValueError: The method tells no confidence.
        """
        if answer[1] is None:
            raise ValueError("The least confident slice is asked for, of a method that tells no confidence.")
        sure = answer[1].mean(axis=(1, 2), dtype=np.float64)
        return min(((0, k) for k in range(len(sure)) if (0, k) not in painted), key=lambda p: sure[p[1]], default=None)


Strategy = Suggested | Spread | Unsure


def strategy_of(protocol: str, label: np.ndarray) -> Strategy:
    """How a protocol chooses the next slice.

    Args:
        protocol: ``C``, ``C-spread`` or ``C-unsure``.
        label: Reference labelmap (k, j, i).
    """
    if protocol == "C-spread":
        return Spread(slices_with_label(label))
    return Unsure() if protocol == "C-unsure" else Suggested()


@dataclass(frozen=True)
class Round:
    """One round of corrections.

    Attributes:
        painted: Planes painted so far.
        answer: Of the method.
        dice: Mean over the labels on the unpainted voxels; None where all of all labels is painted.
        whole: Mean over the labels on all voxels, painted ones included: of what the user has.
        seconds: Of choosing the slice, taking it and answering; not of painting and scoring.
    """

    painted: tuple[Plane, ...]
    answer: Answer
    dice: float | None
    whole: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What is kept of it in a record."""
        axis, index = self.painted[-1]
        return {"axis": axis, "index": index, "dice": self.dice, "whole": self.whole, "seconds": self.seconds}


def rounds(
    session: Session,
    strategy: Strategy,
    episode: Episode,
    reference: np.ndarray,
    paint: Callable[[Support], list[Example]],
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Round]:
    """Goes through rounds until the target is reached, `MOST_SLICES` are painted, or there is nothing more to paint.

    A label of which nothing is left unpainted counts no more; where that is so for all, the target counts as reached.

    Args:
        session: Of a method, with nothing added.
        strategy: Tells the next slice.
        episode: Says where to start and what the target is.
        reference: Labelmap (k, j, i).
        paint: From slices to examples.
        clock: Seconds, replaced in tests.

    Raises:
        ValueError: A slice is suggested that is painted already.
    """
    (start,) = episode.supports
    plane: Plane | None = (start.axis, start.slices[0])
    painted: list[Plane] = []
    choosing = 0.0
    while plane is not None and len(painted) < MOST_SLICES:
        if plane in painted:
            raise ValueError(f"The slice {plane[1]} along axis {plane[0]} is suggested, which is painted already.")
        painted.append(plane)
        (example,) = paint(Support(episode.query, (plane[1],), plane[0]))
        begin = clock()
        session.add(example)
        answer = session.predict()
        seconds = choosing + clock() - begin
        found = mean_dice(answer[0], reference, episode.labels, unpainted(reference.shape, painted))
        whole = mean_dice(answer[0], reference, episode.labels, np.ones(reference.shape, bool))
        yield Round(tuple(painted), answer, found, whole, seconds)
        if found is None or (episode.target is not None and found >= episode.target):
            return
        begin = clock()
        plane = strategy.next(session, answer, painted)
        choosing = clock() - begin


def unpainted(shape: tuple[int, ...], painted: Sequence[Plane]) -> np.ndarray:
    """Bool array (k, j, i) of the voxels on no painted slice."""
    region = np.ones(shape, bool)
    for axis, index in painted:
        np.moveaxis(region, axis, 0)[index] = False
    return region


def mean_dice(prediction: np.ndarray, reference: np.ndarray, labels: Sequence[int], region: np.ndarray) -> float | None:
    """Mean Dice in a region over those labels of which the reference has anything there; None where it has none."""
    found, expected = prediction[region], reference[region]
    left = [value for value in labels if (expected == value).any()]
    return float(np.mean([measures.dice(found == value, expected == value) for value in left])) if left else None
