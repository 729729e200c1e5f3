"""What a segmentation gives back."""

from __future__ import annotations

from dataclasses import dataclass

from FewShotSegLib.volume import Volume


@dataclass(frozen=True, eq=False)
class Result:
    """A segmented volume and how sure the engine is of it.

    Attributes:
        labelmap: Labels on the query's grid, array (k, j, i) of whole numbers; values, names and colours are those of
            the examples, 0 is background.
        confidence: How sure the label of each voxel is, array (k, j, i) of floats in 0..1 on the same grid.

    Raises:
        GeometryError: The two don't share a grid.
    """

    labelmap: Volume
    confidence: Volume

    def __post_init__(self) -> None:
        self.labelmap.require_same_grid(self.confidence, "labelmap", "confidence")
