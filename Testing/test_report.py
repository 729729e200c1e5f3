"""The report of a result: numbers true to spacing, what is doubtful first, a page that needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import Volume
from FewShotSegLib.cli import main
from FewShotSegLib.errors import GeometryError
from FewShotSegLib.report.measures import measure
from FewShotSegLib.report.page import report_page

NAMES = {1: "ball", 2: "<script>alert(1)</script>", 5: "nowhere"}


@pytest.fixture(scope="module")
def case() -> tuple[Volume, Volume, Volume]:
    """Image, labelmap of a ball of 20 mm radius and a box of 10 x 20 x 30 mm, and a confidence."""
    k, j, i = np.mgrid[:40, :60, :60]
    z, y, x = 2.0 * k, 1.0 * j, 1.0 * i
    labels = np.zeros(k.shape, np.uint8)
    labels[(z - 40) ** 2 + (y - 25) ** 2 + (x - 25) ** 2 < 400] = 1
    labels[25:30, 50:60, 30:50] = 2
    confidence = np.where(labels == 2, 0.5, 0.9).astype(np.float32)
    confidence[21][labels[21] == 1] = 0.6
    image = Volume.from_array((100.0 * labels).astype(np.float32), spacing=(1.0, 1.0, 2.0), name="a & b")
    return image, image.with_array(labels, names=NAMES), image.with_array(confidence)


def test_volumes_and_surfaces_are_those_of_the_bodies(case: tuple[Volume, Volume, Volume]) -> None:
    _, labelmap, confidence = case
    ball, box = (next(m for m in measure(labelmap, confidence, {1: 3}) if m.value == value) for value in (1, 2))
    assert ball.volume_ml == pytest.approx(4 / 3 * np.pi * 8, rel=0.01)
    assert ball.surface_cm2 == pytest.approx(4 * np.pi * 4, rel=0.05)
    assert box.volume_ml == pytest.approx(2.0)
    assert (ball.painted, box.painted) == (3, 0)
    assert ball.middle == 20
    assert ball.least_sure == 21
    assert box.confidence == pytest.approx(0.5)


def test_what_is_doubtful_comes_first_and_what_was_not_found_before_all(case: tuple[Volume, Volume, Volume]) -> None:
    _, labelmap, confidence = case
    measures = measure(labelmap, confidence, {})
    assert [m.value for m in measures] == [5, 2, 1]
    assert [m.is_doubtful for m in measures] == [True, True, False]
    with pytest.raises(GeometryError, match="confidence"):
        measure(labelmap, Volume.from_array(confidence.array[:5]), {})


def test_the_page_shows_each_structure_needs_no_other_file_and_runs_no_name(
    case: tuple[Volume, Volume, Volume],
) -> None:
    image, labelmap, confidence = case
    page = report_page(image, labelmap, measure(labelmap, confidence, {1: 2}))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b" in page
    assert not re.search(r'(src|href)="(?!data:image/png;base64,)', page)
    assert page.count("<figure>") == 3, "the middle slice of each, and the least sure one of the ball"
    assert page.index("nowhere") < page.index("ball")


def test_the_shell_writes_it_and_refuses_what_is_no_page_before_the_work(
    case: tuple[Volume, Volume, Volume], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labelmap, _ = case
    scan, painted, page = tmp_path / "scan.nrrd", tmp_path / "painted.nrrd", tmp_path / "page.html"
    image.write(scan)
    labelmap.with_array(labelmap.array, names={}).write(painted)
    command = ["segment", str(scan), "--example", str(scan), str(painted), "--slices", "18,22,27", "--output"]
    assert main([*command, str(tmp_path / "all.nrrd"), "--report", str(tmp_path / "page.pdf")]) == 1
    assert "expected .html" in capsys.readouterr().err
    assert not (tmp_path / "all.nrrd").exists()
    options = ["--names", "1=ball,2=box", "--report", str(page), "--quiet"]
    assert main([*command, str(tmp_path / "all.nrrd"), *options]) == 0
    said = page.read_text(encoding="utf-8")
    assert "ball" in said
    assert "data:image/png" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.nrrd", "page.html", "painted.nrrd", "scan.nrrd"]
