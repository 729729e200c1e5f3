"""Learning curves of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .trainer import LOG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN_LOSSES = ("cross_entropy", "coarse", "matching", "mean_prototypes", "peak_prototypes", "interaction")


def draw_curves(run: Path, smoothing: int = 9) -> Path:
    """Draws Dice and losses of a run's log over its episodes.

    Args:
        run: folder with the log.
        smoothing: width of the moving average, in log lines.

    Returns:
        the picture, `curves.png` in the run's folder.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    figure, (dice, losses) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, label in (("within", "within a volume (with evidence)"), ("across", "across slices and volumes")):
        _draw(dice, lines, name, label, smoothing)
    dice.set(title="Dice of training episodes", xlabel="episodes (thousands)", ylim=(0, 1))
    for name in _SHOWN_LOSSES:
        _draw(losses, lines, name, name.replace("_", " "), smoothing)
    losses.set(title="Losses (weighted as trained)", xlabel="episodes (thousands)", yscale="log")
    for axes in (dice, losses):
        axes.grid(alpha=0.25)
        if axes.lines:
            axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    path = run / "curves.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _draw(axes: Axes, lines: list[dict], name: str, label: str, smoothing: int) -> None:
    points = [(line["episodes"] / 1000, line[name]) for line in lines if name in line]
    if len(points) < 2:
        return
    x, y = np.array(points).T
    (line,) = axes.plot(x, y, alpha=0.2, linewidth=1)
    width = min(smoothing, len(y))
    mean = np.convolve(y, np.ones(width) / width, mode="valid")
    offset = (width - 1) // 2
    axes.plot(x[offset : offset + len(mean)], mean, color=line.get_color(), label=label)
