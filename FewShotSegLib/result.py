"""What a segmentation gives back."""

from __future__ import annotations

from dataclasses import dataclass

from FewShotSegLib.volume import AXIS_NAMES, Volume


@dataclass(frozen=True)
class Note:
    """A structure that was found on a painted slice of the query, where it is not painted yet.

    Attributes:
        axis: Array axis across the slice: 0 (k), 1 (j) or 2 (i).
        index: Slice number along it, from 0.
        value: Label value of the structure.
        name: Its name.
    """

    axis: int
    index: int
    value: int
    name: str

    def __str__(self) -> str:
        return f"Slice {self.index} along {AXIS_NAMES[self.axis]}: {self.name} was found and is not painted there yet."


@dataclass(frozen=True, eq=False)
class Result:
    """A segmented volume and how sure the engine is of it.

    Attributes:
        labelmap: Labels on the query's grid, array (k, j, i) of whole numbers; values, names and colours are those of
            the examples, 0 is background.
        confidence: How sure the label of each voxel is, array (k, j, i) of floats in 0..1 on the same grid.
        notes: Structures that were taken as not painted yet on painted slices of the query, where nobody said what is
            complete.

    Raises:
        GeometryError: The two don't share a grid.
    """

    labelmap: Volume
    confidence: Volume
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        self.labelmap.require_same_grid(self.confidence, "labelmap", "confidence")
