"""Images with a random, made-up contrast, painted from label maps.

A network that has seen every structure dark, bright, rough and smooth learns shapes and boundaries instead of one
scanner's grey values (the idea of SynthSeg). Whatever is not labelled is filled too: by the clusters of a scan's own
intensities where there is a scan, by random blobs under a layer of fat otherwise, so that boundaries without a label
exist as in real images.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image

from FewShotSegLib.training.label_vocabulary import structure_family

BACKGROUND_CLUSTERS = 6


def invented_body(labels: np.ndarray, spacing_kji: tuple[float, ...], generator: np.random.Generator) -> np.ndarray:
    """Return a body around the labels for label maps without a scan, bool (k, j, i).

    Per slice it is the convex hull of the labels grown by 5 to 20 mm, and at least as thick as a neck; the slices are
    then smoothed together.
    """
    in_plane = np.array(spacing_kji[1:])
    margin = generator.uniform(5.0, 20.0)
    radii = generator.uniform((45.0, 55.0), (60.0, 75.0)) / in_plane
    occupied = labels > 0
    rows, columns = np.indices(labels.shape[1:])
    field = np.zeros(labels.shape, np.float32)
    for index, plane in enumerate(occupied):
        if not plane.any():
            continue
        hull = convex_hull_image(plane)
        row, column = ndimage.center_of_mass(hull)
        disc = ((rows - row) / radii[0]) ** 2 + ((columns - column) / radii[1]) ** 2 <= 1
        field[index] = disc | (ndimage.distance_transform_edt(~hull, sampling=in_plane) <= margin)
    sigma = [8.0 / spacing_kji[0], 4.0 / spacing_kji[1], 4.0 / spacing_kji[2]]
    wobble = 0.12 * smooth_noise(labels.shape, spacing_kji, 25.0, generator)
    return (ndimage.gaussian_filter(field, sigma) + wobble > 0.5) | ndimage.binary_dilation(occupied, iterations=2)


def deform(
    arrays: list[np.ndarray], spacing_kji: tuple[float, ...], generator: np.random.Generator
) -> list[np.ndarray]:
    """Bend several label arrays (k, j, i) alike by a smooth random field of a few mm, as if of another patient."""
    shape = arrays[0].shape
    strength = generator.uniform(2.0, 6.0)
    position = []
    for axis, size in enumerate(shape):
        along = np.arange(size, dtype=np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        shift = smooth_noise(shape, spacing_kji, 40.0, generator) * (strength / spacing_kji[axis])
        # A field that is zero outside would tear the border; clipping repeats it instead.
        position.append(np.clip(np.rint(along + shift), 0, size - 1).astype(np.int32))
    return [array[position[0], position[1], position[2]] for array in arrays]


def background_clusters(
    body: np.ndarray,
    spacing_kji: tuple[float, ...],
    generator: np.random.Generator,
    image: np.ndarray | None = None,
) -> np.ndarray:
    """Split the body into a few tissues: values 1..BACKGROUND_CLUSTERS inside, 0 outside; uint8 (k, j, i).

    Args:
        body: bool (k, j, i).
        spacing_kji: Voxel size in mm.
        generator: Source of randomness.
        image: Scan on the same grid whose intensities make the clusters; None for random blobs.
    """
    if image is not None:
        smooth = ndimage.gaussian_filter(image.astype(np.float32), 0.6)
        centres = _k_means(smooth[body], BACKGROUND_CLUSTERS)
        clusters = np.searchsorted(0.5 * (centres[1:] + centres[:-1]), smooth) + 1
        return np.where(body, clusters, 0).astype(np.uint8)
    best = np.full(body.shape, -np.inf, np.float32)
    clusters = np.zeros(body.shape, np.uint8)
    for cluster in range(1, BACKGROUND_CLUSTERS):
        blobs = smooth_noise(body.shape, spacing_kji, generator.uniform(5.0, 14.0), generator)
        better = blobs > best
        clusters[better] = cluster
        best[better] = blobs[better]
    depth = ndimage.distance_transform_edt(body, sampling=spacing_kji)
    layer = generator.uniform(3.0, 14.0) + 3.0 * smooth_noise(body.shape, spacing_kji, 30.0, generator)
    clusters[depth < layer] = BACKGROUND_CLUSTERS
    return np.where(body, clusters, 0).astype(np.uint8)


def paint(
    labels: np.ndarray,
    clusters: np.ndarray,
    spacing_kji: tuple[float, ...],
    names: dict[int, str],
    generator: np.random.Generator,
) -> np.ndarray:
    """Paint an image with random contrast.

    Args:
        labels: Structures, integers (k, j, i).
        clusters: Tissue of the unlabelled body, see `background_clusters`; 0 is air.
        spacing_kji: Voxel size in mm.
        names: Value -> name; structures of one family (both kidneys, all ribs) mostly look alike.
        generator: Source of randomness.

    Returns:
        int16 (k, j, i), body within about 0..1000, air near 0.
    """
    offset = int(labels.max(initial=0)) + 1
    # a vocabulary of all sets has more names than fit into the clusters' eight bits
    tissue = np.where(labels > 0, labels, np.where(clusters > 0, clusters.astype(np.int32) + offset, 0))
    means = _random_means(labels, tissue, offset, names, generator)
    count = len(means)
    # The same pattern everywhere, but of a strength of its own in each structure.
    fine = smooth_noise(labels.shape, spacing_kji, generator.uniform(1.0, 2.5), generator)
    coarse = smooth_noise(labels.shape, spacing_kji, generator.uniform(5.0, 12.0), generator)
    fine_strength = generator.uniform(0, 45, count) * generator.uniform(0.1, 1.0)
    coarse_strength = generator.uniform(0, 60, count) * generator.uniform(0.1, 1.0)
    fine_strength[0] = coarse_strength[0] = 0
    image = means[tissue] + fine_strength[tissue] * fine + coarse_strength[tissue] * coarse
    image = image.astype(np.float32)
    # Partial volume: thick slices blur more along their normal.
    sigma = generator.uniform(0.35, 0.9) * np.array([generator.uniform(0.6, 1.2), 1.0, 1.0])
    image = ndimage.gaussian_filter(image, sigma)
    image *= np.exp(generator.uniform(0.0, 0.3) * _bias_field(labels.shape, generator))
    level = generator.uniform(4.0, 20.0) if generator.random() < 0.7 else generator.uniform(20.0, 45.0)
    noise = generator.standard_normal(labels.shape, dtype=np.float32) * level
    if generator.random() < 0.5:
        image = np.hypot(image + noise, generator.standard_normal(labels.shape, dtype=np.float32) * level)
    else:
        image = image + noise
    return np.clip(np.rint(image), -200, 2000).astype(np.int16)


def with_wall(
    labels: np.ndarray, inside: int, wall: int, thickness: float, spacing_kji: tuple[float, ...]
) -> np.ndarray:
    """Add a wall around a cavity, where nothing else is labelled.

    Args:
        labels: Structures, integers (k, j, i).
        inside: Value of the cavity.
        wall: Value that the wall gets.
        thickness: Of the wall in mm.
        spacing_kji: Voxel size in mm.

    Returns:
        Labels of the same shape and type.
    """
    cavity = labels == inside
    if not cavity.any():
        return labels
    distance = ndimage.distance_transform_edt(~cavity, sampling=spacing_kji)
    return np.where((labels == 0) & (distance <= thickness), wall, labels).astype(labels.dtype)


def smooth_noise(
    shape: tuple[int, ...], spacing_kji: tuple[float, ...], scale_mm: float, generator: np.random.Generator
) -> np.ndarray:
    """Return noise of unit variance with structures of about `scale_mm`, float32 (k, j, i).

    Coarse noise is made on a coarse grid and interpolated: filtering a full grid that wide takes far longer.
    """
    steps = [max(1, int(scale_mm / mm)) for mm in spacing_kji]
    coarse_shape = [size // step + 2 for size, step in zip(shape, steps, strict=True)]
    sigma = [scale_mm / mm / step for mm, step in zip(spacing_kji, steps, strict=True)]
    noise = ndimage.gaussian_filter(generator.standard_normal(coarse_shape, dtype=np.float32), sigma, mode="wrap")
    for axis, (size, step) in enumerate(zip(shape, steps, strict=True)):
        noise = _stretch(noise, axis, size, step)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _stretch(array: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    """Interpolate linearly along one axis so that `step` samples lie between the old ones."""
    if step == 1:
        return np.take(array, np.arange(size), axis=axis)
    position = np.arange(size, dtype=np.float32) / step
    low = position.astype(int)
    shape = [1] * array.ndim
    shape[axis] = size
    share = (position - low).reshape(shape).astype(np.float32)
    return np.take(array, low, axis=axis) * (1 - share) + np.take(array, low + 1, axis=axis) * share


def _bias_field(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    field = generator.standard_normal((4, 4, 4)).astype(np.float32)
    field = ndimage.zoom(field, [size / 4 for size in shape], order=1, grid_mode=True, mode="nearest")
    field = ndimage.gaussian_filter(field, [size / 10 for size in shape], truncate=2.0)
    return field / max(float(np.abs(field).max()), 1e-6)


def _random_means(
    labels: np.ndarray, tissue: np.ndarray, offset: int, names: dict[int, str], generator: np.random.Generator
) -> np.ndarray:
    """Draw the mean intensity of every tissue value; float (offset + BACKGROUND_CLUSTERS + 1,)."""
    means = np.zeros(offset + BACKGROUND_CLUSTERS + 1)
    # Some images have all of their contrast in a narrow band, as soft tissue in CT has.
    low, high = (60.0, 950.0) if generator.random() < 0.7 else (300.0, 700.0)
    # Spread over the whole band, or the background would often look like one tissue.
    levels = (generator.permutation(BACKGROUND_CLUSTERS) + generator.random(BACKGROUND_CLUSTERS)) / BACKGROUND_CLUSTERS
    means[offset + 1 :] = low + (high - low) * levels
    families: dict[str, float] = {}
    present = [int(value) for value in np.unique(labels) if value > 0]
    for value in present:
        family = structure_family(names.get(value, str(value)))
        shared = families.setdefault(family, float(generator.uniform(low, high)))
        alone = generator.random() < 0.15
        means[value] = generator.uniform(low, high) if alone else shared + generator.normal(0, 8)
        if family in ("lung", "lung_lobe", "trachea") and generator.random() < 0.7:
            means[value] = generator.uniform(0, 120)
    for value in present:
        if generator.random() < 0.25:
            neighbours = _neighbours(tissue, value)
            if len(neighbours):
                # Hard cases on purpose: a structure that hardly differs from what it touches.
                difference = generator.choice([-1, 1]) * generator.uniform(25, 80)
                means[value] = means[generator.choice(neighbours)] + difference
    return np.maximum(means, 0)


def _neighbours(tissue: np.ndarray, value: int) -> np.ndarray:
    """Return the other tissue values that touch a value, air left out."""
    where = np.argwhere(tissue[::2, ::2, ::2] == value)
    if not len(where):
        return np.empty(0, int)
    low = np.maximum(2 * where.min(axis=0) - 2, 0)
    box = tissue[tuple(slice(a, b) for a, b in zip(low, 2 * where.max(axis=0) + 4, strict=True))]
    shell = ndimage.binary_dilation(box == value, iterations=2) & (box != value) & (box > 0)
    return np.unique(box[shell])


def _k_means(values: np.ndarray, count: int) -> np.ndarray:
    """Return the sorted centres of `count` clusters of 1D values."""
    sample = values[:: max(1, len(values) // 50000)].astype(np.float64)
    centres = np.quantile(sample, (np.arange(count) + 0.5) / count)
    for _ in range(15):
        nearest = np.searchsorted(0.5 * (centres[1:] + centres[:-1]), sample)
        centres = np.array([sample[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(count)])
        centres.sort()
    return centres
