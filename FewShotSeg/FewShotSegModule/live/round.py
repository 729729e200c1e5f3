"""One round of the loop: what it is for, and what it goes by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.segment_info import segmentNames

Slices = list[tuple[int, int]]
"""Axis and index of each."""


@dataclass
class Round:
    """What a run is for."""

    isAsked: bool = False
    isImprovement: bool = False
    quality: str = ""
    #: The painted slices of the volume.
    painted: Slices = field(default_factory=list)


def basisOf(query: Any, examples: Iterable[ExampleSlice], settings: RunSettings) -> object:
    """All that a round goes by besides voxels: something that equals another one only where nothing of it changed."""
    rows, bounds = list(examples), [0.0] * 6
    if settings.roi is not None:
        settings.roi.GetRASBounds(bounds)
    names = {row.segmentation: tuple(segmentNames(row.segmentation)) for row in rows}
    return query, rows, names, settings, bounds
