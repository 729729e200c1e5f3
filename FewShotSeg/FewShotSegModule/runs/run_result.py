"""What a run gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FewShotSegLib.result import Note
from FewShotSegLib.worker.protocol import Suggestion
from FewShotSegModule.runs.run_input import Box, Structure


@dataclass(frozen=True, eq=False)
class RunResult:
    """Labels and confidence of the part of the volume in which a run may change something.

    :param labels: Labels (k, j, i) of that part.
    :param confidence: How sure they are, 0..1, of the same shape.
    :param allowed: Where in the volume the part lies.
    :param shape: The shape of the whole volume.
    :param structures: What the labels stand for.
    :param device: What computed it.
    :param notes: Structures that were found on slices of the volume where they are not painted yet.
    :param suggestions: Slices of the volume whose painting would help most, best first.
    """

    labels: np.ndarray
    confidence: np.ndarray
    allowed: Box
    shape: tuple[int, int, int]
    structures: list[Structure]
    device: str = ""
    notes: tuple[Note, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
