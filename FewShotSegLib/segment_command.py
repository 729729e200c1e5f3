"""`fewshotseg segment`: reads query and examples, runs the engine, writes labelmap and confidence."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from FewShotSegLib import threads
from FewShotSegLib.errors import WriteError
from FewShotSegLib.example import Example, check_examples, match_labels_by_name
from FewShotSegLib.files.formats import WRITE_EXTENSIONS
from FewShotSegLib.files.outputs import check_page_writable, check_writable, write_page
from FewShotSegLib.files.writing import write_volumes
from FewShotSegLib.labels import label_values
from FewShotSegLib.progress import Progress
from FewShotSegLib.quality import DEFAULT, QUALITIES
from FewShotSegLib.report.measures import measure
from FewShotSegLib.report.page import report_page
from FewShotSegLib.result import Result
from FewShotSegLib.terminal import Warnings, say
from FewShotSegLib.volume import AXIS_NAMES, Volume

_DESCRIPTION = """\
Segments a whole volume from a few painted slices.

An example is an image and a labelmap on the same grid. Each slice taken from it shows what is painted: a structure that
is painted on other slices only is looked for there, and taken as absent where nothing like it is found. Examples may
come from the query itself, from other volumes, or both, and strokes will do. What is painted is kept as painted.
"""

_EPILOG = f"""\
examples:
  Slices 12 and 20 of the volume itself are painted; segment the rest:
    fewshotseg segment ct.nii.gz --example ct.nii.gz painted.seg.nrrd --slices 12,20 --output all.seg.nrrd

  All painted slices of two other patients, and a confidence beside the labelmap:
    fewshotseg segment ct.nii.gz --example a.nii.gz a.seg.nrrd --example b.nii.gz b.seg.nrrd \\
        --output all.seg.nrrd --confidence sure.nii.gz

  Coronal and axial slices of the same labelmap; give --example once for each axis:
    fewshotseg segment mr.nrrd --example mr.nrrd painted.nrrd --axis j --slices 80 \\
        --example mr.nrrd painted.nrrd --axis k --slices 10,14 --names 1=liver,2=spleen --output all.nii.gz

Inputs: .nii .nii.gz .nrrd .seg.nrrd .mha .mhd, a DICOM file or a folder of them. Labelmaps may also be DICOM SEG (with
pip install "fewshotseg[dicom]"). A labelmap may be cropped, larger or flipped if its voxels lie where the image's do.
Structures of the same name are the same, whatever their values in the files. Outputs: {" ".join(WRITE_EXTENSIONS)}.
A .seg.nrrd opens in 3D Slicer with names and colours. Slices count from 0. Files are written when all is done; an older
file of the same name is replaced.
"""


@dataclass
class _ExampleArgument:
    """One `--example` with the options that follow it."""

    image: str
    labelmap: str
    slices: list[int] | None = None
    axis: int | None = None
    complete: Literal["all"] | frozenset[int] | None = None
    background: int | None = None


class _AddExample(argparse.Action):
    """Starts a new example."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        image, labelmap = values
        examples = [*(getattr(namespace, self.dest) or []), _ExampleArgument(image, labelmap)]
        setattr(namespace, self.dest, examples)


class _SetOnExample(argparse.Action):
    """Sets a field, named like the option, of the example given just before."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if not namespace.examples:
            parser.error(f"{option} must follow the --example it belongs to")
        if getattr(namespace.examples[-1], self.dest) is not None:
            parser.error(f"{option} is given twice for one --example; repeat --example for another axis")
        setattr(namespace.examples[-1], self.dest, values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `segment`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("query", metavar="QUERY", help="the volume to segment, a file or a DICOM folder")
    parser.add_argument(
        "--example", dest="examples", nargs=2, metavar=("IMAGE", "LABELMAP"), action=_AddExample, required=True,
        help="an image and a labelmap on its grid; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--slices", type=_whole_numbers, metavar="12,20", action=_SetOnExample, default=argparse.SUPPRESS,
        help="which slices of the preceding example are painted (default: all that hold a label)",
    )  # fmt: skip
    parser.add_argument(
        "--axis", type=_axis, metavar="k", action=_SetOnExample, default=argparse.SUPPRESS,
        help="axis across the slices of the preceding example: k (the default, the file's slowest), j, i or 0, 1, 2",
    )  # fmt: skip
    parser.add_argument(
        "--complete", type=_complete, metavar="all|none|1,2", action=_SetOnExample, default=argparse.SUPPRESS,
        help="labels that are painted completely on the slices of the preceding example; none: strokes, nothing but "
        "the painted pixels is known (default: it is found out)",
    )  # fmt: skip
    parser.add_argument(
        "--background", type=int, metavar="LABEL", action=_SetOnExample, default=argparse.SUPPRESS,
        help="the label of the preceding example that is painted where none of the structures is",
    )  # fmt: skip
    parser.add_argument(
        "--names", type=_names, metavar="1=liver,2=spleen", default={}, help="names of labels, for files without names"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the labelmap to write")
    parser.add_argument("--confidence", metavar="FILE", help="a volume to write how sure each voxel is, 0 to 1")
    parser.add_argument(
        "--report", metavar="FILE.html", help="a page to write: sizes, sureness and pictures of each structure"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument(
        "--refine", action=argparse.BooleanOptionalAction, default=True,
        help="fit boundaries to the query's own intensities, where that helps (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--quality", choices=QUALITIES, default=DEFAULT,
        help="best adapts the network to painted slices of the volume and lets what it finds guide further passes; it "
        "takes several times as long (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=_positive, metavar="N",
        help="processor threads to use (default: one less than there are cores; OMP_NUM_THREADS changes it)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Does the work of `segment`; errors are raised as FewShotSegError."""
    package, shown = logging.getLogger("FewShotSegLib"), logging.NullHandler() if args.quiet else Warnings()
    package.addHandler(shown)
    try:
        return _segment(args)
    finally:
        package.removeHandler(shown)


