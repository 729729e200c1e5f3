"""Regions made from an image alone: stand-ins for organs, so that unlabelled volumes can train too.

A watershed of the gradient gives small pieces that follow boundaries; the pieces are then merged across their weakest
boundaries into three scales. Merging, rather than a coarser watershed, keeps the boundaries of all scales sharp.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

# (contrast tolerance, largest share of the body one region may have) of the scales small, middle and large.
SCALES = ((0.10, 0.004), (0.22, 0.025), (0.40, 0.12))
MINIMUM_VOXELS = 24
COARSEST_GRID_MM = 4.5
# Rescaled images have the darkest of their non-background at 0.
DARKEST_TISSUE = 15.0


def body_mask(image: np.ndarray, modality: str) -> np.ndarray:
    """Return where the patient is (air inside the body included).

    Args:
        image: (k, j, i), Hounsfield units for "CT", else air dark and body up to about 1000.
        modality: "CT", "MR" or "synthetic".

    Returns:
        bool (k, j, i).
    """
    smooth = ndimage.uniform_filter(image.astype(np.float32), size=3)
    if modality == "CT":
        mask = smooth > -350
    else:
        # Low enough for dark muscle, high enough for the noise around a coil's field of view.
        low, high = np.percentile(smooth, (1, 99))
        mask = smooth > max(low + 0.065 * (high - low), DARKEST_TISSUE)
    mask = ndimage.binary_opening(mask, structure=np.ones((1, 3, 3)))
    components, count = ndimage.label(mask)
    if count == 0:
        return np.ones(image.shape, bool)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    # Two legs or arms at the side are separate bodies: keep every large part, not only the largest.
    mask = np.isin(components, np.flatnonzero(sizes >= 0.1 * sizes.max()))
    for plane in mask:
        plane[:] = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(plane, 4), iterations=3)[4:-4, 4:-4])
    return mask


def watershed_regions(image: np.ndarray, spacing_kji: tuple[float, ...], modality: str) -> list[np.ndarray]:
    """Cut a volume into regions of three scales.

    Args:
        image: (k, j, i), see `body_mask` for its values.
        spacing_kji: Voxel size in mm.
        modality: "CT", "MR" or "synthetic".

    Returns:
        Three arrays (k, j, i) with ids 1..n, small, middle and large regions; 0 outside the body.
    """
    steps = tuple(
        2 if size >= 64 and 2 * mm <= COARSEST_GRID_MM else 1 for size, mm in zip(image.shape, spacing_kji, strict=True)
    )
    body = _block_mean(body_mask(image, modality).astype(np.float32), steps) > 0.5
    values = _block_mean(tissue_contrast(image, modality), steps)
    grid = np.array([step * mm for step, mm in zip(steps, spacing_kji, strict=True)])
    finest = float(grid.min())
    gradient = _gradient(values, grid, sigma_mm=0.8 * finest)
    # The valleys are sought on a smoother gradient than the one that is flooded: fewer pieces, equally sharp edges.
    valleys = ndimage.gaussian_filter(gradient, sigma=1.2 * finest / grid)
    reach = np.maximum(1, np.round(1.5 * finest / grid)).astype(int)
    minima = (valleys == ndimage.minimum_filter(valleys, size=tuple(2 * reach + 1))) & body
    markers, _ = ndimage.label(minima, structure=np.ones((3, 3, 3)))
    pieces = watershed(gradient, markers, mask=body)
    smooth = ndimage.gaussian_filter(values, sigma=0.5 * finest / grid)
    levels = []
    for tolerance, largest_share in SCALES:
        merged = _merge(pieces, smooth, gradient, tolerance, largest_share)
        upsampled = merged
        for axis, step in enumerate(steps):
            upsampled = np.repeat(upsampled, step, axis=axis)
        levels.append(upsampled[tuple(slice(0, size) for size in image.shape)])
    return levels


def slice_regions(image: np.ndarray) -> list[np.ndarray]:
    """Cut independent 2D slices into regions of three scales; no id occurs in two slices.

    Args:
        image: (k, j, i) with slices along axis 0, body up to about 1000.

    Returns:
        Three arrays (k, j, i) with ids 1..n, small, middle and large regions; 0 outside the body.
    """
    levels = [np.zeros(image.shape, np.int32) for _ in SCALES]
    for index in range(len(image)):
        cuts = watershed_regions(image[index : index + 1], (1.0, 1.0, 1.0), "MR")
        for level, cut in zip(levels, cuts, strict=True):
            level[index] = np.where(cut[0] > 0, cut[0] + level.max(), 0)
    return levels


def tissue_contrast(image: np.ndarray, modality: str) -> np.ndarray:
    """Map intensities to about 0..1 so that equal steps mean equally visible boundaries; float32 (k, j, i).

    In CT the soft tissues lie within 200 HU while air and bone span 3000: the latter are compressed.
    """
    if modality == "CT":
        return np.interp(image, (-1000, -160, 240, 1200), (-0.35, 0.0, 1.0, 1.6)).astype(np.float32)
    return (np.clip(image, -200, 1400) / 1000.0).astype(np.float32)


def _block_mean(array: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    padding = [(0, -size % step) for size, step in zip(array.shape, steps, strict=True)]
    padded = np.pad(array, padding, mode="edge")
    split = [part for size, step in zip(padded.shape, steps, strict=True) for part in (size // step, step)]
    return padded.reshape(split).mean(axis=tuple(range(1, 2 * array.ndim, 2)))


def _gradient(values: np.ndarray, grid_mm: np.ndarray, sigma_mm: float) -> np.ndarray:
    smooth = ndimage.gaussian_filter(values, sigma=sigma_mm / grid_mm)
    square = np.zeros_like(smooth)
    for axis in range(smooth.ndim):
        if smooth.shape[axis] > 1:
            # Through thick slices a change per mm counts for little; per finest voxel size it counts like in-plane.
            square += (np.gradient(smooth, axis=axis) * (grid_mm.min() / grid_mm[axis])) ** 2
    return np.sqrt(square)


def _merge(
    pieces: np.ndarray, values: np.ndarray, gradient: np.ndarray, tolerance: float, largest_share: float
) -> np.ndarray:
    """Join neighbouring pieces, weakest boundary first, and renumber them.

    A join needs a boundary weaker than the contrast inside both sides plus an allowance that shrinks with their size
    (the rule of Felzenszwalb and Huttenlocher), and must not exceed the largest size.
    """
    count = int(pieces.max()) + 1
    sizes = np.bincount(pieces.ravel(), minlength=count).astype(float)
    sums = np.bincount(pieces.ravel(), weights=values.ravel(), minlength=count)
    means = sums / np.maximum(sizes, 1)
    pairs, strengths = _boundaries(pieces, gradient)
    # In a noisy image every boundary has some gradient; what a quarter of them do not exceed is noise.
    floor = np.quantile(strengths, 0.25) if len(strengths) else 0.0
    weights = np.abs(means[pairs[:, 0]] - means[pairs[:, 1]]) + np.maximum(strengths - floor, 0)
    order = np.argsort(weights)
    body_size = sizes[1:].sum()
    largest = max(largest_share * body_size, 2.0 * MINIMUM_VOXELS)
    reference = largest / 20
    parent = list(range(count))
    size = sizes.tolist()
    inside = [0.0] * count

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for (first, second), weight in zip(pairs[order].tolist(), weights[order].tolist(), strict=True):
        a, b = root(first), root(second)
        if a == b or size[a] + size[b] > largest:
            continue
        allowance_a = inside[a] + tolerance * min(1.0, (reference / size[a]) ** 0.5)
        allowance_b = inside[b] + tolerance * min(1.0, (reference / size[b]) ** 0.5)
        if weight <= min(allowance_a, allowance_b):
            parent[b] = a
            size[a] += size[b]
            inside[a] = max(inside[a], inside[b], weight)
    roots = np.array([root(item) for item in range(count)])
    totals = np.bincount(roots, weights=sizes, minlength=count)
    keep = totals >= MINIMUM_VOXELS
    keep[0] = False
    ids = np.where(keep, np.cumsum(keep), 0)
    return ids[roots[pieces]]


def _boundaries(pieces: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return neighbouring pairs of ids, (n, 2), and the mean gradient along each pair's boundary, (n,)."""
    count = np.int64(pieces.max()) + 1
    keys, strengths = [], []
    for axis in range(pieces.ndim):
        lower = np.moveaxis(pieces, axis, 0)[:-1].ravel()
        upper = np.moveaxis(pieces, axis, 0)[1:].ravel()
        edge = np.flatnonzero((lower != upper) & (lower > 0) & (upper > 0))
        low, high = np.minimum(lower[edge], upper[edge]), np.maximum(lower[edge], upper[edge])
        keys.append(low.astype(np.int64) * count + high)
        along = np.moveaxis(gradient, axis, 0)
        strengths.append(0.5 * (along[:-1].ravel()[edge] + along[1:].ravel()[edge]))
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    totals = np.bincount(inverse, weights=np.concatenate(strengths), minlength=len(unique))
    means = totals / np.maximum(np.bincount(inverse, minlength=len(unique)), 1)
    return np.stack([unique // count, unique % count], axis=1), means
