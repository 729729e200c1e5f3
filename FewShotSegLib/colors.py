"""Default colours of labels: the same value always gets the same colour."""

from __future__ import annotations

Color = tuple[float, float, float]
"""Red, green and blue, each in 0..1."""

# Neighbours in the list differ clearly in hue, since small label values are what people use.
_PALETTE: tuple[Color, ...] = (
    (0.86, 0.24, 0.20),
    (0.26, 0.60, 0.86),
    (0.95, 0.76, 0.20),
    (0.36, 0.70, 0.36),
    (0.62, 0.38, 0.78),
    (0.95, 0.52, 0.18),
    (0.24, 0.76, 0.72),
    (0.90, 0.48, 0.68),
    (0.58, 0.44, 0.30),
    (0.66, 0.82, 0.32),
    (0.34, 0.40, 0.74),
    (0.80, 0.80, 0.72),
)


def default_color(value: int) -> Color:
    """Colour of a label without one of its own.

    Args:
        value: Label value, 1 or more.

    Returns:
        Red, green, blue in 0..1; repeats after 12 values.
    """
    return _PALETTE[(value - 1) % len(_PALETTE)]
