"""What a run gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FewShotSegModule.runs.run_input import Box
from FewShotSegModule.runs.structure import Structure


@dataclass(frozen=True, eq=False)
class RunResult:
    """Labels and confidence of the part of the volume in which a run may change something.

    :param labels: Labels (k, j, i) of that part.
    :param confidence: How sure they are, 0..1, of the same shape.
    :param allowed: Where in the volume the part lies.
    :param shape: The shape of the whole volume.
    :param structures: What the labels stand for.
    :param device: What computed it.
    """

    labels: np.ndarray
    confidence: np.ndarray
    allowed: Box
    shape: tuple[int, int, int]
    structures: list[Structure]
    device: str = ""
