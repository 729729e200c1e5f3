"""Bad inputs: files, labels, slices, outputs, settings and arrays that can't be used, and odd ones that can."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.example import Example, check_examples
from FewShotSegLib.volume import Volume

from . import phantom
from .phantom import IMAGE, LABELS, PAINTED, SPACING
from .row import Row, Unexpected, contents, require_message, require_unchanged
from .shell import OLD, OUTPUT, SEGMENT, call, require_failure, require_good_result

Prepare = Callable[[Path], object]


def nothing(folder: Path) -> None:
    """No preparation."""


def refused(
    did: str, words: str, prepare: Prepare = nothing, arguments: list[str] | None = None, code: int = 1, **options: str
) -> Row:
    """A call of the shell command that fails in words, and changes nothing.

    Args:
        did: What is bad.
        words: What the message must say, a pattern.
        prepare: Makes it bad in the folder that holds ct.nrrd, painted.nrrd and an older output.
        arguments: Further ones.
        code: Exit code.
        **options: query, image, labels or output instead of the usual ones.
    """

    def run(folder: Path) -> str:
        phantom.write(folder)
        (folder / OUTPUT).write_bytes(OLD)
        prepare(folder)
        before = contents(folder)
        query = options.get("query", "ct.nrrd")
        line = ["segment", query, "--example", options.get("image", query), options.get("labels", "painted.nrrd")]
        line += [*(arguments or []), "--output", options.get("output", OUTPUT), "--threads", "1", "--quiet"]
        got = require_failure(*call(folder, line), words, code)
        require_unchanged(before, folder)
        return got

    return Row(did, f"exit {code} and a message: {words}", run, short=True)


def raised(did: str, words: str, work: Callable[[], object]) -> Row:
    """A call of the library that raises one of its own errors."""

    def run(_folder: Path) -> str:
        try:
            result = work()
        except FewShotSegError as error:
            return f"{type(error).__name__}: {require_message(str(error), words)}"
        raise Unexpected(f"no error but {type(result).__name__}")

    return Row(did, f"the package's error: {words}", run, short=True)


def accepted(did: str, prepare: Prepare, **options: str) -> Row:
    """Odd input that is none the less good."""

    def run(folder: Path) -> str:
        phantom.write(folder)
        prepare(folder)
        before = contents(folder)
        line = SEGMENT.copy()
        line[1] = line[3] = options.get("query", "ct.nrrd")
        line[4] = options.get("labels", "painted.nrrd")
        code, said = call(folder, [*line, "--slices", "5,10,14", "--output", OUTPUT])
        if code:
            raise Unexpected(f"exit {code}: {said.strip()[:200]}")
        require_unchanged(before, folder, but=(OUTPUT,))
        return require_good_result(folder / OUTPUT)

    return Row(did, "a right result", run)


def image(array: np.ndarray, name: str, spacing: tuple[float, ...] = SPACING, **more: Any) -> Prepare:
    """Writes an array as the file of a name."""

    def prepare(folder: Path) -> None:
        made = sitk.GetImageFromArray(array, **more)
        if made.GetDimension() == 3:
            made.SetSpacing(spacing)
        sitk.WriteImage(made, str(folder / name), True)

    return prepare


def data(name: str, content: bytes) -> Prepare:
    """Writes bytes as the file of a name."""
    return lambda folder: (folder / name).write_bytes(content)


def altered(name: str, change: Callable[[bytes], bytes], source: str = "ct.nrrd") -> Prepare:
    """Writes the image in the format of a name's ending, then changes its bytes."""

    def prepare(folder: Path) -> None:
        made = sitk.ReadImage(str(folder / source))
        sitk.WriteImage(made, str(folder / name), name.endswith(".gz"))
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return prepare


def with_voxel(value: float) -> np.ndarray:
    """The image with one voxel of a value, as float32."""
    array = IMAGE.astype(np.float32)
    array[3, 4, 5] = value
    return array


def _header(place: int, content: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:place] + content + whole[place + len(content) :]


def _damaged(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 40]) + whole[middle + 40 :]


def _socket(folder: Path) -> None:
    # A socket's path may not be long.
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        socket.socket(socket.AF_UNIX).bind("socket.nrrd")
    finally:
        os.fchdir(here)
        os.close(here)


