"""The demo's steps: examples from a few slices, segmentation, yardsticks, scores, files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from FewShotSegLib.demo.picture import PictureContent, draw_picture
from FewShotSegLib.demo.sample_scan import SOFT_TISSUE, SampleScan
from FewShotSegLib.demo.scores import NOT_ACCURACY, MethodScores, as_json, as_table, score_answer
from FewShotSegLib.demo.yardsticks import timed, yardstick_answers
from FewShotSegLib.evaluation.slice_rules import slices_with_label, within_volume_slices
from FewShotSegLib.example import Example
from FewShotSegLib.quality import BEST, FAST
from FewShotSegLib.result import Result
from FewShotSegLib.volume import Volume

Progress = Callable[[str, int, int], None]


class Segments(Protocol):
    """What the demo needs of a `Segmenter`."""

    def segment(
        self, query: Volume, examples: Sequence[Example], progress: Progress | None = None, *, quality: str
    ) -> Result:
        """Segment the query from the examples."""


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo found.

    Attributes:
        painted: Indices of the slices given as examples.
        result: The segmentation and its confidence, in the quality "best".
        methods: Scores, FewShotSeg's first: "best", then "fast".
        names: Label value to name.
    """

    painted: list[int]
    result: Result
    methods: list[MethodScores]
    names: dict[int, str]

    @property
    def table(self) -> str:
        """The scores as Markdown."""
        return as_table(self.methods, self.names)


def run_demo(scan: SampleScan, segmenter: Segments, slice_count: int, progress: Progress | None = None) -> DemoOutcome:
    """Segment a scan from evenly spread slices of its labels and score it beside plain yardsticks.

    Args:
        scan: Image and labels; only the painted slices of the labels reach the methods.
        segmenter: The engine.
        slice_count: How many slices are painted.
        progress: Called with stage, done and total while the engine works.
    """
    image, reference = scan.image, scan.labels
    painted = within_volume_slices(slices_with_label(reference.array), slice_count)
    examples = Example.from_labelmap(image, reference, slices=painted, axis=0, names=reference.names)
    results: dict[str, Result] = {}

    def segment(quality: str) -> np.ndarray:
        results[quality] = segmenter.segment(image, examples, progress=progress, quality=quality)
        return results[quality].labelmap.array

    # "fast" first: what "best" keeps of the volume would save it time.
    fast, best = (timed(f"FewShotSeg, {quality}", partial(segment, quality)) for quality in (FAST, BEST))
    answers = [best, fast, *yardstick_answers(image, examples)]
    methods = [score_answer(answer, reference, painted) for answer in answers]
    return DemoOutcome(painted, results[BEST], methods, dict(reference.names))


def write_outcome(outcome: DemoOutcome, scan: SampleScan, folder: Path, device: str) -> list[Path]:
    """Write segmentation, confidence, scores and picture.

    Returns:
        The files, in the order in which a person would look at them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, segmentation = folder / "picture.png", folder / "segmentation.seg.nrrd"
    confidence, report, figures = folder / "confidence.nii.gz", folder / "scores.md", folder / "scores.json"
    outcome.result.labelmap.write(segmentation)
    outcome.result.confidence.write(confidence)
    report.write_text(_report(outcome, scan), encoding="utf-8")
    data = as_json(outcome.methods, outcome.names, outcome.painted)
    figures.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    draw_picture(_picture_content(outcome, scan, device), picture)
    return [picture, segmentation, confidence, report, figures]


def _report(outcome: DemoOutcome, scan: SampleScan) -> str:
    slices = ", ".join(map(str, outcome.painted))
    return (
        f"# Scores of the demo\n\nSample scan, {scan.image.shape[0]} axial slices; painted: {slices}. "
        f"Scored on all other slices.\n\n{outcome.table}\n\n{NOT_ACCURACY}\n"
    )


def _picture_content(outcome: DemoOutcome, scan: SampleScan, device: str) -> PictureContent:
    ours = outcome.methods[0]
    extent = f"{len(outcome.names)} structures in {scan.image.shape[0]} slices from {len(outcome.painted)} painted ones"
    return PictureContent(
        image=scan.image.array,
        segmentation=outcome.result.labelmap.array,
        reference=scan.labels.array,
        confidence=outcome.result.confidence.array,
        spacing=scan.image.spacing,
        painted=outcome.painted,
        names=outcome.names,
        colors=scan.labels.colors,
        window=SOFT_TISSUE,
        dice={value: score.dice for value, score in ours.scores.items() if score.dice is not None},
        title=f"{extent}, {ours.seconds:.0f} s on {device.upper()}",
        note=NOT_ACCURACY,
    )
