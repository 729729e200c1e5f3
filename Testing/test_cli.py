"""The shell command, with a stand-in for the engine."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from FewShotSegLib import cli
from FewShotSegLib.errors import Cancelled, DeviceError
from FewShotSegLib.example import Example
from FewShotSegLib.progress import Progress
from FewShotSegLib.result import Result
from FewShotSegLib.volume import Volume


class FakeSegmenter:
    """Takes down how it is called; gives back the first example's label everywhere."""

    calls: list[dict[str, Any]] = []  # noqa: RUF012  # emptied by the fixture
    error: BaseException | None = None

    def __init__(self, device: str = "auto") -> None:
        self.device = device

    def segment(
        self,
        query: Volume,
        examples: list[Example],
        progress: Callable[..., None] | None = None,
        refine: bool = True,
        quality: str = "fast",
    ) -> Result:
        self.calls.append(
            {"query": query, "examples": examples, "refine": refine, "quality": quality, "device": self.device}
        )
        if progress:
            progress("segmenting", 1, 2)
        if self.error:
            raise self.error
        labels = np.full(query.shape, examples[0].mask.max(), np.uint8)
        confidence = np.ones(query.shape, np.float32)
        return Result(query.with_array(labels, names=examples[0].names), query.with_array(confidence))


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeSegmenter]]:
    module = ModuleType("FewShotSegLib.segmenter")
    module.Segmenter = FakeSegmenter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "FewShotSegLib.segmenter", module)
    FakeSegmenter.calls, FakeSegmenter.error = [], None
    yield FakeSegmenter
    FakeSegmenter.error = None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two images and their labelmaps: ct.nii.gz, ct.seg.nrrd, mr.nii.gz, mr.nrrd."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2:4, 3] = 1
    for name, extension in {"ct": "seg.nrrd", "mr": "nrrd"}.items():
        image = Volume.from_array(np.random.default_rng(0).normal(size=labels.shape))
        image.write(tmp_path / f"{name}.nii.gz")
        image.with_array(labels, names={1: "liver"}).write(tmp_path / f"{name}.{extension}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SELF = ["segment", "ct.nii.gz", "--example", "ct.nii.gz", "ct.seg.nrrd"]


def test_segmenting_writes_labelmap_and_confidence(
    folder: Path, engine: type[FakeSegmenter], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SELF, "--output", "out.seg.nrrd", "--confidence", "sure.nii.gz"]) == 0
    assert Volume.read("out.seg.nrrd").names == {1: "liver"}
    assert Volume.read("sure.nii.gz").array.min() == 1
    call = engine.calls[0]
    assert (call["device"], call["refine"], call["quality"]) == ("auto", True, "fast")
    assert [example.index for example in call["examples"]] == [1, 2]
    printed = capsys.readouterr()
    assert "liver" in printed.out
    assert "segmenting" in printed.err