def _link(folder: Path, to: str, name: str) -> None:
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / name).symlink_to(to)


def _link_to_a_result(folder: Path) -> None:
    _link(folder, "elsewhere/o.nrrd", "l.nrrd")
    (folder / "elsewhere/o.nrrd").write_bytes(OLD)


def _folder_of_texts(folder: Path) -> None:
    (folder / "s").mkdir()
    (folder / "s/a.txt").write_bytes(b"a")


FILES = [
    refused("query that is not there", r"no file|no such|not there", query="absent.nrrd"),
    refused("labelmap that is not there", r"no file|no such|not there", labels="absent.nrrd"),
    refused("query is an empty folder", "folder", lambda f: (f / "scan").mkdir(), query="scan"),
    refused("query is a folder without images", "folder", _folder_of_texts, query="s"),
    refused("empty .nii.gz", "empty|can't be read|no image", data("q.nii.gz", b""), query="q.nii.gz"),
    refused("empty .nrrd", "empty|can't be read|no image", data("q.nrrd", b""), query="q.nrrd"),
    refused("text called .nrrd", "can't be read|no image|format", data("q.nrrd", b"Dear colleague"), query="q.nrrd"),
    refused("noise called .mha", "can't be read|no image|format", data("q.mha", bytes(range(256)) * 9), query="q.mha"),
    refused("zip called .nii.gz", "ZIP", data("q.nii.gz", b"PK\3\4" + b"0" * 99), query="q.nii.gz"),
    refused(
        "gzip of text called .nii.gz",
        "can't be read|no image|format",
        data("q.nii.gz", gzip.compress(b"hello" * 99)),
        query="q.nii.gz",
    ),
    refused("document", "ending|format", data("report.docx", b"PK"), query="report.docx"),
    refused("file without an ending", "ending|format|can't be read", data("scan", b"scan"), query="scan"),
    refused(
        ".nii.gz cut in half",
        "incomplete|can't be read|truncated|cut",
        altered("q.nii.gz", lambda b: b[: len(b) // 2]),
        query="q.nii.gz",
    ),
    refused(
        ".nii cut at its end",
        "incomplete|can't be read|truncated|short",
        altered("q.nii", lambda b: b[:-5000]),
        query="q.nii",
    ),
    refused(
        ".mha cut at its end",
        "incomplete|can't be read|truncated|short",
        altered("q.mha", lambda b: b[:-5000]),
        query="q.mha",
    ),
    refused(
        ".nrrd cut at its end",
        "incomplete|can't be read|truncated|short",
        altered("q.nrrd", lambda b: b[:-5000]),
        query="q.nrrd",
    ),
    refused(
        ".nii.gz with damaged bytes",
        "damaged|can't be read|incomplete|corrupt",
        altered("q.nii.gz", _damaged),
        query="q.nii.gz",
    ),
    refused(".nii of no known type", "can't be read|type", altered("q.nii", _header(70, b"\xff\x7f")), query="q.nii"),
    refused(
        ".nii with a dimension of 0",
        "can't be read|empty|size|dimension",
        altered("q.nii", _header(42, b"\0\0")),
        query="q.nii",
    ),
    refused("slice of one picture", "dimension|one slice|2D", image(IMAGE[3], "q.nrrd"), query="q.nrrd"),
    refused("volume of one slice", "one slice", image(IMAGE[3:4], "q.nrrd"), query="q.nrrd"),
    refused(
        "time series", "dimension|time|4D", image(np.stack([IMAGE, IMAGE]), "q.nrrd", isVector=False), query="q.nrrd"
    ),
    refused(
        "colours",
        "values per voxel|colour",
        image(np.stack([IMAGE] * 3, -1).astype(np.uint8), "q.nrrd", isVector=True),
        query="q.nrrd",
    ),
    refused("complex numbers", "complex|values per voxel", image(IMAGE.astype(np.complex64), "q.mha"), query="q.mha"),
    refused("NaN voxel", "NaN", image(with_voxel(np.nan), "q.nrrd"), query="q.nrrd"),
    refused("infinite voxel", "infinite", image(with_voxel(np.inf), "q.nrrd"), query="q.nrrd"),
    refused("one intensity everywhere", "everywhere", image(np.full_like(IMAGE, 7), "q.nrrd"), query="q.nrrd"),
    refused(
        "link to nowhere", "no file|no such|not there|link", lambda f: _link(f, "gone.nrrd", "q.nrrd"), query="q.nrrd"
    ),
    refused(
        "link to itself",
        r"no file|no such|not there|link|loop|can't be",
        lambda f: _link(f, "q.nrrd", "q.nrrd"),
        query="q.nrrd",
    ),
    refused("a device as query", "no file|not a file|regular|device|ending|can't be read", query="/dev/null"),
]

LABELMAPS = [
    refused(
        "labelmap of another size",
        "grid|shape|size",
        image(PAINTED[:, :40], "m.nrrd", (2.0, 2.0, 3.0)),
        labels="m.nrrd",
    ),
    refused(
        "labelmap of other spacing", "grid|spacing|lattice", image(PAINTED, "m.nrrd", (1.7, 1.5, 3.0)), labels="m.nrrd"
    ),
    refused("labels of 0.5", "no labelmap|whole|label", image(PAINTED * 0.5, "m.nrrd"), labels="m.nrrd"),
    refused(
        "negative labels", "no labelmap|negative|label", image(-PAINTED.astype(np.int16), "m.nrrd"), labels="m.nrrd"
    ),
    refused(
        "labels of 40000", "no labelmap|label", image(PAINTED.astype(np.uint16) * 20000, "m.nrrd"), labels="m.nrrd"
    ),
    refused(
        "labels that are NaN",
        "no labelmap|label|NaN",
        image(np.where(PAINTED, np.nan, 0).astype(np.float32), "m.nrrd"),
        labels="m.nrrd",
    ),
    refused("labelmap that is all background", "background", image(PAINTED * 0, "m.nrrd"), labels="m.nrrd"),
    refused("image and labelmap swapped", "labelmap|everywhere|swapped", image="painted.nrrd", labels="ct.nrrd"),
    refused("CT as its own labelmap", "labelmap", labels="ct.nrrd"),
    refused("slice beyond the volume", "expected 0 to", arguments=["--slices", "99"]),
    refused("slice that has no label", "none of the slices", arguments=["--slices", "1"]),
    refused("slices that are no numbers", "whole numbers", arguments=["--slices", "five"], code=2),
    refused("slice before the first", "expected|usage", arguments=["--slices=-1"]),
    refused("axis that does not exist", "axis", arguments=["--axis", "w"], code=2),
    refused("names that name nothing", "names no label", arguments=["--names", "liver"], code=2),
]

OUTPUTS = [
    refused("output into no folder", "no folder", output="absent/out.nrrd"),
    refused("output of no known format", "ending", output="out.png"),
    refused("output is the query", "input", output="ct.nrrd"),
    refused("output is the labelmap by another path", "input", output="./painted.nrrd"),
    refused("output and confidence in one file", "two names", arguments=["--confidence", "o.nrrd"], output="o.nrrd"),
    refused("confidence as a segmentation", "confidence", arguments=["--confidence", "sure.seg.nrrd"]),
    refused("output is a folder", "folder", lambda f: (f / "o.nrrd").mkdir(), output="o.nrrd"),
    refused("output in a file", "folder|not a directory", output="ct.nrrd/out.nrrd"),
    refused("output without a name", "name|ending", output=""),
    refused("output with a name of 300 letters", "long", output="a" * 300 + ".nrrd"),
    refused("output is a pipe", "pipe|regular|replace", lambda f: os.mkfifo(f / "pipe.nrrd"), output="pipe.nrrd"),
    refused("output is a socket", "socket|regular|replace", _socket, output="socket.nrrd"),
    refused(
        "output is a link to elsewhere",
        "link",
        _link_to_a_result,
        output="l.nrrd",
    ),
    refused("device that is none", "auto, cpu", arguments=["--device", "abacus"]),
    refused("graphics card that is not there", "CUDA", arguments=["--device", "cuda:63"]),
    refused("quality that does not exist", "fast", arguments=["--quality", "perfect"], code=2),
    refused("no threads", "threads", arguments=["--threads", "0"], code=2),
]


def _example(**changes: Any) -> Example:
    fields = {"image": Volume.from_array(IMAGE), "axis": 0, "index": 5, "mask": LABELS[5]}
    return Example(**{**fields, **changes})


def _two_masks() -> None:
    volume = Volume.from_array(IMAGE)
    check_examples([_example(image=volume), _example(image=volume, mask=LABELS[6])])


ARRAYS = [
    raised("array of two axes", "dimensions", lambda: Volume.from_array(IMAGE[0])),
    raised("empty array", "empty", lambda: Volume.from_array(np.zeros((0, 4, 4)))),
    raised("array of texts", "numbers", lambda: Volume.from_array(np.full((2, 3, 4), "a"))),
    raised("array of complex numbers", "complex", lambda: Volume.from_array(np.zeros((2, 3, 4), complex))),
    raised("spacing of 0", "spacing", lambda: Volume.from_array(IMAGE, spacing=(1, 0, 1))),
    raised("negative spacing", "spacing", lambda: Volume.from_array(IMAGE, spacing=(1, -1, 1))),
    raised("origin that is NaN", "origin", lambda: Volume.from_array(IMAGE, origin=(0, float("nan"), 0))),
    raised("direction of two equal axes", "direction", lambda: Volume.from_array(IMAGE, direction=(1, 0, 0) * 3)),
    raised("name of a negative label", "name", lambda: Volume.from_array(PAINTED, names={-1: "x"})),
    raised("colour of 255", r"0\.\.1", lambda: Volume.from_array(PAINTED, colors={1: (255, 0, 0)})),
    raised("no examples", "no examples", lambda: check_examples([])),
    raised("what is no example", "expected Example", lambda: check_examples([1])),  # type: ignore[list-item]
    raised("examples with nothing painted", "label|painted", lambda: check_examples([_example(mask=LABELS[5] * 0)])),
    raised("mask of another shape", "shape", lambda: _example(mask=LABELS[5][:9])),
    raised("axis of 3", "axis", lambda: _example(axis=3)),
    raised("index of 2.5", "whole", lambda: _example(index=2.5)),
    raised("image that is an array", "Volume", lambda: _example(image=IMAGE)),
    raised("one slice with two masks", "twice", _two_masks),
]


def _as(name: str, change: Callable[[sitk.Image], sitk.Image] = lambda made: made, source: str = "ct.nrrd") -> Prepare:
    def prepare(folder: Path) -> None:
        made = change(sitk.ReadImage(str(folder / source)))
        sitk.WriteImage(made, str(folder / f"_{name.lower()}"), True)
        (folder / f"_{name.lower()}").rename(folder / name)

    return prepare


def _uneven(made: sitk.Image) -> sitk.Image:
    return sitk.Cast(made, sitk.sitkFloat32) * 1.00002


GOOD_BUT_ODD = [
    accepted("ending in capitals", _as("CT.MHA"), query="CT.MHA"),
    accepted("ending in mixed letters", _as("Ct.Nii.Gz"), query="Ct.Nii.Gz"),
    accepted("labels that a slope made 1.00002", _as("m.nrrd", _uneven, "painted.nrrd"), labels="m.nrrd"),
    accepted(
        "labelmap of fewer slices on the same lattice",
        _as("m.nrrd", lambda m: m[:, :, 3:17], "painted.nrrd"),
        labels="m.nrrd",
    ),
    accepted(
        "labelmap with an axis turned round",
        _as("m.nrrd", lambda m: sitk.Flip(m, (True, False, False)), "painted.nrrd"),
        labels="m.nrrd",
    ),
    accepted("intensities of 1e-10", image(IMAGE * 1e-10, "q.nrrd"), query="q.nrrd"),
    accepted(
        "a slice that is 20 times as bright",
        image(np.where(np.arange(20)[:, None, None] == 8, (IMAGE + 1024.0) * 20, IMAGE + 1024.0), "q.nrrd"),
        query="q.nrrd",
    ),
    accepted(
        "padding of 32767", image(np.where(np.arange(48) < 3, 32767, IMAGE).astype(np.int16), "q.nrrd"), query="q.nrrd"
    ),
]

ROWS = [*FILES, *LABELMAPS, *OUTPUTS, *ARRAYS, *GOOD_BUT_ODD]
