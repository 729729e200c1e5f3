"""One row of the table of examples, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ExampleRow:
    """What the table shows of an example slice.

    :param identifier: The example's, stable while the scene exists.
    :param enabled: Whether the example is used.
    :param picture: Array (height, width, 3) of uint8; see `thumbnail`.
    :param volumeName: Name of the volume that the slice belongs to.
    :param position: Where the slice is, in words.
    :param segments: Name and colour (red, green, blue in 0..1) of the segments on it.
    """

    identifier: str
    enabled: bool
    picture: np.ndarray
    volumeName: str
    position: str
    segments: tuple[tuple[str, tuple[float, float, float]], ...]
