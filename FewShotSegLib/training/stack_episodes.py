"""Whole stacks with a few painted slices, as a user would paint them, drawn from the open volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from . import synthesis
from .sources import REAL_LABELS, TrainingVolume

_LEAST_VOXELS = 60
_LEAST_SLICES = 4
_LEAST_STACK = 6
_LEAST_SIDE = 24
_MOST_REPAINTED = 6_000_000
_COUNTS = {1: 0.24, 2: 0.12, 3: 0.26, 4: 0.12, 5: 0.14, 7: 0.06, 10: 0.06}
# How often stacks come from a set: by how many different structures it has, not by its number of volumes.
_SHARES = {
    "Brain_MR": 0.01,
    "CCTH_CT": 0.06,
    "Colin27": 0.06,
    "Hippocampus_MSD": 0.07,
    "LIDC_CT": 0.09,
    "MSD_Spleen_crop": 0.02,
    "OpenKBP": 0.08,
    "SoftTissue_STS": 0.03,
    "TotalSegmentator_examples": 0.16,
    "pyradiomics": 0.01,
    "synthetic_Colin27": 0.03,
    "synthetic_LIDC_CT": 0.10,
    "synthetic_TotalSegmentator_examples": 0.08,
    "synthetic_labelmaps": 0.20,
}


@dataclass(frozen=True)
class StackEpisode:
    """A stack to be segmented from its own painted slices.

    Attributes:
        image: (Z, rows, columns) float32.
        labels: (Z, rows, columns) int32, only of structures that are painted.
        spacing: millimetres along (Z, rows, columns).
        painted: increasing slice numbers.
        source: name of the volume.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    painted: list[int]
    source: str


def choose_volume(rng: np.random.Generator, volumes: list[TrainingVolume]) -> TrainingVolume:
    """A volume with real labels: first the set by its share, then any of its volumes.

    Raises:
        ValueError: no set with a share is among the volumes.
    """
    sets: dict[str, list[TrainingVolume]] = {}
    for volume in volumes:
        if volume.kind == "volume" and REAL_LABELS in volume.labelings and volume.set_name in _SHARES:
            sets.setdefault(volume.set_name, []).append(volume)
    if not sets:
        raise ValueError("none of the volumes has labels to draw stacks from; prepare the open data sets first")
    names = sorted(sets)
    shares = np.array([_SHARES[name] for name in names])
    chosen = sets[names[rng.choice(len(names), p=shares / shares.sum())]]
    return chosen[rng.integers(len(chosen))]


def draw_stack(rng: np.random.Generator, volume: TrainingVolume) -> StackEpisode | None:
    """A stack from a volume, changed at random; None where the chosen part holds too little.

    Stacks lie along any sensible axis, are thinned to thick slices, mirrored and cut; structures are chosen together
    with some that share slices with them; contrasts are changed, and bare label maps are bent and painted anew.
    """
    image, labels = _contrast_of(rng, volume)
    axis = int(volume.axes[0]) if rng.random() < 0.6 else int(rng.choice(volume.axes))
    spacing = [volume.spacing_kji[axis], *(s for i, s in enumerate(volume.spacing_kji) if i != axis)]
    image, labels = np.moveaxis(image, axis, 0), np.moveaxis(labels, axis, 0)
    image, labels, factor = _thinned(rng, image, labels, spacing[0])
    spacing[0] *= factor
    for axes, chance in (((0,), 0.5), ((1,), 0.3), ((2,), 0.5)):
        if rng.random() < chance:
            image, labels = np.flip(image, axes), np.flip(labels, axes)
    labels, around = _chosen_structures(rng, labels)
    if around is None:
        return None
    image, labels = _cut(rng, image, labels, around)
    if len(image) < _LEAST_STACK or min(image.shape[1:]) < _LEAST_SIDE:
        return None
    painted = _painted(rng, np.flatnonzero(labels.any(axis=(1, 2))))
    values = np.unique(labels[painted])
    if not values.any():
        return None
    labels = np.where(np.isin(labels, values), labels, 0).astype(np.int32)
    image = _changed(rng, image.astype(np.float32), volume.modality)
    image, labels = np.ascontiguousarray(image, np.float32), np.ascontiguousarray(labels)
    return StackEpisode(image, labels, (spacing[0], spacing[1], spacing[2]), painted, volume.name)


