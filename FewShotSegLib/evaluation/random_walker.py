"""Random walker segmentation from painted slices (Grady, IEEE TPAMI 28(11), 2006), solved by scikit-image.

Every painted voxel is a seed, background too. A linear system per label over a whole volume would take minutes and
gigabytes; so it is solved in the surroundings of what is painted, on pixels coarsened until the region has at most
`MOST_VOXELS`, and its probabilities are interpolated back.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter
from skimage.segmentation import random_walker

from FewShotSegLib.evaluation.fillers import UNKNOWN
from FewShotSegLib.evaluation.measures import bounding_box

MARGIN_MM = 20.0
MOST_VOXELS = 300_000
BETA = 1000.0
"""How much edges stop the walk, for intensities from 0 to 1. Of 130 (scikit-image's own), 500, 1000 and 2000 one that
served the walker well on two cases each of two sets; the same for all sets."""
TOLERANCE = 1e-3


def walk(
    image: np.ndarray, painted: np.ndarray, spacing: Sequence[float], axis: int = 0, most_voxels: int = MOST_VOXELS
) -> tuple[np.ndarray, np.ndarray]:
    """Labels every voxel by the seed that a random walk from it reaches first, most probably.

    Args:
        image: Intensities (k, j, i).
        painted: Labelmap (k, j, i), int32, with `UNKNOWN` where nothing is painted.
        spacing: Voxel size in mm, (i, j, k).
        axis: Array axis across the painted slices; all slices along it are segmented.
        most_voxels: Bound on the size of the linear system.

    Returns:
        Labelmap (k, j, i) with painted voxels as painted, and the probability of each voxel's label, 0..1, float32.

    Raises:
        ValueError: Nothing is painted.
    """
    values = [int(value) for value in np.unique(painted) if value > 0]
    if not values:
        raise ValueError("Nothing is painted, so there is nothing to walk to.")
    labels, confidence = np.zeros(painted.shape, np.int32), np.ones(painted.shape, np.float32)
    region = _region(painted, spacing, axis)
    factors = _factors(painted[region].shape, axis, most_voxels)
    classes = [0, *values]
    probability = _solve(image[region], painted[region], spacing, factors, classes)
    best, sure = _finest(probability, painted[region].shape, factors)
    labels[region], confidence[region] = np.asarray(classes, np.int32)[best], sure
    known = painted != UNKNOWN
    labels[known], confidence[known] = painted[known], 1.0
    return labels, confidence


def _region(painted: np.ndarray, spacing: Sequence[float], axis: int) -> tuple[slice, ...]:
    """The box around the painted structures with a margin, in all slices."""
    margin = [math.ceil(MARGIN_MM / float(size)) for size in reversed(spacing)]
    box = list(bounding_box(painted > 0, margin))
    box[axis] = slice(0, painted.shape[axis])
    return tuple(box)


def _factors(shape: tuple[int, ...], axis: int, most_voxels: int) -> tuple[int, ...]:
    """How many voxels become one along each axis: none across slices, the same number along the other two."""
    factor = 1
    while True:
        factors = tuple(1 if a == axis else factor for a in range(len(shape)))
        if math.prod(-(-size // f) for size, f in zip(shape, factors, strict=True)) <= most_voxels:
            return factors
        if factor >= max(shape):
            return factors  # so many slices that even one pixel each is too much
        factor += 1


def _solve(
    image: np.ndarray, painted: np.ndarray, spacing: Sequence[float], factors: tuple[int, ...], classes: list[int]
) -> np.ndarray:
    """Probabilities (classes, k', j', i') on the coarsened region."""
    every = tuple(slice(f // 2, None, f) if f // 2 < size else slice(None, None, f)
                  for f, size in zip(factors, image.shape, strict=True))  # fmt: skip
    low, high = np.percentile(image, [1, 99])
    # From 0 to 1, the scale that beta is meant for; on raw intensities every edge would be a wall.
    unit = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    data = uniform_filter(unit, factors)[every]
    seeds = np.zeros(data.shape, np.int32)
    for number, value in enumerate(classes, start=1):
        seeds[painted[every] == value] = number
    present = np.unique(seeds[seeds > 0])
    if len(present) < 2:  # coarsened away, or no background painted: nothing to decide between
        probability = np.zeros((len(classes), *data.shape), np.float32)
        probability[int(present[0]) - 1 if len(present) else 0] = 1
        return probability
    numbered = np.zeros_like(seeds)
    for number, value in enumerate(present, start=1):
        numbered[seeds == value] = number
    size = np.asarray([float(s) * f for s, f in zip(reversed(spacing), factors, strict=True)])
    with warnings.catch_warnings():
        # The solver stops early enough to be bearable; a few probabilities beyond 0..1 are cut.
        warnings.filterwarnings("ignore", "The probability range is outside", UserWarning)
        found = random_walker(
            data, numbered, beta=BETA, mode="cg_j", tol=TOLERANCE, return_full_prob=True, spacing=size / size.min()
        )
    probability = np.zeros((len(classes), *data.shape), np.float32)
    probability[present - 1] = np.clip(found, 0, 1)
    return probability


def _finest(probability: np.ndarray, shape: tuple[int, ...], factors: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Index of the likeliest class and its probability, on the region's own voxels; one class and slice at a time."""
    best, sure = np.zeros(shape, np.int32), np.full(shape, -1, np.float32)
    places = [np.clip((np.arange(n) - f // 2) / f, 0, m - 1)
              for n, f, m in zip(shape, factors, probability.shape[1:], strict=True)]  # fmt: skip
    total = np.zeros(shape, np.float32)
    for number, coarse in enumerate(probability):
        for k, place in enumerate(places[0]):
            grid = np.meshgrid(place, places[1], places[2], indexing="ij")
            fine = map_coordinates(coarse, grid, order=1, mode="nearest")[0] if max(factors) > 1 else coarse[k]
            total[k] += fine
            better = fine > sure[k]
            best[k][better], sure[k][better] = number, fine[better]
    return best, np.clip(sure / np.maximum(total, 1e-6), 0, 1)
