"""The shell command `fewshotseg library`, and libraries as examples of `fewshotseg segment`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from library_files import a_slice, an_image, change_description

from FewShotSegLib import Example, Volume, cli
from FewShotSegLib.library import Library
from FewShotSegLib.result import Result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two patients, whose files number liver and spleen differently."""
    for name, seed, values in (("a", 1, (1, 2)), ("b", 2, (2, 1))):
        image = an_image(seed)
        labels = np.zeros(image.shape, np.uint8)
        labels[1:4, 1:3, 2], labels[1:4, 3:5, 2:4] = values
        image.write(tmp_path / f"{name}.nrrd")
        image.with_array(labels, names=dict(zip(values, ("liver", "spleen"), strict=True))).write(
            tmp_path / f"{name}.seg.nrrd"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


A, B = ["--example", "a.nrrd", "a.seg.nrrd"], ["--example", "b.nrrd", "b.seg.nrrd"]


@pytest.mark.parametrize("place", ["lib", "lib.zip"])
def test_a_library_is_created_shown_changed_and_merged(
    folder: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--slices", "2", "--complete", "all", "--title", "first", "--origin", "phase 2"]
    assert cli.main(["library", "create", place, *A, *options]) == 0
    assert cli.main(["library", "add", place, *B, *B, "--axis", "j", "--slices", "1", "--complete", "none"]) == 0
    assert "2 scans with 5 painted slices" in capsys.readouterr().out
    library = Library.open(place)
    assert [(entry.title, entry.origin) for entry in library.entries] == [("first", "phase 2"), ("scan 2", "")]
    assert [example.complete for example in library.examples()] == ["all", None, None, None, frozenset()]
    assert {example.names[1] for example in library.examples()} == {"liver"}

    assert cli.main(["library", "show", place, "--check", "--html", "page.html"]) == 0
    shown = capsys.readouterr().out
    assert "scan-1: first, 7 x 6 x 5 voxels of 0.7 x 0.333 x 2.5 mm, painted: k 2\n    phase 2\n" in shown
    assert "painted: k 1-3; j 1" in shown
    assert "    1  liver                            2      5" in shown
    assert f"fingerprint: {library.fingerprint}" in shown
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2

    assert cli.main(["library", "create", "other", *A, "--axis", "i"]) == 0
    assert cli.main(["library", "rename", place, "liver", "Leber"]) == 0
    assert cli.main(["library", "remove", place, "scan-1"]) == 0
    assert cli.main(["library", "merge", place, "other"]) == 0
    merged = Library.open(place)
    assert [segment.name for segment in merged.segments] == ["Leber", "spleen", "liver"]
    assert [entry.id for entry in merged.entries] == ["scan-2", "scan-3"]


def test_texts_of_strangers_do_nothing_to_a_terminal_or_a_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["library", "create", "lib", *A]) == 0

    def write_evil(description: dict[str, Any]) -> None:
        description["entries"][0]["title"] = "\x1b]0;evil\x07<script>alert(1)</script>"
        description["segments"][0]["name"] = "liver\x1b[2J<b>\n"

    change_description(folder / "lib", write_evil)
    capsys.readouterr()
    assert cli.main(["library", "show", "lib", "--html", "page.html"]) == 0
    shown = capsys.readouterr().out
    assert not {sign for sign in shown if not sign.isprintable()} - {"\n"}
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    "arguments",
    [
        ["library"],
        ["library", "paint", "lib"],
        ["library", "create", "lib"],
        ["library", "create", "lib", "--slices", "1", *A],
        ["library", "create", "lib", *A, "--title", "x", "--title", "y"],
        ["library", "rename", "lib", "liver"],
        ["library", "remove", "lib"],
        ["library", "merge", "lib"],
        ["segment", "a.nrrd", "--output", "out.nrrd"],
    ],
)
def test_wrong_usage_exits_with_2(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "usage: fewshotseg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "there", *A], "is there already"),
        (["create", "", *A], "is empty"),
        (["create", "no/lib", *A], "no folder"),
        (["create", "lib", "--example", "no.nrrd", "a.seg.nrrd"], "no file"),
        (["create", "lib", *A, "--slices", "99"], "expected 0 to 4"),
        (["create", "lib", "--example", "a.nrrd", "b.nrrd"], "no labelmap"),
        (["add", "none", *A], "There is no library"),
        (["add", "a.nrrd", *A], "is no library"),
        (["add", "there", *A, "--complete", "all"], "painted otherwise"),
        (["show", "there", "--html", "page.txt"], "unknown ending"),
        (["rename", "there", "bone", "x"], "no structure 'bone'"),
        (["remove", "there", "scan-9"], "no entry 'scan-9'"),
        (["merge", "there", "none"], "no library"),
    ],
)
def test_what_can_not_be_done_fails_in_words_and_changes_nothing(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["library", "create", "there", *A]) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["library", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["library", "--help"]) == 0
    assert "fewshotseg library create livers.zip" in capsys.readouterr().out
    assert cli.main(["library", "create", "--help"]) == 0
    assert "--complete" in capsys.readouterr().out


class FakeSegmenter:
    """Takes down its examples; finds nothing."""

    examples: list[Example] = []  # noqa: RUF012  # set by the fixture

    def __init__(self, device: str = "auto") -> None:
        self.device = device

    def segment(self, query: Volume, examples: list[Example], *_: object, **__: object) -> Result:
        FakeSegmenter.examples = examples
        return Result(query.with_array(np.zeros(query.shape, np.uint8)), query.with_array(np.ones(query.shape)))


def test_segmenting_takes_the_examples_of_libraries_beside_those_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("FewShotSegLib.segmenter")
    module.Segmenter = FakeSegmenter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "FewShotSegLib.segmenter", module)
    library = Library()
    library.add([a_slice(an_image(5), 1, {1: "spleen", 2: "kidney"})])
    library.save("lib.zip")
    out = ["--output", "out.nrrd", "--quiet"]
    assert cli.main(["segment", "a.nrrd", "--library", "lib.zip", *out]) == 0
    assert [example.names for example in FakeSegmenter.examples] == [{1: "spleen", 2: "kidney"}]
    assert (
        cli.main(["segment", "a.nrrd", *A, "--slices", "2", "--library", "lib.zip", "--library", "lib.zip", *out]) == 0
    )
    own, other, again = FakeSegmenter.examples
    assert own.names == {1: "liver", 2: "spleen"}
    assert other.names == {2: "spleen", 3: "kidney"}
    np.testing.assert_array_equal(other.mask, again.mask)
    assert cli.main(["segment", "a.nrrd", "--library", "none", *out]) == 1
    assert "no library" in capsys.readouterr().err