def test_the_query_as_example_is_the_same_volume_and_files_are_read_once(
    folder: Path, engine: type[FakeSegmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Volume.read.__func__  # type: ignore[attr-defined]

    def take_down(cls: type[Volume], path: str) -> Volume:
        read.append(path)
        return original(cls, path)

    monkeypatch.setattr(Volume, "read", classmethod(take_down))
    again = ["--example", str(folder / "ct.nii.gz"), "./ct.seg.nrrd", "--axis", "i"]
    assert cli.main([*SELF, *again, "--output", "out.nii.gz", "--quiet"]) == 0
    assert sorted(read) == ["ct.nii.gz", "ct.seg.nrrd"]
    assert all(example.image is engine.calls[0]["query"] for example in engine.calls[0]["examples"])


def test_slices_and_axis_belong_to_the_example_before_them(folder: Path, engine: type[FakeSegmenter]) -> None:
    arguments = [*SELF, "--slices", "2,0", "--example", "mr.nii.gz", "mr.nrrd", "--axis", "j", "--names", "1=liver"]
    assert cli.main([*arguments, "--no-refine", "--quality", "best", "--device", "cpu", "--output", "out.nrrd"]) == 0
    call = engine.calls[0]
    assert [(example.axis, example.index) for example in call["examples"]] == [(0, 2), (0, 0), (1, 2), (1, 3)]
    assert call["examples"][0].image is not call["examples"][2].image
    assert (call["device"], call["refine"], call["quality"]) == ("cpu", False, "best")
    assert call["examples"][2].names == {1: "liver"}


def test_quiet_prints_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SELF, "--output", "out.nrrd", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["segment"],
        ["paint"],
        [*SELF],
        ["segment", "ct.nii.gz", "--output", "out.nrrd"],
        ["segment", "ct.nii.gz", "--slices", "1", "--example", "ct.nii.gz", "ct.seg.nrrd", "--output", "out.nrrd"],
        [*SELF, "--slices", "1;2", "--output", "out.nrrd"],
        [*SELF, "--slices", "1", "--slices", "2", "--output", "out.nrrd"],
        [*SELF, "--axis", "z", "--output", "out.nrrd"],
        [*SELF, "--names", "liver", "--output", "out.nrrd"],
        [*SELF, "--threads", "0", "--output", "out.nrrd"],
    ],
)
def test_wrong_usage_exits_with_2(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "usage: fewshotseg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SELF, "--output", "no/out.nrrd"], "no folder"),
        ([*SELF, "--output", "out.png"], "unknown ending"),
        ([*SELF, "--output", ""], "name of an output is empty"),
        ([*SELF, "--output", "out.nrrd", "--confidence", ""], "name of an output is empty"),
        ([*SELF, "--output", "x" * 251 + ".seg.nrrd"], "can't be written"),
        ([*SELF, "--output", "out\0.nrrd"], "can't be written"),
        ([*SELF, "--output", "ct.nii.gz/out.nrrd"], "no folder"),
        ([*SELF, "--output", "/dev/null"], "unknown ending"),
        (["segment", "", "--example", "ct.nii.gz", "ct.seg.nrrd", "--output", "out.nrrd"], "name of an input is empty"),
        ([*SELF, "--output", "ct.seg.nrrd"], "is an input too"),
        ([*SELF, "--output", "out.nrrd", "--confidence", "out.nrrd"], "two names"),
        ([*SELF, "--output", "out.nrrd", "--confidence", "sure.seg.nrrd"], "can't hold a confidence"),
        ([*SELF, "--slices", "9", "--output", "out.nrrd"], "expected 0 to 3"),
        (["segment", "no.nii.gz", "--example", "ct.nii.gz", "ct.seg.nrrd", "--output", "out.nrrd"], "no file"),
        (["segment", "ct.nii.gz", "--example", "ct.nii.gz", "mr.nii.gz", "--output", "out.nrrd"], "no labelmap"),
    ],
)
def test_work_that_can_not_succeed_fails_in_words_before_it_begins(
    folder: Path, engine: type[FakeSegmenter], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not engine.calls
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeviceError("no CUDA here"), 1), (MemoryError(), 1), (KeyboardInterrupt(), 130), (Cancelled(), 130)],
)
def test_when_the_engine_stops_nothing_is_written(
    folder: Path, engine: type[FakeSegmenter], error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.error = error
    assert cli.main([*SELF, "--output", "out.nrrd"]) == code
    assert "fewshotseg: " in capsys.readouterr().err
    assert not (folder / "out.nrrd").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("could not create a primitive"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_told_in_a_sentence(
    folder: Path, engine: type[FakeSegmenter], error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.error = error
    assert cli.main([*SELF, "--output", "out.nrrd", "--quiet"]) == 1
    assert capsys.readouterr().err.startswith("fewshotseg: there is not enough memory")


def test_other_errors_are_not_hidden(folder: Path, engine: type[FakeSegmenter]) -> None:
    engine.error = RuntimeError("a fault of the program")
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main([*SELF, "--output", "out.nrrd"])


def test_an_output_that_is_a_link_is_refused_before_the_work(
    folder: Path, engine: type[FakeSegmenter], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out.nrrd").symlink_to(folder / "precious.nrrd")
    assert cli.main([*SELF, "--output", "out.nrrd"]) == 1
    assert "is a link to" in capsys.readouterr().err
    assert not engine.calls
    assert (folder / "out.nrrd").is_symlink()


def test_a_query_of_one_slice_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Volume.from_array(np.zeros((1, 5, 6))).write("one.nrrd")
    arguments = ["segment", "one.nrrd", "--example", "ct.nii.gz", "ct.seg.nrrd", "--output", "out.nrrd"]
    assert cli.main(arguments) == 1
    assert "one slice only along k" in capsys.readouterr().err


def test_help_teaches_and_loads_no_other_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)
    assert cli.main(["segment", "--help"]) == 0
    assert "--example ct.nii.gz painted.seg.nrrd --slices 12,20" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.pyplot")

    monkeypatch.setattr(cli, "import_module", fail)
    assert cli.main(["train"]) == 1
    assert (
        'matplotlib.pyplot, which is not installed; run: pip install "fewshotseg[training]"' in capsys.readouterr().err
    )


def test_the_package_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "FewShotSegLib", "segment", "--help"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: fewshotseg segment")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (Terminal(), f"\rreading                  [{'.' * 30}]   0%\rreading                  [{'#' * 30}] 100%\n"),
        (io.StringIO(), "reading ...\n"),
    ],
)
def test_progress_is_a_bar_on_a_terminal_and_a_line_a_stage_elsewhere(stream: io.StringIO, expected: str) -> None:
    progress = Progress(stream)
    progress("reading", 0, 1)
    progress("reading", 1, 1)
    progress.close()
    assert stream.getvalue() == expected


@pytest.mark.parametrize(("stream", "lines"), [(Terminal(), 1), (io.StringIO(), 2)])
def test_stages_that_come_again_take_no_further_lines(stream: io.StringIO, lines: int) -> None:
    progress = Progress(stream)
    for stage in ("measuring", "segmenting", "measuring", "segmenting"):
        progress(stage, 0, 1)
    progress.close()
    assert stream.getvalue().count("\n") == lines


@pytest.mark.parametrize(
    ("text", "complete"), [("all", "all"), ("none", frozenset()), ("1,2", frozenset({1, 2})), (None, None)]
)
def test_what_is_complete_and_which_label_is_background_goes_with_its_example(
    folder: Path, engine: type[FakeSegmenter], text: str | None, complete: object
) -> None:
    options = [] if text is None else ["--complete", text, "--background", "3"]
    more = ["--example", "mr.nii.gz", "mr.nrrd"]
    assert cli.main([*SELF, *options, *more, "--output", "out.nrrd", "--quiet"]) == 0
    (call,) = engine.calls
    first, *_, last = call["examples"]
    assert first.complete == complete
    assert first.background == (None if text is None else 3)
    assert (last.complete, last.background) == (None, None)


def test_complete_that_names_no_labels_is_refused_with_what_is_expected(
    folder: Path, engine: type[FakeSegmenter], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SELF, "--complete", "some", "--output", "out.nrrd"]) == 2
    assert "expected all, none or labels such as 1,2" in capsys.readouterr().err
