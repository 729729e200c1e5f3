"""How a slice gets painted from its reference: whole areas, strokes, or outlines as hands draw them.

All of it follows by rule from the reference labels and a seed, so that manifests need no list of pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, gaussian_filter

from FewShotSegLib.evaluation.episodes import AREAS
from FewShotSegLib.example import Example

STROKES, HANDS = "strokes", "hands"
BRUSHES = (AREAS, STROKES, HANDS)

SMALLEST_PIECE = 20
"""Pixels; who paints strokes leaves out smaller connected pieces of a cross-section."""
BACKGROUND_AT = 8.0
"""Distance in pixels of the background's stroke from the structures."""
HALF_WIDTH = 1.5
"""Half of a stroke's width, in pixels."""
HAND_DEVIATION = 1.5
"""Standard deviation in pixels of an outline that a hand draws."""
HAND_CORRELATION = 1.5
"""Standard deviation in pixels of the Gaussian that smooths an outline's noise."""


@dataclass(frozen=True, eq=False)
class Strokes(Example):
    """A slice of which only the painted pixels are known: those of the mask, and those of "none of the structures".

    Where a method reads it as any other example, everything without a stroke is background.

    Attributes:
        elsewhere: Bool array of the mask's shape: strokes of background.
    """

    elsewhere: np.ndarray = field(kw_only=True)

    @property
    def known(self) -> np.ndarray:
        """Bool array of the mask's shape: what is painted, structures and background."""
        return (self.mask > 0) | self.elsewhere


def paint(example: Example, brush: str, seed: str) -> Example:
    """Paints an example again.

    Args:
        example: Completely painted.
        brush: One of `BRUSHES`.
        seed: Of the hand; the slice and the label are added.

    Raises:
        KeyError: There is no such brush.
    """
    if brush == AREAS:
        return example
    given: dict[str, Any] = {
        "image": example.image, "axis": example.axis, "index": example.index,
        "names": example.names, "colors": example.colors,
    }  # fmt: skip
    if brush == STROKES:
        mask, elsewhere = strokes(example.mask)
        return Strokes(mask=mask, elsewhere=elsewhere, **given)
    if brush == HANDS:
        return Example(mask=drawn_by_hand(example.mask, f"{seed}/{example.axis}/{example.index}"), **given)
    raise KeyError(f"Unknown brush {brush!r}; known are {', '.join(BRUSHES)}.")


def strokes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A centre line in each piece of each label, and a closed line of background around all of them.

    Args:
        labels: Labels of a slice, 2D.

    Returns:
        The strokes' labels, int32, 0 without a stroke: of each connected piece of `SMALLEST_PIECE` pixels or more its
        skeleton, 3 pixels wide and clipped to the piece; and the background's stroke, bool: 3 pixels wide, where the
        distance to the labelled pixels, holes filled, is `BACKGROUND_AT`. Both of the same shape.
    """
    from skimage.measure import label as pieces_of
    from skimage.morphology import skeletonize

    painted = np.zeros(labels.shape, np.int32)
    for value in np.unique(labels[labels > 0]):
        pieces = pieces_of(labels == value, connectivity=2)
        for number in range(1, int(pieces.max()) + 1):
            piece = pieces == number
            if piece.sum() >= SMALLEST_PIECE:
                painted[binary_dilation(skeletonize(piece), np.ones((3, 3), bool)) & piece] = value
    if not painted.any():
        return painted, np.zeros(labels.shape, bool)
    distance = distance_transform_edt(~binary_fill_holes(labels > 0))
    return painted, np.abs(distance - BACKGROUND_AT) <= HALF_WIDTH


def drawn_by_hand(labels: np.ndarray, seed: str) -> np.ndarray:
    """Labels whose outlines waver: smooth noise is added to each label's signed distance.

    Args:
        labels: Labels of a slice, 2D.
        seed: Together with the label it decides the noise.

    Returns:
        Labels of the same shape, int32. Where two reach each other, the one that lies deeper inside wins.
    """
    drawn = np.zeros(labels.shape, np.int32)
    deepest = np.zeros(labels.shape)
    for value in np.unique(labels[labels > 0]):
        mask = labels == value
        # Half a pixel less on both sides: the outline lies between pixels.
        distance = distance_transform_edt(mask) - distance_transform_edt(~mask) + np.where(mask, -0.5, 0.5)
        depth = distance + _smooth_noise(labels.shape, f"{seed}/{value}")
        inside = depth > deepest
        drawn[inside], deepest[inside] = value, depth[inside]
    return drawn


def _smooth_noise(shape: tuple[int, ...], seed: str) -> np.ndarray:
    digest = hashlib.sha256(seed.encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    noise = gaussian_filter(rng.standard_normal(shape), HAND_CORRELATION, mode="wrap")
    return noise * (HAND_DEVIATION / noise.std())


def painting_checksum(examples: list[Example]) -> str:
    """Sixteen digits that change when any painted pixel does."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example.axis}/{example.index}/{example.mask.shape}".encode())
        digest.update(np.ascontiguousarray(example.mask, "<i4").tobytes())
        if isinstance(example, Strokes):
            digest.update(np.packbits(example.elsewhere).tobytes())
    return digest.hexdigest()[:16]
