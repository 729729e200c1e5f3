"""Everything that a run needs, gathered from the scene."""

from __future__ import annotations

from dataclasses import dataclass

from FewShotSegLib.example import Example
from FewShotSegLib.quality import DEFAULT
from FewShotSegLib.volume import Volume
from FewShotSegModule.runs.structure import Structure

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First voxel and the voxel after the last one, along (k, j, i)."""


@dataclass(frozen=True, eq=False)
class RunInput:
    """Arrays and settings; no nodes. Arrays may be the scene's own, so they are to be written out at once.

    :param query: The part of the volume that is segmented.
    :param shape: The shape of the whole volume.
    :param box: Where in the whole volume the part lies.
    :param allowed: Where in the whole volume results may change anything; inside `box`.
    :param examples: Painted slices of the part itself and of other volumes.
    :param structures: What is looked for.
    """

    query: Volume
    shape: tuple[int, int, int]
    box: Box
    allowed: Box
    examples: list[Example]
    structures: list[Structure]
    device: str = "auto"
    refine: bool | float = True
    quality: str = DEFAULT
