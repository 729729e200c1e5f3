"""`fewshotseg segment`: reads query and examples, runs the engine, writes labelmap and confidence."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import numpy as np

from FewShotSegLib import threads
from FewShotSegLib.errors import WriteError
from FewShotSegLib.example import Example, check_examples, match_labels_by_name
from FewShotSegLib.example_arguments import Reader, add_example_arguments, identity_of, read_examples
from FewShotSegLib.files.formats import WRITE_EXTENSIONS
from FewShotSegLib.files.outputs import check_page_writable, check_writable, write_page
from FewShotSegLib.files.writing import write_volumes
from FewShotSegLib.labels import label_values
from FewShotSegLib.library import Library
from FewShotSegLib.progress import Progress
from FewShotSegLib.quality import DEFAULT, QUALITIES
from FewShotSegLib.report.measures import measure
from FewShotSegLib.report.page import report_page
from FewShotSegLib.result import Result
from FewShotSegLib.terminal import Warnings, say
from FewShotSegLib.volume import Volume

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

  Painted slices of other patients that are kept in a library:
    fewshotseg segment ct.nii.gz --library livers.zip --output all.seg.nrrd

Inputs: .nii .nii.gz .nrrd .seg.nrrd .mha .mhd, a DICOM file or a folder of them. Labelmaps may also be DICOM SEG (with
pip install "fewshotseg[dicom]"). A labelmap may be cropped, larger or flipped if its voxels lie where the image's do.
Structures of the same name are the same, whatever their values in the files. Outputs: {" ".join(WRITE_EXTENSIONS)}.
A .seg.nrrd opens in 3D Slicer with names and colours. Slices count from 0. Files are written when all is done; an older
file of the same name is replaced.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `segment`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("query", metavar="QUERY", help="the volume to segment, a file or a DICOM folder")
    add_example_arguments(parser, required=False)
    parser.add_argument(
        "--library", dest="libraries", action="append", default=[], metavar="LIB",
        help="a library of examples (see fewshotseg library), a folder or .zip file; may be repeated",
    )  # fmt: skip
    # That one of the two is needed is no rule that argparse knows.
    parser.set_defaults(wrong_usage=parser.error)
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
    if not args.examples and not args.libraries:
        args.wrong_usage("one of the arguments --example, --library is required")
    _check_outputs(args)
    if args.threads:
        threads.use(args.threads)
    query, examples = _read_inputs(args)
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
    inputs = {identity_of(args.query), *map(identity_of, args.libraries)}
    for example in args.examples:
        inputs |= {identity_of(example.image), identity_of(example.labelmap)}
    outputs = _outputs(args)
    for path in outputs:
        extension = check_writable(path)
        if identity_of(path) in inputs:
            raise WriteError(f"{path} is an input too and would be replaced; choose another name for the output.")
        if path == args.confidence and extension == ".seg.nrrd":
            raise WriteError(f"{path} can't hold a confidence, .seg.nrrd is for labels; use .nrrd or .nii.gz.")
    if args.report is not None:
        check_page_writable(args.report)
        if identity_of(args.report) in inputs:
            raise WriteError(f"{args.report} is an input too and would be replaced; choose another name for it.")
    if len({identity_of(path) for path in outputs}) < len(outputs):
        raise WriteError(f"Output and confidence would both go to {args.output}; choose two names.")


def _read_inputs(args: argparse.Namespace) -> tuple[Volume, list[Example]]:
    """Reads every file once; an example from the query's file refers to the query's own Volume object."""
    read = Reader()
    query = read(args.query)
    query.require_image()
    examples = read_examples(args.examples, args.names, read)
    for path in args.libraries:
        examples += Library.open(path).examples()
    examples = match_labels_by_name(examples)
    check_examples(examples)
    return query, examples


def _print_summary(labelmap: Volume, paths: Sequence[str]) -> None:
    """Prints how large each structure came out, and which files were written."""
    for value in sorted(set(label_values(labelmap.array)) | set(labelmap.names)):
        millilitres = np.count_nonzero(labelmap.array == value) * labelmap.voxel_volume / 1000
        say(f"{value:5d}  {labelmap.names.get(value, ''):<24} {millilitres:10.1f} ml\n", sys.stdout)
    say(f"written: {', '.join(paths)}\n", sys.stdout)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads, expected 1 or more")
    return int(text)