def _segment(args: argparse.Namespace) -> int:
    _check_outputs(args)
    if args.threads:
        threads.use(args.threads)
    query, examples = _read_inputs(args.query, args.examples, args.names)
    for path in _outputs(args):
        check_writable(path, query)
    # Loaded last: torch takes seconds, and wrong input should be reported at once.
    from FewShotSegLib.segmenter import Segmenter

    progress = Progress(quiet=args.quiet)
    try:
        segmenter = Segmenter(device=args.device)
        result = segmenter.segment(query, examples, progress, refine=args.refine, quality=args.quality)
    finally:
        progress.close()
    paths = _outputs(args)
    write_volumes(list(zip((result.labelmap, result.confidence), paths, strict=False)))
    if args.report is not None:
        write_page(args.report, _page(query, examples, result))
        paths = [*paths, args.report]
    if not args.quiet:
        _print_summary(result.labelmap, paths)
    return 0


def _page(query: Volume, examples: Sequence[Example], result: Result) -> str:
    """The report of a result."""
    own = [example for example in examples if example.image.shows_the_same(query)]
    values = {value for example in examples for value in example.values}
    painted = {value: sum(value in example.values for example in own) for value in values}
    measures = measure(result.labelmap, result.confidence, painted, values)
    return report_page(query, result.labelmap, measures)


def _outputs(args: argparse.Namespace) -> list[str]:
    """Where the labelmap goes, and the confidence if it is asked for."""
    return [args.output] if args.confidence is None else [args.output, args.confidence]


def _check_outputs(args: argparse.Namespace) -> None:
    """Raises WriteError before the work for outputs that couldn't be written, or would replace an input."""
    inputs = {_identity(args.query)}
    for example in args.examples:
        inputs |= {_identity(example.image), _identity(example.labelmap)}
    outputs = _outputs(args)
    for path in outputs:
        extension = check_writable(path)
        if _identity(path) in inputs:
            raise WriteError(f"{path} is an input too and would be replaced; choose another name for the output.")
        if path == args.confidence and extension == ".seg.nrrd":
            raise WriteError(f"{path} can't hold a confidence, .seg.nrrd is for labels; use .nrrd or .nii.gz.")
    if args.report is not None:
        check_page_writable(args.report)
        if _identity(args.report) in inputs:
            raise WriteError(f"{args.report} is an input too and would be replaced; choose another name for it.")
    if len({_identity(path) for path in outputs}) < len(outputs):
        raise WriteError(f"Output and confidence would both go to {args.output}; choose two names.")


def _read_inputs(
    query_path: str, arguments: Sequence[_ExampleArgument], names: dict[int, str]
) -> tuple[Volume, list[Example]]:
    """Reads every file once; an example from the query's file refers to the query's own Volume object."""
    volumes: dict[str, Volume] = {}

    def read(path: str) -> Volume:
        identity = _identity(path)
        if identity not in volumes:
            volumes[identity] = Volume.read(path)
        return volumes[identity]

    query = read(query_path)
    query.require_image()
    examples: list[Example] = []
    for argument in arguments:
        image, labelmap = read(argument.image), read(argument.labelmap)
        examples += Example.from_labelmap(
            image, labelmap, argument.slices, argument.axis or 0, names, argument.complete, argument.background
        )
    examples = match_labels_by_name(examples)
    check_examples(examples)
    return query, examples


def _identity(path: str) -> str:
    """The same text for every way to write a path."""
    try:
        identity = os.path.normcase(os.path.realpath(path))
    except (OSError, ValueError):  # no such path can be: the message about that comes from whoever uses it
        return path
    return identity.casefold() if sys.platform == "darwin" else identity


def _print_summary(labelmap: Volume, paths: Sequence[str]) -> None:
    """Prints how large each structure came out, and which files were written."""
    for value in sorted(set(label_values(labelmap.array)) | set(labelmap.names)):
        millilitres = np.count_nonzero(labelmap.array == value) * labelmap.voxel_volume / 1000
        say(f"{value:5d}  {labelmap.names.get(value, ''):<24} {millilitres:10.1f} ml\n", sys.stdout)
    say(f"written: {', '.join(paths)}\n", sys.stdout)


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no list of slices, expected whole numbers such as 12,20"
        ) from None


def _complete(text: str) -> Literal["all"] | frozenset[int]:
    if text == "all":
        return "all"
    try:
        return frozenset(int(part) for part in text.split(",")) if text != "none" else frozenset()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' names no complete structures, expected all, none or labels such as 1,2"
        ) from None


def _axis(text: str) -> int:
    for axis, name in enumerate(AXIS_NAMES):
        if text.lower() in (name, str(axis)):
            return axis
    raise argparse.ArgumentTypeError(f"'{text}' is no axis, expected k, j, i or 0, 1, 2")


def _names(text: str) -> dict[int, str]:
    names = {}
    for part in text.split(","):
        value, _, name = part.partition("=")
        if not value.strip().isdigit() or not name.strip():
            raise argparse.ArgumentTypeError(f"'{part}' names no label, expected something like 1=liver,2=spleen")
        names[int(value)] = name.strip()
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads, expected 1 or more")
    return int(text)
