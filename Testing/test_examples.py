"""The minimal examples and the documentation's code run as they stand, and the first one's result does not drift."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib import Result, Volume
from FewShotSegLib.demo.sample_scan import SampleScan, load_sample_scan

FOLDER = Path(__file__).resolve().parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
#: What `segment_volume.py` gave when it was last changed on purpose; see CONTRIBUTING.md.
GOLDEN = Path(__file__).resolve().parent / "golden" / "kidneys.seg.nrrd"


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_examples_are_short_enough_to_be_read_at_a_glance() -> None:
    assert len(SCRIPTS) == 5
    for script in SCRIPTS:
        assert len(script.read_text(encoding="utf-8").splitlines()) < 30, script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_finds_its_structures_and_the_first_one_finds_them_as_before(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = runpy.run_path(str(script), run_name="__main__")
    scan, result = done["scan"], done["result"]
    assert isinstance(scan, SampleScan)
    assert isinstance(result, Result)
    for value, name in scan.labels.names.items():
        expected = 0.75 if script.stem == "strokes" else 0.9
        assert dice(result.labelmap.array == value, scan.labels.array == value) > expected, name
    (written,) = tmp_path.glob("*.seg.nrrd")
    assert np.array_equal(Volume.read(written).array, result.labelmap.array)
    if script.stem == "segment_volume":
        kept = Volume.read(GOLDEN)
        assert kept.names == result.labelmap.names
        for value, name in kept.names.items():
            assert dice(result.labelmap.array == value, kept.array == value) > 0.995, f"{name} is no longer as kept"


@pytest.fixture
def a_folder_with_volumes(tmp_path: Path) -> Path:
    """A small CT with liver (1), right (2) and left kidney (3), all painted, and one that is darker."""
    scan = load_sample_scan(["liver", "right kidney", "left kidney"])
    part = slice(70, 100, 2)
    spacing = (*scan.image.spacing[:2], 2 * scan.image.spacing[2])
    image = Volume.from_array(scan.image.array[part], spacing=spacing)
    names = {1: "liver", 2: "right kidney", 3: "left kidney"}
    labels = np.searchsorted([0, 1, 3, 4], scan.labels.array[part])
    image.write(tmp_path / "ct.nii.gz")
    image.with_array((0.9 * image.array).astype(np.int16)).write(tmp_path / "other.nii.gz")
    for name in ("painted", "other"):
        image.with_array(labels.astype(np.uint8), names=names).write(tmp_path / f"{name}.seg.nrrd")
    return tmp_path


def test_the_code_of_the_page_on_python_runs_from_top_to_bottom(
    repository: Path, a_folder_with_volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "Resources" / "Docs" / "python.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page.split("\n## Without Slicer\n")[1], re.DOTALL)
    assert len(code) >= 5
    monkeypatch.chdir(a_folder_with_volumes)
    names: dict[str, object] = {}
    for block in code:
        exec(compile(block, "python.md", "exec"), names)
    assert (a_folder_with_volumes / "segmented.seg.nrrd").is_file()
    result = names["result"]
    assert isinstance(result, Result)
    assert result.labelmap.names == {1: "liver", 2: "right kidney", 3: "left kidney"}
