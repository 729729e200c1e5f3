"""What a run is to do: what a user sets for it, and what was gathered from the scene."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from FewShotSegLib.example import Example
from FewShotSegLib.quality import DEFAULT
from FewShotSegLib.volume import Volume

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First voxel and the voxel after the last one, along (k, j, i)."""


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
    :param background: Name of the segments that are painted on what is no structure ("not this"); they are in no
        result. None if there are none.
    """

    device: str = "auto"
    refine: bool = True
    refineStrength: float = 1.0
    quality: str = DEFAULT
    segmentNames: Sequence[str] | None = None
    sliceRange: tuple[int, int] | None = None
    roi: Any = None
    background: str | None = None


@dataclass(frozen=True)
class Structure:
    """What all same-named segments of the examples are.

    :param value: Its label in the run's arrays.
    :param name: The segments' name.
    :param color: Red, green, blue in 0..1.
    :param tag: Terminology entry, "" if there is none.
    """

    value: int
    name: str
    color: tuple[float, float, float]
    tag: str = ""


@dataclass(frozen=True, eq=False)
class RunInput:
    """Arrays and settings; no nodes. Arrays may be the scene's own, so they are to be handed over soon.

    :param query: The volume that is segmented.
    :param stamps: Of volumes, what gives something that is another one when the volume was modified, without reading
        it. A volume without one is compared with what the worker has, voxel by voxel.
    :param box: The part of it that is computed.
    :param allowed: The part of it in which results may change anything; inside `box`.
    :param examples: Painted slices of the volume and of others.
    :param structures: What is looked for.
    :param device: See RunSettings.
    :param refine: How far boundaries follow the intensities, from 0 to 1.
    :param quality: See RunSettings.
    """

    query: Volume
    box: Box
    allowed: Box
    examples: list[Example]
    structures: list[Structure]
    device: str = "auto"
    refine: float = 1.0
    quality: str = DEFAULT
    stamps: Mapping[Volume, Callable[[], Hashable]] = field(default_factory=dict)
