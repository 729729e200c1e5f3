"""What speed is measured on: cases of the data sets, and made-up volumes of any size with any number of segments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FewShotSegLib.evaluation.datasets import open_dataset
from FewShotSegLib.evaluation.slice_rules import slices_with_label, within_volume_slices
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

SHAPE, SEGMENTS, EXAMPLES = (40, 256, 256), 3, 3
"""The middle of the growth curves: every curve changes one of these."""
SET_EXAMPLES = 5
LARGE = (300, 512, 512)
GROWTH = {
    "slices": (20, 40, 80, 160),
    "side": (128, 256, 384, 512),
    "examples": (1, 3, 5, 10),
    "segments": (1, 3, 6, 12),
}


@dataclass(frozen=True)
class SpeedCase:
    """A volume with painted slices; the next result is asked for with one more.

    Attributes:
        name: Unique, for tables.
        examples: Painted slices of the first result, spread evenly over the labelled ones.
        dataset: Data set of a real case, "" for a made-up volume.
        case: Its case.
        shape: (k, j, i) of a made-up volume.
        segments: Labels of a made-up volume.
        curve: Which growth curve it belongs to, "" for none.
        at: Its place on the curve.
    """

    name: str
    examples: int
    dataset: str = ""
    case: str = ""
    shape: tuple[int, int, int] = SHAPE
    segments: int = SEGMENTS
    curve: str = ""
    at: int = 0


def growth_cases() -> list[SpeedCase]:
    """Made-up volumes for the four growth curves."""
    depth, side, _ = SHAPE
    cases = []
    for curve, values in GROWTH.items():
        for at in values:
            shape = (at, side, side) if curve == "slices" else (depth, at, at) if curve == "side" else SHAPE
            segments = at if curve == "segments" else SEGMENTS
            examples = at if curve == "examples" else EXAMPLES
            cases.append(SpeedCase(f"{curve} {at}", examples, shape=shape, segments=segments, curve=curve, at=at))
    return cases


def large_case() -> SpeedCase:
    """512 x 512 x 300 voxels with three segments, for memory."""
    return SpeedCase("large 512 x 512 x 300", EXAMPLES, shape=LARGE)


def load(case: SpeedCase, data: Path) -> tuple[Volume, list[Example], Example]:
    """The volume, the examples of the first result, and the one that is added for the next.

    Raises:
        ValueError: There is no labelled slice left for the next result.
        DatasetNotFoundError: The case isn't in the data folder.
    """
    if case.dataset:
        source = open_dataset(data, case.dataset)
        image, label = source.image(case.case), np.asarray(source.label(case.case).array)
    else:
        image, label = made_up(case.shape, case.segments)
    labelled = slices_with_label(label)
    painted = within_volume_slices(labelled, case.examples)
    left = [k for k in labelled if k not in painted]
    if not left:
        raise ValueError(f"{case.name} has no labelled slice left for one more example.")
    # The slice that a user would paint next: the one farthest from all that are painted.
    more = max(left, key=lambda k: (min(abs(k - p) for p in painted), -k))
    names = {int(value): f"label {value}" for value in np.unique(label[painted]) if value > 0}

    def example(index: int) -> Example:
        known = np.where(np.isin(label[index], list(names)), label[index], 0)
        return Example(image, 0, index, known, names)

    return image, [example(k) for k in painted], example(more)


def made_up(shape: tuple[int, int, int], segments: int) -> tuple[Volume, np.ndarray]:
    """A noisy int16 volume with ellipsoids side by side, one a segment, all reaching through most slices.

    Args:
        shape: (k, j, i).
        segments: Number of labels.

    Returns:
        The volume, 1 x 1 x 3 mm voxels, and its labels (k, j, i), uint8. Made slice by slice, so that hardly more
        memory is used than is given back.
    """
    depth, height, width = shape
    columns = int(np.ceil(np.sqrt(segments)))
    rows = -(-segments // columns)
    image, labels = np.empty(shape, np.int16), np.zeros(shape, np.uint8)
    j, i = np.ogrid[:height, :width]
    rng = np.random.default_rng(0)
    for k in range(depth):
        along = ((k + 0.5) / depth - 0.5) / 0.45
        plane = rng.normal(100, 10, (height, width))
        for segment in range(segments):
            row, column = divmod(segment, columns)
            down = (j - (row + 0.5) * height / rows) / (0.35 * height / rows)
            right = (i - (column + 0.5) * width / columns) / (0.35 * width / columns)
            inside = down**2 + right**2 + along**2 < 1
            labels[k][inside] = segment + 1
            plane[inside] += 40 + 25 * (segment % 5)
        image[k] = plane
    return Volume(image, spacing=(1.0, 1.0, 3.0)), labels
