"""What one gets from the same painted slices without a network: each method one call, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from FewShotSegLib.evaluation.methods import Method
from FewShotSegLib.evaluation.peers import PEERS
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

#: The evaluation's peers by the names that Slicer's users know.
TITLES = {"nearest": "Nearest slice", "fill": "Fill between slices", "grow": "Grow from seeds"}


@dataclass(frozen=True)
class Answer:
    """What a method made of the painted slices.

    Attributes:
        method: Its name, for the table.
        labels: Label values, array (k, j, i).
        seconds: How long it took for all structures together.
    """

    method: str
    labels: np.ndarray
    seconds: float


def timed(method: str, run: Callable[[], np.ndarray]) -> Answer:
    """Run a method and keep its answer with the time it took."""
    start = time.perf_counter()
    labels = run()
    return Answer(method, labels, time.perf_counter() - start)


def yardstick_answers(image: Volume, examples: Sequence[Example]) -> list[Answer]:
    """Answers of the nearest painted slice and, where slicer-core is installed, of Slicer's two fillers.

    Args:
        image: The volume to segment.
        examples: Painted slices of it.
    """
    answers = []
    for name, method in TITLES.items():
        peer = PEERS[name]()
        try:
            peer.prepare()  # loading Slicer's libraries takes seconds and is no part of the work
        except MissingPackageError:
            continue  # the table then simply has fewer columns
        answers.append(timed(method, partial(_labels, peer, image, examples)))
    return answers


def _labels(method: Method, image: Volume, examples: Sequence[Example]) -> np.ndarray:
    return method.segment(image, examples)[0]
