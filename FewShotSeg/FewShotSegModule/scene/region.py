"""A new region of interest."""

from __future__ import annotations

from typing import Any

import numpy as np


def fitRegion(roi: Any, volume: Any) -> None:
    """Puts a region that was just made around a volume, so that there is something to drag; others stay as they are.

    :param roi: The vtkMRMLMarkupsROINode.
    :param volume: The volume; nothing happens if it is None.
    """
    size = [0.0, 0.0, 0.0]
    roi.GetSizeWorld(size)
    if volume is None or max(size) > 0:
        return
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    roi.SetCenterWorld(*((low + high) / 2).tolist())
    roi.SetSizeWorld(*(high - low).tolist())
    roi.CreateDefaultDisplayNodes()
