"""The shell command where its words can't be shown or its names are odd: results come first."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib.progress import Progress
from FewShotSegLib.terminal import say
from FewShotSegLib.volume import Volume

ROOT = Path(__file__).parents[1]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

# The command with an engine that does nothing but call back and fill the volume with the first label.
STAND_IN = """
import sys, types, numpy
from FewShotSegLib import cli
from FewShotSegLib.result import Result

class Segmenter:
    def __init__(self, device):
        pass
    def segment(self, query, examples, progress, **_):
        for step in range(2000):
            progress(f"stage {step}", 1, 2)
        labels = numpy.full(query.shape, examples[0].mask.max(), numpy.uint8)
        names = {value: name for example in examples for value, name in example.names.items()}
        return Result(query.with_array(labels, names=names), query.with_array(labels.astype(numpy.float32)))

module = types.ModuleType("FewShotSegLib.segmenter")
module.Segmenter = Segmenter
sys.modules["FewShotSegLib.segmenter"] = module
sys.exit(cli.main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the command's stand-in, an image and a labelmap: command.py, ct.nrrd, m.seg.nrrd."""
    (tmp_path / "command.py").write_text(STAND_IN)
    image = Volume.from_array(np.random.default_rng(0).normal(size=(4, 5, 6)))
    labels = np.zeros(image.shape, np.uint8)
    labels[1:3, 2:4, 3] = 1
    image.write(tmp_path / "ct.nrrd")
    image.with_array(labels, names={1: "печень"}).write(tmp_path / "m.seg.nrrd")
    return tmp_path


def shell(folder: Path, redirections: str = "", arguments: str = "", **environment: str) -> subprocess.CompletedProcess:
    command = f"{sys.executable} -B command.py segment ct.nrrd --example ct.nrrd m.seg.nrrd --output out.seg.nrrd"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {arguments} {redirections}"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, check=False,
    )  # fmt: skip


@posix_only
@pytest.mark.parametrize(
    ("redirections", "environment"),
    [
        ("2>&-", {}),
        (">&- 2>&- <&-", {}),
        ("| true", {}),
        ("2>&1 | head -c 20", {}),
        (">/dev/full 2>/dev/full" if os.path.exists("/dev/full") else "", {}),
        ("", {"PYTHONIOENCODING": "ascii"}),
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
)
def test_the_result_is_written_whatever_becomes_of_the_messages(
    folder: Path, redirections: str, environment: dict[str, str]
) -> None:
    done = shell(folder, redirections, **environment)
    assert (done.returncode, b"Traceback" in done.stderr, b"Exception" in done.stderr) == (0, False, False)
    assert Volume.read(folder / "out.seg.nrrd").names == {1: "печень"}


@posix_only
def test_names_on_the_command_line_may_be_no_utf8(folder: Path) -> None:
    assert shell(folder, arguments="--names $'1=R\\xfccken'", PYTHONIOENCODING="ascii").returncode == 0
    assert Volume.read(folder / "out.seg.nrrd").names == {1: "Rücken"}


@posix_only
def test_a_sheared_query_is_told_before_the_work_that_its_output_can_not_hold_it(folder: Path) -> None:
    tilted = Volume.from_array(
        np.random.default_rng(0).normal(size=(4, 5, 6)), direction=(1, 0, 0, 0, 1, 0.26, 0, 0, 0.966)
    )
    tilted.write(folder / "ct.nrrd")
    labels = np.zeros(tilted.shape, np.uint8)
    labels[1, 2, 3] = 1
    tilted.with_array(labels).write(folder / "m.seg.nrrd")
    done = shell(folder, arguments="--confidence sure.nii.gz")
    assert (done.returncode, b"not perpendicular" in done.stderr, b"stage" in done.stderr) == (1, True, False)
    assert shell(folder, arguments="--confidence sure.mha").returncode == 0


@posix_only
def test_structures_of_one_name_are_one_whatever_their_values(folder: Path) -> None:
    image = Volume.from_array(np.random.default_rng(1).normal(size=(4, 5, 6)), origin=(5, 5, 5))
    labels = np.zeros(image.shape, np.uint8)
    labels[1, 2, 3] = 2
    image.write(folder / "b.nrrd")
    image.with_array(labels, names={2: "печень", 1: "почка"}).write(folder / "b.seg.nrrd")
    assert shell(folder, arguments="--example b.nrrd b.seg.nrrd").returncode == 0
    assert sorted(Volume.read(folder / "out.seg.nrrd").names.values()) == ["печень", "почка"]


@posix_only
def test_what_is_left_out_is_a_line_of_ours_unless_quiet(folder: Path) -> None:
    larger = np.zeros((5, 5, 6), np.uint8)
    larger[1, 2, 3] = larger[4, 0, 0] = 1
    Volume.from_array(larger).write(folder / "m.seg.nrrd")
    said = shell(folder).stderr.decode()
    assert "fewshotseg: warning: Volume 'm' reaches beyond the image; 1 labelled voxels there are" in said
    assert shell(folder, arguments="--quiet").stderr == b""


# Streams


class Broken(io.StringIO):
    """A pipe that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Broken(), closed()])
def test_progress_goes_on_where_nobody_listens(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress()
    progress("reading", 1, 2)
    progress.close()


def test_what_a_stream_can_not_show_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    say("1 печень\n", stream)
    assert raw.getvalue() == b"1 ??????\n"
