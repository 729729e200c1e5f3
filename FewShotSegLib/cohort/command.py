"""`fewshotseg cohort`: many patients' volumes from one library of examples."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from FewShotSegLib.cohort.cases import find_cases
from FewShotSegLib.cohort.events import Events
from FewShotSegLib.cohort.record import FAILED, Record
from FewShotSegLib.cohort.run import Cases, run_cohort
from FewShotSegLib.cohort.store import Store
from FewShotSegLib.cohort.work import CaseWork, Settings
from FewShotSegLib.errors import FewShotSegError, SettingError
from FewShotSegLib.library import Library
from FewShotSegLib.progress import Progress
from FewShotSegLib.quality import DEFAULT, QUALITIES
from FewShotSegLib.terminal import say

_DESCRIPTION = """\
Segments many patients' volumes from the examples of a library (fewshotseg library create).

Each case gets a folder with segmentation, confidence and picture; cases.csv, structures.csv and report.html tell of
all, doubtful cases first. A run that was stopped, by whatever, goes on with the same command; a case that fails is
reported, and the others go on. After a change of the library only cases are computed again whose examples changed.
"""

_EPILOG = """\
examples:
  fewshotseg cohort --library livers.zip --queries scans/ --output results/
  fewshotseg cohort --library livers.zip --queries 'scans/*/ct.nii.gz' --output results/ --workers 4
  fewshotseg cohort --library livers.zip --queries cases.csv --output results/ --dask tcp://scheduler:8786
  fewshotseg cohort --library livers.zip --queries cases.csv --output results/ --slurm --partition short --workers 16

A CSV has a column query with paths (relative to the CSV), and may have a column case with names.
--workers, --dask and --slurm need: pip install "fewshotseg[cohort]". Library and output must have the same path on all
machines. Exit code 1 if any case failed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `cohort`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--library", required=True, metavar="LIB", help="folder or .zip of a library of examples")
    parser.add_argument(
        "--queries", required=True, metavar="DIR|GLOB|CSV",
        help="volumes to segment: a folder of files and DICOM folders, a quoted pattern, or a table",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results, made where it is missing"
    )
    parser.add_argument("--quality", choices=QUALITIES, default=DEFAULT, help="as of segment (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="cases at a time, each in a process of its own (default: 1)"
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", default=1,
        help="processor threads for each case (default: %(default)s; more workers use a machine better, and another "
        "number changes a voxel here and there)",
    )  # fmt: skip
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler that runs, such as tcp://host:8786")
    parser.add_argument("--slurm", action="store_true", help="let SLURM run the workers, as jobs of one core each")
    parser.add_argument("--partition", default="", help="of SLURM's jobs (default: the site's)")
    parser.add_argument("--walltime", default="04:00:00", help="of SLURM's jobs (default: %(default)s)")
    parser.add_argument("--memory", default="4GB", help="of SLURM's jobs (default: %(default)s)")
    parser.add_argument(
        "--progress", choices=("bar", "json"), default="bar",
        help="how progress is told: a bar and lines for people, or JSON lines on standard output for programs",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Does the work of `cohort`; errors are raised as FewShotSegError."""
    if args.dask and args.slurm:
        raise SettingError("Both --dask and --slurm are given, expected one of them at most.")
    many = bool(args.dask or args.slurm or (args.workers or 1) > 1)
    if many and args.device not in ("auto", "cpu"):
        raise SettingError(f"Several workers share no {args.device}; leave --workers out, or take --device cpu.")
    cases = find_cases(args.queries)
    library = Library.open(args.library)
    store = Store(args.output)
    settings = Settings(args.quality, "cpu" if many else args.device, args.threads)
    work = CaseWork(library.examples(), settings, library.fingerprint)
    progress = _Bar(args.quiet) if args.progress == "bar" else Events()
    try:
        with _doing(args, work) as do:
            records, files = run_cohort(cases, store, work, do, progress, progress.case)
    finally:
        progress.close()
    failed = [record for record in records if record.status == FAILED]
    if not args.quiet and args.progress == "bar":
        doubtful = sum(bool(record.doubts) for record in records)
        say(f"{len(records)} cases: {len(failed)} failed, {doubtful} to look at first\n", sys.stdout)
        say(f"written: {', '.join(files)}\n", sys.stdout)
    if failed:
        first = failed[0]
        raise FewShotSegError(f"{len(failed)} of {len(records)} cases failed, first {first.case}: {first.error}")
    return 0


@contextlib.contextmanager
def _doing(args: argparse.Namespace, work: CaseWork) -> Iterator[Cases | None]:
    """Who does the cases: Dask's workers, or None for this process."""
    if not (args.dask or args.slurm or (args.workers or 1) > 1):
        yield None
        return
    from FewShotSegLib.cohort.workers.cluster import OnWorkers, client_at, local_client, slurm_client

    if args.slurm:
        from FewShotSegLib.cohort.workers.slurm import slurm_cluster

        clients = slurm_client(slurm_cluster(args.partition, args.walltime, args.memory), args.workers or 1)
    else:
        clients = client_at(args.dask) if args.dask else local_client(args.workers)
    with clients as client:
        yield OnWorkers(client, args.library, work)


class _Bar(Progress):
    """A bar, and a line for each case."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet=quiet)

    def case(self, record: Record) -> None:
        """Tells of a case."""
        self.line(_line(record))


def _line(record: Record) -> str:
    """What came of a case."""
    if record.status == FAILED:
        return f"{record.case}: failed: {record.error}"
    return f"{record.case}: {record.seconds:.0f} s" + "".join(f"; {doubt}" for doubt in record.doubts)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number, expected 1 or more")
    return int(text)
