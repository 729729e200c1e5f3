"""A small volume with two structures, and slices of it as people paint them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from FewShotSegLib import Example, Volume

BRIGHT, DARK = 3, 200
NAMES = {BRIGHT: "bright", DARK: "dark"}
SPACING = (1.5, 1.5, 3.0)


def two_balls(
    shape: tuple[int, int, int] = (16, 40, 36), spacing: tuple[float, float, float] = SPACING, seed: int = 0
) -> tuple[Volume, Volume]:
    """A bright ball (3) and a dark one (200) in grey noise, at fixed fractions of the volume; image and labelmap."""
    size = np.array(shape) * spacing[::-1]
    k, j, i = ((axis + 0.5) * d for axis, d in zip(np.indices(shape), spacing[::-1], strict=True))
    labels = np.zeros(shape, np.uint8)
    for value, center, radius in ((BRIGHT, (0.45, 0.32, 0.32), 0.2), (DARK, (0.55, 0.68, 0.68), 0.17)):
        ck, cj, ci = center * size
        squared = ((k - ck) / size[0]) ** 2 + ((j - cj) / size[1]) ** 2 + ((i - ci) / size[2]) ** 2
        labels[squared <= radius**2] = value
    table = np.full(256, 100.0)
    table[BRIGHT], table[DARK] = 180, 40
    image = table[labels] + np.random.default_rng(seed).normal(0, 6, shape)
    # a surround of air, as every scan has
    image[:, :2], image[:, -2:], image[..., :2], image[..., -2:] = 0, 0, 0, 0
    volume = Volume.from_array(image.astype(np.float32), spacing=spacing, origin=(-30, 12, 5), name="two balls")
    return volume, volume.with_array(labels, names=NAMES, colors={BRIGHT: (1.0, 0.5, 0.0)})


def painted(
    image: Volume, labels: Volume, index: int, values: Collection[int] = tuple(NAMES), axis: int = 0, **how: Any
) -> Example:
    """A slice on which some of the structures are painted."""
    mask = labels.array.take(index, axis)
    return Example(image, axis, index, np.where(np.isin(mask, list(values)), mask, 0), names=NAMES, **how)


def dice(found: np.ndarray, truth: np.ndarray, label: int) -> float:
    a, b = found == label, truth == label
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))
