"""Size, surface and sureness of each segment of a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from FewShotSegLib.colors import Color, default_color
from FewShotSegLib.labels import label_values
from FewShotSegLib.volume import Volume

DOUBTFUL = 0.7
"""Mean confidence below which a segment is to be looked at: about so many of its voxels are right, as confidence is
calibrated."""


@dataclass(frozen=True)
class SegmentMeasures:
    """One segment of a result.

    Attributes:
        value: Label value.
        name: Name, or "label 5" where there is none.
        color: Red, green and blue, 0..1.
        volume_ml: Volume by the grid's spacing.
        surface_cm2: Surface, by Crofton's formula.
        painted: Slices on which it is painted.
        confidence: Mean over its voxels, 0..1; nan where it has none.
        least_sure: Number of the slice along axis 0 where it is least sure, None where it has no voxel.
        middle: That of its largest cross-section.
    """

    value: int
    name: str
    color: Color
    volume_ml: float
    surface_cm2: float
    painted: int
    confidence: float
    least_sure: int | None
    middle: int | None

    @property
    def is_doubtful(self) -> bool:
        """Whether somebody should look at it: nothing was found, or it is not sure."""
        return not self.confidence >= DOUBTFUL


def measure(
    labelmap: Volume, confidence: Volume, painted: Mapping[int, int], values: Iterable[int] | None = None
) -> list[SegmentMeasures]:
    """Measures each segment of a result, the most doubtful first.

    Args:
        labelmap: Labels, array (k, j, i) of whole numbers; its names and colours are taken.
        confidence: How sure each voxel is, on the same grid, 0..1.
        painted: By label value, on how many slices it is painted.
        values: Label values to measure; those of the labelmap and its names if None.

    Raises:
        GeometryError: The two don't share a grid.
    """
    labelmap.require_same_grid(confidence, "labelmap", "confidence")
    labels = labelmap.array
    wanted = sorted(set(values) if values is not None else {*label_values(labels), *labelmap.names})
    size = max([*wanted, int(labels.max(initial=0))]) + 1
    counts, sure = np.zeros((len(labels), size)), np.zeros((len(labels), size))
    for k, (plane, sureness) in enumerate(zip(labels, confidence.array, strict=True)):
        counts[k] = np.bincount(plane.ravel(), minlength=size)
        sure[k] = np.bincount(plane.ravel(), sureness.ravel(), minlength=size)
    surfaces = _surfaces(labelmap)
    found = []
    for value in wanted:
        voxels, there = counts[:, value].sum(), counts[:, value] > 0
        means = sure[there, value] / counts[there, value]
        # Where only a few voxels are left, near the ends, hardly anything is lost.
        large = counts[there, value] >= 0.2 * counts[:, value].max()
        slices = np.flatnonzero(there)
        found.append(
            SegmentMeasures(
                value,
                labelmap.names.get(value) or f"label {value}",
                labelmap.colors.get(value) or default_color(value),
                float(voxels * labelmap.voxel_volume / 1000),
                surfaces.get(value, 0.0),
                painted.get(value, 0),
                float(sure[:, value].sum() / voxels) if voxels else float("nan"),
                int(slices[large][np.argmin(means[large])]) if voxels else None,
                int(np.argmax(counts[:, value])) if voxels else None,
            )
        )
    return sorted(found, key=lambda m: (m.confidence if voxels_of(m) else -1.0, m.value))


def voxels_of(measures: SegmentMeasures) -> bool:
    """Whether anything of a segment was found."""
    return measures.middle is not None


def _surfaces(labelmap: Volume) -> dict[int, float]:
    """Surface of each label in cm2."""
    import SimpleITK as sitk  # takes half a second, which an application should not wait for at its start

    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputePerimeterOn()
    image = sitk.GetImageFromArray(labelmap.array.astype(np.uint16 if labelmap.array.max() < 2**16 else np.uint32))
    image.SetSpacing(labelmap.spacing)
    shapes.Execute(image)
    return {int(label): shapes.GetPerimeter(label) / 100 for label in shapes.GetLabels()}
