"""Draws the sample scan's thumbnails for Slicer's Sample Data module: the scan alone, and with its organs.

    python Resources/draw_thumbnails.py

Writes AbdomenCT.png and AbdomenCTOrgans.png into FewShotSeg/Resources/Icons. Needs the package with its "test" or
"evaluation" extra (pillow).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from FewShotSegLib.demo.sample_scan import SOFT_TISSUE, SampleScan, load_sample_scan

ICONS = Path(__file__).resolve().parents[1] / "FewShotSeg" / "Resources" / "Icons"
#: Larger than the Sample Data module shows on common screens, so that it is never enlarged.
SIZE = (288, 192)
#: The coronal slice through both kidneys, liver and spleen.
CORONAL = 56
OPACITY = 0.55
STRUCTURES = ("liver", "spleen", "right kidney", "left kidney", "stomach", "aorta")


def draw_thumbnail(scan: SampleScan, with_organs: bool) -> Image.Image:
    """One coronal slice, seen from the front, on black."""
    # Array axes are k, j, i; the head comes on top.
    values = scan.image.array[::-1, CORONAL, :].astype(float)
    low, high = SOFT_TISSUE
    gray = np.clip((values - low) / (high - low), 0, 1)
    picture = np.repeat(255 * gray[..., None], 3, axis=2)
    if with_organs:
        labels = scan.labels.array[::-1, CORONAL, :]
        for value, color in scan.labels.colors.items():
            painted = labels == value
            picture[painted] = (1 - OPACITY) * picture[painted] + OPACITY * 255 * np.asarray(color)
    slice_image = Image.fromarray(picture.astype(np.uint8))
    scale = min(SIZE[0] / slice_image.width, SIZE[1] / slice_image.height)
    slice_image = slice_image.resize(
        (round(slice_image.width * scale), round(slice_image.height * scale)), Image.Resampling.BICUBIC
    )
    canvas = Image.new("RGB", SIZE)
    canvas.paste(slice_image, ((SIZE[0] - slice_image.width) // 2, (SIZE[1] - slice_image.height) // 2))
    return canvas


if __name__ == "__main__":
    sample = load_sample_scan(STRUCTURES)
    ICONS.mkdir(parents=True, exist_ok=True)
    draw_thumbnail(sample, with_organs=False).save(ICONS / "AbdomenCT.png", optimize=True)
    draw_thumbnail(sample, with_organs=True).save(ICONS / "AbdomenCTOrgans.png", optimize=True)
