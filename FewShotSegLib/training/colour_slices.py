"""Sets of independent 2D slices with colour masks, stacked to one array per set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SLICE_SIZE = 256
# The masks show other levels of the knee than the images of the same name: only the images are of use.
MISALIGNED = {"KneeBones3Dify"}
# Healthy and diseased kidneys have colours of their own, never in one slice: both are kidneys.
ONE_STRUCTURE = {"Kidney-Disease-T2W"}
SMALLEST_COLOUR_SHARE = 0.004
SMALLEST_SPOT = 6


def find_slice_sets(data_dir: Path) -> list[Path]:
    """Return the folders that hold `images/` and `masks/` of one set each."""
    return sorted(path.parent for path in (data_dir / "open" / "slices_2d").rglob("masks") if path.is_dir())


def slice_set_name(folder: Path, data_dir: Path) -> str:
    """Return the name of a set: its folder directly below slices_2d."""
    return folder.relative_to(data_dir / "open" / "slices_2d").parts[0]


def read_slice_set(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read all pairs of a set.

    Returns:
        Luminance float32 (k, j, i), labels uint8 (k, j, i) whose values mean the same colour in every slice, and the
        patient or file each slice comes from.
    """
    parts = set(folder.parts)
    masks = sorted((folder / "masks").glob("*.png"))
    images = [folder / "images" / path.name for path in masks]
    luminance = np.stack([_padded(np.asarray(Image.open(path).convert("L"), np.float32)) for path in images])
    colours = np.stack([_padded(np.asarray(Image.open(path).convert("RGB"), np.int16)) for path in masks])
    labels = snap_colours(colours, find_palette(colours))
    if parts & MISALIGNED:
        labels[:] = 0
    elif parts & ONE_STRUCTURE:
        labels = np.minimum(labels, 1)
    subjects = [re.sub(r"^barrdistorted_\d+_[\d.]+_[\d.]+_", "", path.stem).split("_")[0] for path in masks]
    return luminance, labels, subjects


def find_palette(colours: np.ndarray) -> np.ndarray:
    """Return the colours that fill areas, (n, 3), background black first.

    Blurred mask borders hold hundreds of mixed colours, but those rarely equal both neighbours.

    Args:
        colours: (k, j, i, 3) in 0..255.
    """
    centre = colours[:, 1:-1, 1:-1]
    flat = np.ones(centre.shape[:3], bool)
    for shifted in (colours[:, :-2, 1:-1], colours[:, 2:, 1:-1], colours[:, 1:-1, :-2], colours[:, 1:-1, 2:]):
        flat &= (shifted == centre).all(axis=-1)
    flat &= centre.any(axis=-1)
    found, counts = np.unique(centre[flat], axis=0, return_counts=True)
    strong = found[counts >= SMALLEST_COLOUR_SHARE * max(counts.sum(), 1)]
    return np.concatenate([np.zeros((1, 3), colours.dtype), strong])


def snap_colours(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the index of the nearest palette colour, uint8 (k, j, i), without the specks that borders leave."""
    nearest = np.zeros(colours.shape[:3], np.uint8)
    best = np.full(colours.shape[:3], np.inf)
    for index, colour in enumerate(palette):
        distance = ((colours.astype(np.int32) - colour) ** 2).sum(axis=-1)
        nearest[distance < best] = index
        best = np.minimum(best, distance)
    for plane in nearest:
        for index in range(1, len(palette)):
            spots, count = ndimage.label(plane == index)
            if count:
                sizes = np.bincount(spots.ravel())
                sizes[0] = SMALLEST_SPOT
                plane[(sizes < SMALLEST_SPOT)[spots]] = 0
    return nearest


def _padded(plane: np.ndarray) -> np.ndarray:
    """Return the plane at exactly SLICE_SIZE, padded with zeros at the far ends."""
    plane = plane[:SLICE_SIZE, :SLICE_SIZE]
    padding = [(0, SLICE_SIZE - size) for size in plane.shape[:2]] + [(0, 0)] * (plane.ndim - 2)
    return np.pad(plane, padding)
