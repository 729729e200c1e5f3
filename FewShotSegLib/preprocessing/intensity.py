"""Intensity windows: which intensities the network sees as black and white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LOW_PERCENT, _HIGH_PERCENT = 1.0, 99.0
_SAMPLES = 400_000


@dataclass(frozen=True)
class Window:
    """Intensities mapped to 0 (low and below) and 1 (high and above)."""

    low: float
    high: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Maps intensities of any shape to float32 in [0, 1]."""
        return np.clip((values.astype(np.float32) - self.low) / (self.high - self.low), 0, 1)


def window_of(values: np.ndarray) -> Window:
    """Window between the 1st and the 99th percentile of the given intensities.

    Args:
        values: intensities of the region of interest, any shape and real type.
    """
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // _SAMPLES)]
    low, high = np.percentile(flat, [_LOW_PERCENT, _HIGH_PERCENT])
    if high - low < 1e-6:  # a thin structure in a flat surround, or a constant image
        low, high = float(flat.min()), float(flat.max())
    if high - low < 1e-6:
        high = low + 1.0
    return Window(float(low), float(high))


def in_hounsfield_units(array: np.ndarray) -> bool:
    """Whether an image looks like CT in Hounsfield units: air near -1000 and nothing far below."""
    return -4000 <= float(array.min()) <= -500
