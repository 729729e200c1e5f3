"""The demo's steps, with a stand-in for the engine where its quality doesn't matter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from FewShotSegLib.demo import run, yardsticks
from FewShotSegLib.demo.__main__ import main
from FewShotSegLib.demo.picture import slices_to_show
from FewShotSegLib.demo.run import DemoOutcome, run_demo, write_outcome
from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.demo.scores import NOT_ACCURACY, MethodScores, Score, as_table
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.example import Example
from FewShotSegLib.result import Result
from FewShotSegLib.volume import Volume

OURS = ["FewShotSeg, best", "FewShotSeg, fast"]
FILES = ["picture.png", "segmentation.seg.nrrd", "confidence.nii.gz", "scores.md", "scores.json"]


class AlmostRight:
    """Answers with a given labelmap moved by one voxel, except on the painted slices."""

    def __init__(self, labels: Volume) -> None:
        self._labels = labels
        self.examples: Sequence[Example] = []

    def segment(
        self,
        query: Volume,
        examples: Sequence[Example],
        progress: Callable[[str, int, int], None] | None = None,
        *,
        quality: str,
    ) -> Result:
        self.examples = examples
        answer = np.roll(self._labels.array, 1, axis=2)
        confidence = np.where(answer == self._labels.array, 0.97, 0.6).astype(np.float32)
        for example in examples:
            answer[example.index], confidence[example.index] = example.mask, 1.0
        if progress:
            progress("segmenting", 1, 1)
        labelmap = query.with_array(answer, names=examples[0].names, colors=examples[0].colors)
        return Result(labelmap, query.with_array(confidence))


@pytest.fixture(scope="module")
def an_outcome(sample_scan: SampleScan) -> DemoOutcome:
    return run_demo(sample_scan, AlmostRight(sample_scan.labels), slice_count=5)


@pytest.fixture(scope="module")
def written_files(an_outcome: DemoOutcome, sample_scan: SampleScan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert [file.name for file in write_outcome(an_outcome, sample_scan, folder, "cpu")] == FILES
    return folder


def test_every_structure_is_painted_on_at_least_two_of_the_slices(
    an_outcome: DemoOutcome, sample_scan: SampleScan
) -> None:
    assert len(an_outcome.painted) == 5
    for value, name in sample_scan.labels.names.items():
        painted = [k for k in an_outcome.painted if (sample_scan.labels.array[k] == value).any()]
        assert len(painted) >= 2, name


@pytest.mark.parametrize("count", [3, 4])
def test_fewer_slices_can_be_painted(sample_scan: SampleScan, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "yardstick_answers", lambda image, examples: [])  # they take most of the time
    engine = AlmostRight(sample_scan.labels)
    outcome = run_demo(sample_scan, engine, slice_count=count)
    assert [example.index for example in engine.examples] == outcome.painted
    assert len(outcome.painted) == count


def test_painted_slices_do_not_count_in_the_scores(an_outcome: DemoOutcome, sample_scan: SampleScan) -> None:
    liver = 1
    unpainted = np.delete(np.arange(112), an_outcome.painted)
    truth, moved = (a[unpainted] == liver for a in (sample_scan.labels.array, np.roll(sample_scan.labels.array, 1, 2)))
    expected = 2 * (truth & moved).sum() / (truth.sum() + moved.sum())
    assert an_outcome.methods[0].scores[liver].dice == pytest.approx(expected)


def test_surface_distances_are_in_millimetres(an_outcome: DemoOutcome) -> None:
    # Everything was moved by one voxel of 3 mm.
    for score in an_outcome.methods[0].scores.values():
        assert score.hd95 == pytest.approx(3.0)


def test_the_nearest_painted_slice_stands_beside_the_result(an_outcome: DemoOutcome) -> None:
    assert [method.method for method in an_outcome.methods[:3]] == [*OURS, "Nearest slice"]
    mean = an_outcome.methods[2].mean
    assert mean.dice is not None
    assert 0.5 < mean.dice < 0.9


def test_slicers_fillers_stand_beside_the_result_where_installed(an_outcome: DemoOutcome) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    assert [method.method for method in an_outcome.methods[3:]] == ["Fill between slices", "Grow from seeds"]


def test_without_slicer_core_the_demo_still_runs(sample_scan: SampleScan, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def prepare(self) -> None:
            raise MissingPackageError("slicer-core", "This yardstick")

    monkeypatch.setattr(yardsticks, "PEERS", {**yardsticks.PEERS, "fill": Missing, "grow": Missing})
    outcome = run_demo(sample_scan, AlmostRight(sample_scan.labels), slice_count=3)
    assert [method.method for method in outcome.methods] == [*OURS, "Nearest slice"]


def test_the_segmentation_keeps_names_and_colours(written_files: Path, sample_scan: SampleScan) -> None:
    labelmap = Volume.read(written_files / "segmentation.seg.nrrd")
    assert set(labelmap.names.values()) == set(sample_scan.labels.names.values())
    assert labelmap.same_grid(sample_scan.image)
    for value, color in sample_scan.labels.colors.items():
        assert labelmap.colors[value] == pytest.approx(color, abs=0.01)


def test_the_confidence_lies_on_the_scans_grid(written_files: Path, sample_scan: SampleScan) -> None:
    confidence = Volume.read(written_files / "confidence.nii.gz")
    assert confidence.same_grid(sample_scan.image)
    assert 0 <= confidence.array.min() <= confidence.array.max() <= 1


def test_the_report_says_that_agreement_is_not_accuracy(written_files: Path) -> None:
    text = (written_files / "scores.md").read_text(encoding="utf-8")
    assert NOT_ACCURACY in text
    for name in ("liver", "aorta", "mean", "seconds per structure"):
        assert f"| {name} " in text


def test_the_figures_are_there_for_programs_too(written_files: Path, an_outcome: DemoOutcome) -> None:
    data = json.loads((written_files / "scores.json").read_text(encoding="utf-8"))
    assert data["painted_slices"] == an_outcome.painted
    assert data["methods"][0]["structures"]["liver"]["dice"] == an_outcome.methods[0].scores[1].dice
    assert data["methods"][0]["seconds"] > 0


def test_the_picture_is_large_dark_and_shows_the_structures_colours(
    written_files: Path, sample_scan: SampleScan
) -> None:
    picture = imread(written_files / "picture.png")[..., :3]
    height, width = picture.shape[:2]
    assert width > 1600
    assert height > 500
    assert np.median(picture) < 0.2
    for color in sample_scan.labels.colors.values():  # the chips of the legend
        assert (np.abs(picture - np.array(color)).max(axis=-1) < 0.01).sum() > 200


def test_the_picture_shows_mostly_slices_that_were_computed() -> None:
    assert slices_to_show([10, 20, 30, 40, 50]) == [15, 25, 30, 35, 45]
    assert slices_to_show([10, 20, 30]) == [15, 20, 25]
    assert slices_to_show([7]) == [7]
    assert len(slices_to_show(range(0, 100, 10))) == 5


def test_a_structure_that_cannot_be_measured_has_a_dash_in_the_table() -> None:
    methods = [MethodScores("one", 1.0, {1: Score(0.5, 2.0), 2: Score(None, None)})]
    rows = as_table(methods, {1: "seen", 2: "unseen"}).splitlines()
    assert re.search(r"\| unseen +\| +– / +– \|", rows[3])
    assert re.search(r"\| mean +\| 0\.500 / +2\.0 \|", rows[4])
    assert len({len(row) for row in rows}) == 1


def test_an_error_of_the_engine_is_a_message_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("FewShotSegLib.segmenter")
    assert main(["--device", "cuda:99", "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("demo: ")
    assert not (tmp_path / "out").exists()


def test_the_demo_needs_the_engine_only_through_its_public_interface() -> None:
    text = Path(run.__file__).read_text(encoding="utf-8")
    assert "network" not in text
