"""A small picture of an entry: its slice with most paint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from FewShotSegLib.library.entry import Entry, LibrarySegment
from FewShotSegLib.pictures.png import png_of
from FewShotSegLib.pictures.slice_picture import draw_slice
from FewShotSegLib.pictures.upright import upright

_SIZE = (220, 220)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def picture_of(entry: Entry, segments: Sequence[LibrarySegment]) -> bytes:
    """The picture, as the content of a PNG file.

    Raises:
        ReadError: The scan is in a file that is gone or damaged.
    """
    shown = max(entry.slices, key=lambda painted: np.count_nonzero(painted.mask))
    volume = entry.scan.volume()
    numbers = np.zeros(max(int(shown.mask.max()), *(segment.value for segment in segments), 0) + 1, int)
    numbers[[segment.value for segment in segments]] = np.arange(1, len(segments) + 1)
    image, labels, pixel_mm = upright(
        volume.array.take(shown.index, shown.axis),
        numbers[shown.mask],
        shown.axis,
        _LPS_TO_RAS @ volume.voxel_to_patient,
    )
    return png_of(draw_slice(image, labels, pixel_mm, [segment.color for segment in segments], _SIZE))
