"""A small real case for runs, and what tests of runs do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nodes import add_segmentation, add_volume

from FewShotSegLib.demo.sample_scan import SampleScan

PAINTED = (1, 4)
_LONGEST_S = 120.0


class Case:
    """Six slices of the sample scan, two of them painted."""

    def __init__(self, slicer: Any, scan: SampleScan) -> None:
        part = (slice(72, 84, 2), slice(0, None, 2), slice(0, None, 2))
        values = {name: value for value, name in scan.labels.names.items()}
        self.array = scan.image.array[part]
        self.truth = {name: scan.labels.array[part] == values[name] for name in ("liver", "left kidney")}
        to_ras = np.diag([-2, -2, 2, 1]) @ np.diag([*scan.image.spacing, 1.0])
        self.volume = add_volume(slicer, "CT", self.array, to_ras)
        self.painted = np.zeros(self.array.shape, bool)
        self.painted[list(PAINTED)] = True
        masks = {name: mask & self.painted for name, mask in self.truth.items()}
        self.segmentation = add_segmentation(slicer, self.volume, masks)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


def poll_until(run: Any, condition: Callable[[], object]) -> None:
    end = time.monotonic() + _LONGEST_S
    while not condition():
        assert time.monotonic() < end, "the run took too long"
        run.poll()
        time.sleep(0.01)


def start(logic: Any, case: Case, stages: list[str], **more: Any) -> Any:
    return logic.segmentFromExamples(
        case.volume,
        case.segmentation,
        device="cpu",
        wait=False,
        onProgress=lambda stage, done, total, left: stages.append(stage),
        quality="best",
        **more,
    )