def _contrast_of(rng: np.random.Generator, volume: TrainingVolume) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels; of painted label maps mostly with a new contrast and another bend."""
    labels = np.asarray(volume.labelings[REAL_LABELS])
    if volume.modality != "synthetic" or labels.size > _MOST_REPAINTED or rng.random() < 0.2:
        return np.asarray(volume.image), labels
    spacing = volume.spacing_kji
    body = synthesis.invented_body(labels, spacing, rng)
    clusters = synthesis.background_clusters(body, spacing, rng)
    labels, clusters = synthesis.deform([labels, clusters], spacing, rng)
    return synthesis.paint(labels, clusters, spacing, volume.label_names, rng), labels


def _thinned(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Every n-th slice only, or the means of n slices, as of a scan with thick slices; and n."""
    wanted = rng.uniform(2, 9) if rng.random() < 0.6 else spacing
    count = len(image)
    factor = max(int(round(wanted / spacing)), 1)
    while factor > 1 and count // factor < 9:
        factor -= 1
    start = int(rng.integers(factor))
    if factor > 1 and rng.random() < 0.5 and start + factor <= count:
        whole = (count - start) // factor
        slabs = image[start : start + whole * factor].reshape(whole, factor, *image.shape[1:])
        middle = labels[start + factor // 2 : start + whole * factor : factor][:whole]
        return slabs.mean(axis=1), middle, factor
    return image[start::factor], labels[start::factor], factor


def _chosen_structures(rng: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels of one structure and of some that share slices with it, and the slices of the first."""
    voxels = np.bincount(labels.ravel())
    candidates = [int(v) for v in np.flatnonzero(voxels >= _LEAST_VOXELS) if v]
    candidates = [v for v in candidates if (labels == v).any(axis=(1, 2)).sum() >= _LEAST_SLICES]
    if not candidates:
        return labels, None
    first = int(rng.choice(candidates))
    around = np.flatnonzero((labels == first).any(axis=(1, 2)))
    beside = labels[around[0] : around[-1] + 1]
    chosen, wanted = [first], int(rng.integers(1, 6))
    for value in rng.permutation(candidates):
        if len(chosen) < wanted and value != first and (beside == value).any():
            chosen.append(int(value))
    result = np.where(np.isin(labels, chosen), labels, 0)
    if len(chosen) > 1 and rng.random() < 0.15:  # two structures painted as one
        result[result == chosen[-1]] = first
    return result, around


def _cut(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A part of the stack, some slices beyond the structures, and at times a part of the plane."""
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    most, beyond = int(rng.integers(24, 90)), int(rng.integers(0, 11))
    start, stop = max(used[0] - beyond, 0), min(used[-1] + 1 + beyond, len(labels))
    if stop - start > most:
        start = int(np.clip(int(rng.choice(around)) - most // 2, start, stop - most))
        stop = start + most
    image, labels = image[start:stop], labels[start:stop]
    if rng.random() < 0.4:
        shown = labels.max(axis=0) > 0
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        margin = int(rng.integers(8, 50))
        window = (
            slice(None),
            slice(max(rows[0] - margin, 0), rows[-1] + margin),
            slice(max(columns[0] - margin, 0), columns[-1] + margin),
        )
        image, labels = image[window], labels[window]
    return image, labels


def _painted(rng: np.random.Generator, used: np.ndarray) -> list[int]:
    """Slices to paint: spread evenly over those that hold structures, or any of them."""
    counts = list(_COUNTS)
    count = int(rng.choice(counts, p=list(_COUNTS.values())))
    count = min(count, max(len(used) // 2, 1))
    if rng.random() < 0.65:
        return sorted({int(used[int((i + 0.5) * len(used) / count)]) for i in range(count)})
    return sorted(int(z) for z in rng.choice(used, count, replace=False))


def _changed(rng: np.random.Generator, image: np.ndarray, modality: str) -> np.ndarray:
    """Another contrast: a window of CT, a curve and a shading of MR; noise and blur of either."""
    if modality == "CT":
        if rng.random() < 0.5:
            low, high = rng.uniform(-250, -80), rng.uniform(180, 400)
            image = np.clip((image - low) / (high - low), 0, 1) * 255
    else:
        low, high = np.percentile(image, [0.5, 99.5])
        image = np.clip((image - low) / max(high - low, 1.0), 0, 1.3) ** np.exp(rng.normal(0, 0.35))
        if rng.random() < 0.2:
            image = 1.3 - image
        if rng.random() < 0.5:
            coarse = rng.normal(0, 0.18, (3, 4, 4))
            image = image * np.exp(ndimage.zoom(coarse, np.divide(image.shape, coarse.shape), order=1))
        image = 1000 * image
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0, 0.1) * max(float(image.std()), 1e-6), image.shape)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, (0, rng.uniform(0.3, 1), rng.uniform(0.3, 1)))
    return image
