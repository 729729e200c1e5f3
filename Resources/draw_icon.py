"""Draws the module's icon: slices of a volume, two of them painted, and the solid that comes of it.

    python Resources/draw_icon.py              writes FewShotSeg/Resources/Icons/FewShotSeg.png, 128x128
    python Resources/draw_icon.py some.png 32  writes another file, another size

Needs pillow, which comes with the package's "test" and "evaluation" extras.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ICON = Path(__file__).resolve().parents[1] / "FewShotSeg" / "Resources" / "Icons" / "FewShotSeg.png"
SIZE = 128
#: Everything is drawn so many times larger than on a canvas of 128 and then averaged.
SCALE = 12

#: From the feet up: height of a slice on the canvas, and center, half width and half height of the structure on it.
SLICES = ((100.0, 57.0, 18.0, 7.5), (65.0, 67.0, 33.0, 13.0), (30.0, 60.0, 24.0, 9.5))
PAINTED = (0, 2)
CENTER = 64.0
HALF_WIDTH, HALF_HEIGHT = 61.0, 24.0

PLATE, PLATE_EDGE = (44, 90, 138), (150, 196, 232)
PLATE_OPACITY = 0.72
SOLID_DARK, SOLID_LIGHT = (205, 78, 8), (255, 176, 72)
CUT, CUT_EDGE = (255, 205, 110), (255, 255, 255)


def draw_icon(size: int = SIZE) -> Image.Image:
    """The icon with a transparent background."""
    canvas = Image.new("RGBA", (128 * SCALE, 128 * SCALE))
    # Upwards, so that what is nearer to the viewer covers what is behind it.
    for number, (height, center, across, along) in enumerate(SLICES):
        _draw_plate(canvas, height)
        if number in PAINTED:  # bright, with an outline
            _draw_ellipse(canvas, (height, center, across + 3.0, along + 3.0), CUT_EDGE)
            _draw_ellipse(canvas, (height, center, across, along), CUT)
        if number + 1 < len(SLICES):
            _draw_solid(canvas, number)
    return canvas.resize((size, size), Image.Resampling.BOX if size >= SIZE else Image.Resampling.LANCZOS)


def _draw_plate(canvas: Image.Image, height: float) -> None:
    """A slice of the volume, seen from above."""
    corners = [
        (CENTER - HALF_WIDTH, height),
        (CENTER, height - HALF_HEIGHT),
        (CENTER + HALF_WIDTH, height),
        (CENTER, height + HALF_HEIGHT),
    ]
    layer = Image.new("RGBA", canvas.size)
    pen = ImageDraw.Draw(layer)
    points = [(x * SCALE, y * SCALE) for x, y in corners]
    pen.polygon(points, fill=(*PLATE, int(255 * PLATE_OPACITY)))
    pen.line([*points, points[0], points[1]], fill=(*PLATE_EDGE, 255), width=int(2.4 * SCALE), joint="curve")
    canvas.alpha_composite(layer)


def _draw_ellipse(canvas: Image.Image, ellipse: tuple[float, float, float, float], color: tuple[int, int, int]) -> None:
    layer = Image.new("RGBA", canvas.size)
    ImageDraw.Draw(layer).ellipse(_box(*ellipse), fill=(*color, 255))
    canvas.alpha_composite(layer)


def _box(height: float, center: float, across: float, along: float) -> list[float]:
    corners = (center - across, height - along, center + across, height + along)
    return [coordinate * SCALE for coordinate in corners]


def _draw_solid(canvas: Image.Image, number: int) -> None:
    """The structure between a slice and the next one above it, lit from the left."""
    layer = Image.new("RGBA", canvas.size)
    pen = ImageDraw.Draw(layer)
    below, above = np.array(SLICES[number]), np.array(SLICES[number + 1])
    for share in np.linspace(0, 1, int((below[0] - above[0]) * SCALE)):
        # Smooth where the slices are, so that the outline has no corners there; the height alone is even.
        weights = np.full(4, share * share * (3 - 2 * share))
        weights[0] = share
        pen.ellipse(_box(*(below + (above - below) * weights)), fill=(255, 255, 255, 255))
    silhouette = layer.getchannel("A")
    columns = (np.arange(canvas.width) / SCALE - CENTER) / max(below[2], above[2])
    light = np.clip(1 - np.abs(columns + 0.35) / 1.2, 0, 1)[:, None]
    shade = np.asarray(SOLID_DARK) + light * (np.asarray(SOLID_LIGHT) - np.asarray(SOLID_DARK))
    colored = np.broadcast_to(shade.astype(np.uint8), (canvas.height, canvas.width, 3))
    solid = Image.fromarray(np.ascontiguousarray(colored)).convert("RGBA")
    solid.putalpha(silhouette)
    canvas.alpha_composite(solid)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ICON
    target.parent.mkdir(parents=True, exist_ok=True)
    draw_icon(int(sys.argv[2]) if len(sys.argv) > 2 else SIZE).save(target, optimize=True)
