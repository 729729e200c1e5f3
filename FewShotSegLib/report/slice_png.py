"""A slice of a result as a PNG: the image upright, with the outlines of the segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from FewShotSegLib.pictures.png import png_of
from FewShotSegLib.pictures.slice_picture import draw_slice
from FewShotSegLib.pictures.upright import upright
from FewShotSegLib.report.measures import SegmentMeasures
from FewShotSegLib.volume import Volume

Window = tuple[float, float] | None


def slice_png(
    image: Volume,
    labelmap: Volume,
    measures: Sequence[SegmentMeasures],
    k: int,
    size: tuple[int, int],
    window: Window = None,
    about: SegmentMeasures | None = None,
) -> bytes:
    """A slice with the outlines of all segments.

    Args:
        image: What was segmented.
        labelmap: Its labels, on the same grid.
        measures: Of the segments to draw.
        k: Which slice along axis 0.
        size: Height and width of the picture in pixels.
        window: Intensities shown as black and white.
        about: The segment whose surroundings are shown; all of them if None.
    """
    places = {one.value: number for number, one in enumerate(measures, start=1)}
    table = np.zeros(max([*places, int(labelmap.array[k].max())]) + 1, int)
    table[list(places)] = list(places.values())
    plane, labels, pixel = upright(image.array[k], table[labelmap.array[k]], 0, _to_ras(image))
    colors = [one.color for one in measures]
    focus = None if about is None else places[about.value]
    return png_of(draw_slice(plane, labels, pixel, colors, size, window, focus))


def window_of_structures(image: Volume, labelmap: Volume) -> Window:
    """Intensities shown as black and white on all pictures: those of the structures, and as much on both sides."""
    inside = image.array[labelmap.array > 0]
    inside = inside[np.isfinite(inside)]
    if not inside.size:
        return None
    low, high = np.percentile(inside, (2, 98)).tolist()
    return low - (high - low) / 2, high + (high - low) / 2


def _to_ras(image: Volume) -> np.ndarray:
    """From voxel indices (i, j, k) to the patient's right, anterior and superior, (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.direction, (3, 3)) * np.asarray(image.spacing)
    matrix[:3, 3] = image.origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
