"""A small volume with two structures, of which three slices are painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from FewShotSegLib.volume import Volume

SHAPE = (20, 48, 48)
SLICES = (5, 10, 14)
SPACING = (1.5, 1.5, 3.0)


def image_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Intensities as of a CT (k, j, i) int16, and the labels 1 and 2."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    image, labels = np.full(SHAPE, -1000.0), np.zeros(SHAPE, np.uint8)
    image[(j / 0.85) ** 2 + (i / 0.9) ** 2 < 1] = 40
    labels[(k / 0.75) ** 2 + ((j + 0.1) / 0.35) ** 2 + ((i - 0.3) / 0.3) ** 2 < 1] = 1
    labels[(k / 0.6) ** 2 + ((j - 0.15) / 0.25) ** 2 + ((i + 0.4) / 0.22) ** 2 < 1] = 2
    image[labels == 1], image[labels == 2] = 140, 80
    return (image + np.random.default_rng(0).normal(0, 10, SHAPE)).astype(np.int16), labels


IMAGE, LABELS = image_and_labels()
PAINTED = np.where(np.isin(np.arange(SHAPE[0]), SLICES)[:, None, None], LABELS, 0).astype(np.uint8)


def write(folder: Path) -> None:
    """Writes ct.nrrd and painted.nrrd."""
    volume = Volume.from_array(IMAGE, spacing=SPACING)
    volume.write(folder / "ct.nrrd")
    volume.with_array(PAINTED).write(folder / "painted.nrrd")


def accuracy(found: np.ndarray) -> float:
    """Mean Dice of both labels on the slices that are not painted."""
    free = [z for z in range(SHAPE[0]) if z not in SLICES]
    scores = []
    for value in (1, 2):
        a, b = found[free] == value, LABELS[free] == value
        scores.append(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))
    return float(np.mean(scores))
