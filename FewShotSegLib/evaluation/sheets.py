"""Picture sheets: the worst and the median episode of a method, slice by slice with the reference's outline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from FewShotSegLib.evaluation.measures import bounding_box
from FewShotSegLib.evaluation.report import mean_dice
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import Record
from FewShotSegLib.evaluation.runner import CaseStore
from FewShotSegLib.evaluation.schedule import Task

COLUMNS, ROWS = 5, 2
MARGIN = 25
COLORS = ("#ff6b6b", "#4dabf7", "#69db7c", "#ffd43b", "#b197fc", "#ffa94d", "#38d9a9", "#f783ac", "#a9e34b", "#74c0fc",
          "#e599f7", "#c0eb75", "#ffc9c9")  # fmt: skip


def draw_sheets(
    tasks: Mapping[str, Task], records: Iterable[Record], method: str, store: CaseStore, kept: Path, folder: Path
) -> list[Path]:
    """Draws the worst and the median episode of each set and protocol.

    Args:
        tasks: By key.
        records: Finished episodes.
        method: Whose episodes are drawn.
        store: Where images and references come from.
        kept: Folder of the labelmaps that were kept; an episode without one is passed over for its neighbour.
        folder: Where the PNG files go.

    Returns:
        The files.
    """
    scored = [(record, value) for record in records if record["method"] == method
              and record["key"] in tasks and (value := mean_dice(record)) is not None
              and (kept / tasks[record["key"]].file_name).is_file()]  # fmt: skip
    scored.sort(key=lambda pair: (pair[0]["dataset"], pair[0]["protocol"], pair[1]))
    files = []
    for (dataset, protocol), pairs in groupby(scored, key=lambda pair: (pair[0]["dataset"], pair[0]["protocol"])):
        members = list(pairs)
        chosen = {"worst": members[0], "median": members[(len(members) - 1) // 2]}
        for which, (record, value) in chosen.items():
            task = tasks[record["key"]]
            with np.load(kept / task.file_name) as stored:
                found = stored["labels"]
            image, label = store.case(dataset, record["query"])
            path = folder / f"sheet_{dataset}_{protocol}_{which}.png"
            names = {int(number): entry["name"] for number, entry in record["labels"].items()}
            reference = np.where(np.isin(label.array, task.episode.labels), label.array, 0)
            title = f"{dataset} {protocol} {record['episode']}: {method}, {which} case, Dice {value:.3f}"
            slices = slices_to_show(reference, found, task.episode.scored)
            draw_sheet(image.array, reference, found, slices, names, title, path)
            files.append(path)
    return files


def slices_to_show(reference: np.ndarray, found: np.ndarray, scored: Sequence[int]) -> list[int]:
    """Scored slices, evenly spread over those that hold anything; at most as many as a sheet has places."""
    held = [k for k in scored if reference[k].any() or found[k].any()] or list(scored)
    count = min(COLUMNS * ROWS, len(held))
    return [held[(2 * n + 1) * len(held) // (2 * count)] for n in range(count)]


def draw_sheet(
    image: np.ndarray,
    reference: np.ndarray,
    found: np.ndarray,
    slices: Sequence[int],
    names: Mapping[int, str],
    title: str,
    path: Path,
) -> None:
    """Draws slices, the result filled, the reference as a white line.

    Args:
        image: Intensities (k, j, i).
        reference: Labels (k, j, i).
        found: Labels (k, j, i) of the method.
        slices: Which to draw.
        names: Label value to name.
        title: First line.
        path: PNG to write.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError as error:
        raise MissingPackageError("matplotlib", "Drawing picture sheets") from error

    rows = -(-len(slices) // COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 2.7 * rows + 0.9), dpi=90, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    shown = (reference > 0) | (found > 0)
    box = bounding_box(shown, (0, MARGIN, MARGIN))[1:] if shown.any() else (slice(None), slice(None))
    low, high = np.percentile(image[slices], [1, 99])
    colors = {value: COLORS[n % len(COLORS)] for n, value in enumerate(sorted(names))}
    for panel in axes:
        panel.set_axis_off()
    for panel, k in zip(axes, slices, strict=False):
        panel.imshow(image[k][box], cmap="gray", vmin=low, vmax=max(high, low + 1))
        for value, color in colors.items():
            for mask, style in ((found[k][box] == value, "fill"), (reference[k][box] == value, "line")):
                if not mask.any():
                    continue
                padded = np.pad(mask, 1).astype(float)
                grid = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
                if style == "fill":
                    panel.contourf(*grid, padded, levels=[0.5, 1.5], colors=[color], alpha=0.5)
                else:
                    panel.contour(*grid, padded, levels=[0.5], colors=["white"], linewidths=0.9)
        panel.set_title(f"slice {k}", fontsize=8)
    figure.suptitle(f"{title}\nfilled: result    white line: reference", fontsize=10)
    chips = [Patch(color=colors[value], label=name) for value, name in sorted(names.items())]
    figure.legend(handles=chips, loc="outside lower center", ncols=7, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
