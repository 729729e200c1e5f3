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
        # 32 bits hold what may be far from 0 only once it is near.
        near = values - self.low if values.dtype.itemsize > 2 else values.astype(np.float32) - self.low
        return np.clip((near / (self.high - self.low)).astype(np.float32, copy=False), 0, 1)


def window_of(values: np.ndarray) -> Window:
    """Window between the 1st and the 99th percentile of the given intensities.

    Args:
        values: intensities of the region of interest, any shape and real type.
    """
    sample = sample_of(values, _SAMPLES).astype(np.float64)
    low, high = np.percentile(sample, [_LOW_PERCENT, _HIGH_PERCENT])
    if not high > low:  # a thin structure in a flat surround
        low, high = sample.min(), sample.max()
    if not high > low:  # a flat part of an image
        high = low + max(abs(low), 1.0)
    return Window(float(low), float(high))


def sample_of(values: np.ndarray, count: int) -> np.ndarray:
    """About so many values of an array of any shape, 1D: every so many-th, but not always of the same columns."""
    flat = values.reshape(-1)
    step = max(flat.size // count, 1)
    while any(np.gcd(step, size) > 1 for size in values.shape[1:]):
        step -= 1
    return flat[::step]


def in_hounsfield_units(array: np.ndarray) -> bool:
    """Whether an image looks like CT in Hounsfield units: air near -1000 and nothing far below."""
    return -4000 <= float(array.min()) <= -500
