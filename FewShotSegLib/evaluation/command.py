"""The benchmark command: ``fewshotseg benchmark`` or ``python -m FewShotSegLib.evaluation``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.evaluation import manifests, peers, report
from FewShotSegLib.evaluation.datasets import DATASETS, DatasetNotFoundError
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import Record, ResultsFile
from FewShotSegLib.evaluation.schedule import Setup, Task, outcomes, plan

DESCRIPTION = "Measure the model and its peers on frozen episodes; finished episodes are not run again."
EXAMPLES = """\
examples:
  %(prog)s --data ../shared/data --output runs/benchmark
  %(prog)s --data ../shared/data --output runs/benchmark --protocol W-3,EP1-blind --methods model,grow --cases 3
  %(prog)s --data ../shared/data --output runs/benchmark --methods model --option refine=false
"""
PROTOCOLS = (
    *(f"W-{count}" for count in manifests.WITHIN_COUNTS),
    *(f"A-{count}" for count in manifests.ACROSS_COUNTS),
    "EP1-blind",
)
QUICK_PROTOCOLS, QUICK_CASES = ("W-3",), 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "VTK_SMP_MAX_THREADS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the benchmark's options to a parser."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data folder that holds benchmark/<SET>/")
    add("--output", type=Path, required=True, help="folder for results.jsonl and results.md")
    add("--protocol", type=_names(PROTOCOLS), default=None, help=f"of {', '.join(PROTOCOLS)} (default W-3,EP1-blind)")
    add("--sets", type=_names(tuple(DATASETS)), default=list(DATASETS), help=f"of {', '.join(DATASETS)} (default all)")
    methods = peers.METHOD_NAMES
    add("--methods", type=_names(methods), default=list(methods), help=f"of {', '.join(methods)} (default all)")
    add("--cases", type=_positive, default=None, metavar="N", help="only N query cases of each set, evenly spread")
    add("--option", type=parse_options, action="extend", default=[], metavar="NAME=VALUE,...",
        help="keyword arguments of Segmenter.segment, e.g. refine=false,zoom=false")  # fmt: skip
    add("--weights", type=Path, default=None, metavar="FILE", help="weights of the model (default: the bundled ones)")
    add("--device", default="cpu", help="device of the model (default cpu)")
    add("--jobs", type=_positive, default=1, metavar="N", help="processes at work (default 1)")
    add("--threads", type=_positive, default=2, metavar="N", help="threads of each process (default 2)")
    add("--quick", action="store_true", help=f"a look only: {QUICK_CASES} cases of each set, {QUICK_PROTOCOLS[0]}")
    add("--fresh", action="store_true", help="run episodes again that are finished, e.g. after a change of code")
    add("--manifests", type=Path, default=manifests.DEFAULT_FOLDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Runs what the options ask for, and writes and prints the tables.

    Returns:
        0; 1 when an episode failed, or when data, weights, device or packages are not what is needed.
    """
    # Set before torch, ITK and VTK are loaded, here and, inherited, in the processes started below.
    os.environ.update({variable: str(args.threads) for variable in THREAD_VARIABLES})
    if args.weights is not None and not args.weights.is_file():
        print(f"error: there is no weights file {args.weights}", file=sys.stderr)
        return 1
    setup = Setup(
        data=args.data,
        manifests=args.manifests,
        weights=args.weights,
        checksum=peers.weights_checksum(args.weights) if peers.Model.name in args.methods else "",
        options=dict(args.option),
        device=args.device,
        threads=args.threads,
    )
    protocols = args.protocol or (QUICK_PROTOCOLS if args.quick else ("W-3", "EP1-blind"))
    cases = args.cases or (QUICK_CASES if args.quick else None)
    results = ResultsFile(args.output)
    try:
        tasks = plan(setup, protocols, args.sets, args.methods, cases)
        finished = {} if args.fresh else results.finished()
        todo = [task for task in tasks if task.key not in finished]
        print(f"{len(tasks)} episodes, {len(tasks) - len(todo)} of them finished before", file=sys.stderr)
        failed = _run_tasks(setup, todo, results, args.jobs)
    except (ManifestMismatchError, DatasetNotFoundError, MissingPackageError, FewShotSegError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    wanted = {task.key for task in tasks}
    table = report.to_markdown(record for key, record in results.finished().items() if key in wanted)
    (args.output / "results.md").write_text(table, encoding="utf-8")
    print(table)
    if failed:
        print(f"{failed} episodes failed; they are run again next time. See 'error' in {results.path}", file=sys.stderr)
    return 1 if failed else 0


def parse_options(text: str) -> list[tuple[str, Any]]:
    """Parses ``name=value,name=value``; values are bool, int, float or else text."""
    options = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {part!r}")
        options.append((name.strip(), _parse_value(value.strip())))
    return options


def _parse_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _names(known: tuple[str, ...]) -> Any:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown) or 'empty list'}; known: {', '.join(known)}")
        return list(dict.fromkeys(names))

    return parse


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _run_tasks(setup: Setup, tasks: Sequence[Task], results: ResultsFile, jobs: int) -> int:
    """Runs tasks, writes each record as it comes; returns the number of failures."""
    results.start_new_line()
    failed = 0
    for number, record in enumerate(outcomes(setup, tasks, jobs), start=1):
        results.append(record)
        failed += "error" in record
        print(f"[{number}/{len(tasks)}] {_one_line(record)}", file=sys.stderr, flush=True)
    return failed


def _one_line(record: Record) -> str:
    head = f"{record['dataset']} {record['protocol']} {record['episode']} {report.method_title(record)}"
    if "error" in record:
        return f"{head}: FAILED, {record['error']}"
    value = report.mean_dice(record)
    return f"{head}: Dice {'–' if value is None else f'{value:.3f}'}, {record['seconds']:.1f} s"
