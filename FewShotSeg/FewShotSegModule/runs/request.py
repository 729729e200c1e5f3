"""What a user may set for a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from FewShotSegLib.quality import DEFAULT


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run; the defaults do for most.

    :param device: "auto", "cpu", "cuda", "cuda:1".
    :param refine: Whether boundaries follow the intensities.
    :param refineStrength: How far they do, from 0 to 1.
    :param quality: How thorough it is, see `FewShotSegLib.quality`.
    :param segmentNames: Names of the segments to look for; None for all of the examples.
    :param sliceRange: First and last slice, both included, counted along the axis that the examples were painted along;
        None for all.
    :param roi: A vtkMRMLMarkupsROINode; only inside its bounds anything changes. None for everywhere.
    """

    device: str = "auto"
    refine: bool = True
    refineStrength: float = 1.0
    quality: str = DEFAULT
    segmentNames: Sequence[str] | None = None
    sliceRange: tuple[int, int] | None = None
    roi: Any = None
