"""What a segmentation is worth: overlap, surface distance and how far its confidence can be trusted.

Arrays are (k, j, i); spacing is in mm in the order (i, j, k), as in `Volume`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from FewShotSegLib.evaluation.requirements import MissingPackageError

CALIBRATION_BINS = 15
BOX_MARGIN_MM = 10.0
SURFACE_TOLERANCE_MM = 3.0
"""Surface Dice forgives boundaries that are this near, the same for all sets and labels."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces in mm.

    Attributes:
        hd95: The larger of the two directed 95th-percentile distances.
        mean: Mean over the voxels of both surfaces of the distance to the other surface.
    """

    hd95: float
    mean: float


@dataclass(frozen=True)
class ConfidenceMeasures:
    """How far a confidence can be trusted, per voxel of a region.

    Attributes:
        ece: Expected calibration error, 0 (best) .. 1.
        auroc: Area under the curve of finding the wrong voxels by low confidence; None where all or none are wrong.
        accuracy: Fraction of voxels with the right label.
        voxels: Number of voxels in the region.
    """

    ece: float
    auroc: float | None
    accuracy: float
    voxels: int


def dice(prediction: np.ndarray, reference: np.ndarray) -> float | None:
    """Dice overlap of two masks of one shape; None where both are empty, since there is nothing to measure."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2.0 * int(np.count_nonzero(prediction & reference)) / total if total else None


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> SurfaceDistances | None:
    """Surface distances by MONAI; the surface is a mask's voxels with a 6-neighbour outside of it.

    Args:
        prediction: Mask (k, j, i), bool.
        reference: Mask of the same shape, bool.
        spacing: Voxel size in mm, (i, j, k).

    Returns:
        The distances, or None where either mask is empty and a distance has no meaning.

    Raises:
        MissingPackageError: MONAI is not installed.
    """
    if not prediction.any() or not reference.any():
        return None
    from_monai = _monai()
    found, expected = _in_box(prediction, reference)
    along_axes = [float(size) for size in reversed(spacing)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI about its own arguments
        hd95 = from_monai.compute_hausdorff_distance(
            found, expected, include_background=True, percentile=95, spacing=along_axes
        )
        mean = from_monai.compute_average_surface_distance(
            found, expected, include_background=True, symmetric=True, spacing=along_axes
        )
    return SurfaceDistances(hd95=float(hd95), mean=float(mean))


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance: float = SURFACE_TOLERANCE_MM
) -> float | None:
    """Share of both surfaces that lies within a tolerance of the other (Nikolov et al. 2021), by MONAI.

    The surface is a mask's voxels with a 6-neighbour outside of it, each counted once.

    Args:
        prediction: Mask (k, j, i), bool.
        reference: Mask of the same shape, bool.
        spacing: Voxel size in mm, (i, j, k).
        tolerance: In mm.

    Returns:
        0..1; 0 where one of them is empty, None where both are and there is nothing to measure.

    Raises:
        MissingPackageError: MONAI is not installed.
    """
    if not prediction.any() or not reference.any():
        return None if prediction.any() == reference.any() else 0.0
    from_monai = _monai()
    found, expected = _in_box(prediction, reference)
    along_axes = [float(size) for size in reversed(spacing)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        value = from_monai.compute_surface_dice(
            found, expected, class_thresholds=[float(tolerance)], include_background=True, spacing=along_axes
        )
    return float(value)


def _monai() -> Any:
    """MONAI's metrics; imported when needed, since it and torch take seconds, and neither manifests nor tables do."""
    try:
        from monai import metrics
    except ImportError as error:
        raise MissingPackageError("monai", "Measuring surface distances") from error
    return metrics


def _in_box(prediction: np.ndarray, reference: np.ndarray) -> tuple[Any, Any]:
    """Both masks in the box around them, as torch tensors (1, 1, k, j, i)."""
    import torch

    box = bounding_box(prediction | reference, margin=(1, 1, 1))
    found, expected = (np.ascontiguousarray(mask[box]) for mask in (prediction, reference))
    return torch.from_numpy(found)[None, None], torch.from_numpy(expected)[None, None]


def bounding_box(mask: np.ndarray, margin: Sequence[int]) -> tuple[slice, ...]:
    """The box around a mask's voxels, widened by a margin and cut at the array's edges.

    Args:
        mask: Bool array with at least one voxel set.
        margin: Voxels added on both sides of each axis, in array order.
    """
    box = []
    for axis, extra in enumerate(margin):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(int(hit[0]) - extra, 0), min(int(hit[-1]) + 1 + extra, mask.shape[axis])))
    return tuple(box)


def region_around(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The voxels where confidence is worth measuring: the box around both foregrounds, widened by 10 mm.

    Far background is right and confident for any method; counted in, it hides everything else.

    Args:
        prediction: Labelmap (k, j, i).
        reference: Labelmap of the same shape.
        spacing: Voxel size in mm, (i, j, k).

    Returns:
        Bool array of the same shape; empty where there is no foreground.
    """
    region = np.zeros(reference.shape, bool)
    foreground = (prediction > 0) | (reference > 0)
    if foreground.any():
        margin = [math.ceil(BOX_MARGIN_MM / float(size)) for size in reversed(spacing)]
        region[bounding_box(foreground, margin)] = True
    return region


def confidence_measures(confidence: np.ndarray, correct: np.ndarray) -> ConfidenceMeasures | None:
    """Calibration and error detection of a confidence.

    Args:
        confidence: Confidence in the voxel's own label, 0..1, of any shape.
        correct: Bool array of the same shape: the voxel's label is right.

    Returns:
        The measures, or None where there is no voxel.

    Raises:
        ValueError: The confidence is not finite or not within 0..1.
    """
    confidence, correct = np.asarray(confidence, np.float64).ravel(), np.asarray(correct, bool).ravel()
    if not confidence.size:
        return None
    if not np.isfinite(confidence).all() or confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(f"Confidence must be finite and within 0..1, got {confidence.min()}..{confidence.max()}.")
    return ConfidenceMeasures(
        ece=calibration_error(confidence, correct),
        auroc=auroc(1.0 - confidence, ~correct),
        accuracy=float(correct.mean()),
        voxels=int(correct.size),
    )


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: gap of accuracy and mean confidence in 15 equal bins, weighted by their voxels."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    hits = np.bincount(bins, weights=correct, minlength=CALIBRATION_BINS)
    sums = np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(hits - sums).sum() / confidence.size)


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive scores above a negative, ties counted as half; None where either is missing.

    Args:
        score: Array (n,), higher means more likely positive.
        positive: Bool array (n,).
    """
    values, inverse = np.unique(score, return_inverse=True)
    positives = np.bincount(inverse, weights=positive, minlength=len(values))
    negatives = np.bincount(inverse, weights=~positive, minlength=len(values))
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return None
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs)
