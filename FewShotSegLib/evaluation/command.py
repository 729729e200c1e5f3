"""The benchmark command: ``fewshotseg benchmark`` or ``python -m FewShotSegLib.evaluation``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from FewShotSegLib import threads
from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.evaluation import (
    engine,
    manifests,
    plots,
    protocols,
    registry,
    report,
    sheets,
    speed,
    speed_busy,
    speed_cases,
)
from FewShotSegLib.evaluation.corrections_report import is_correction
from FewShotSegLib.evaluation.datasets import DATASETS, DatasetNotFoundError
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import Record, ResultsFile
from FewShotSegLib.evaluation.run_info import append_run, describe_run, runs_of_other_engines
from FewShotSegLib.evaluation.runner import CaseStore
from FewShotSegLib.evaluation.schedule import Setup, Task, evenly_spread, outcomes, plan
from FewShotSegLib.evaluation.selection import names, parse_options, positive
from FewShotSegLib.evaluation.tables import all_tables

DESCRIPTION = "Measure the model and its peers on frozen episodes; finished episodes are not run again."
EXAMPLES = """\
examples:
  %(prog)s --data ../shared/data --output runs/benchmark --quick
  %(prog)s --data ../shared/data --output runs/benchmark --protocol W,EP1-blind --methods standard
  %(prog)s --data ../shared/data --output runs/painting --protocol painting --methods model-fast,grow,fill
  %(prog)s --data ../shared/data --output runs/ablation --methods ablation --protocol W-3,EP1-blind
  %(prog)s --data ../shared/data --output runs/ep1 --methods model,in-domain --protocol EP1,EP1-blind
  %(prog)s --data ../shared/data --output runs/speed --speed --growth --large
"""
QUICK_CASES = 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "VTK_SMP_MAX_THREADS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the benchmark's options to a parser."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data folder that holds benchmark/<SET>/")
    add("--output", type=Path, required=True, help="folder for raw results, tables and plots")
    known = ", ".join([*protocols.PROTOCOLS, *protocols.PROTOCOL_GROUPS])
    add("--protocol", type=names(protocols.PROTOCOLS, protocols.PROTOCOL_GROUPS), default=None, metavar="P,...",
        help=f"of {known} (default {','.join(protocols.DEFAULT)})")  # fmt: skip
    add("--sets", type=names(tuple(DATASETS)), default=list(DATASETS), metavar="SET,...",
        help=f"of {', '.join(DATASETS)} (default all)")  # fmt: skip
    known = ", ".join([*registry.METHOD_NAMES, *registry.METHOD_GROUPS])
    add("--methods", type=names(registry.METHOD_NAMES, registry.METHOD_GROUPS), default=None, metavar="M,...",
        help=f"of {known} (default standard; with --speed {','.join(speed.METHODS)})")  # fmt: skip
    add("--cases", type=positive, default=None, metavar="N", help="only N query cases of each set, evenly spread")
    add("--option", type=parse_options, action="extend", default=[], metavar="NAME=VALUE,...",
        help="keyword arguments of Segmenter.segment, e.g. refine=false; complete=all or complete=nothing: that of the "
        "examples (default: the engine finds out)")  # fmt: skip
    add("--weights", type=Path, default=None, metavar="FILE", help="weights of the model (default: the bundled ones)")
    add("--baselines", type=Path, default=registry.BASELINES_FOLDER, metavar="DIR",
        help="folder of what python -m FewShotSegLib.evaluation.baselines trains (default %(default)s)")  # fmt: skip
    add("--in-domain", type=Path, default=registry.IN_DOMAIN_FOLDER, metavar="DIR",
        help="folder of what python -m FewShotSegLib.evaluation.in_domain trains; measured on unseen cases only "
        "(default %(default)s)")  # fmt: skip
    add("--device", default="cpu", help="device of the networks (default cpu)")
    add("--jobs", type=positive, default=1, metavar="N", help="processes at work (default 1)")
    add("--threads", type=positive, default=2, metavar="N", help="threads of each process (default 2)")
    add("--reference", default=engine.MODEL, metavar="METHOD", help="method the others are compared with")
    add("--pictures", action="store_true", help="keep labelmaps; draw worst and median cases of the reference method")
    add("--speed", action="store_true",
        help="measure seconds (also beside a busy program) and memory beside Slicer's fillers, not accuracy")
    add("--repeat", type=positive, default=speed.REPEATS, metavar="N", help="with --speed: repeats (default 5)")
    add("--growth", action="store_true", help="with --speed: growth with slices, in-plane size, examples and segments")
    add("--large", action="store_true", help="with --speed: a volume of 512 x 512 x 300 with three segments")
    add("--quick", action="store_true", help=f"a look only: {QUICK_CASES} cases of each set, {protocols.QUICK[0]}")
    add("--fresh", action="store_true", help="run episodes again that are finished, e.g. after a change of code")
    add("--manifests", type=Path, default=manifests.DEFAULT_FOLDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Runs what the options ask for, and writes and prints the tables.

    Returns:
        0; 1 when an episode failed, or when data, weights, device or packages are not what is needed.
    """
    # Set before torch, ITK and VTK are loaded, here and, inherited, in the processes started below.
    os.environ.update({variable: str(args.threads) for variable in THREAD_VARIABLES})
    threads.prepare()
    if args.weights is not None and not args.weights.is_file():
        print(f"error: there is no weights file {args.weights}", file=sys.stderr)
        return 1
    try:
        return _run_speed(args) if args.speed else _run_episodes(args)
    except (ManifestMismatchError, DatasetNotFoundError, MissingPackageError, FewShotSegError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run_episodes(args: argparse.Namespace) -> int:
    asked = args.protocol or (protocols.QUICK if args.quick else protocols.DEFAULT)
    args.methods = args.methods or list(registry.STANDARD)
    results = ResultsFile(args.output)
    setup, info = _set_up(args, asked)
    tasks = plan(setup, asked, args.sets, args.methods, args.cases or (QUICK_CASES if args.quick else None))
    finished = {} if args.fresh else results.finished()
    todo = [task for task in tasks if task.key not in finished]
    print(f"{len(tasks)} episodes, {len(tasks) - len(todo)} of them finished before", file=sys.stderr)
    _say_what_is_older(args, [finished[task.key] for task in tasks if task.key in finished])
    if todo:
        append_run(args.output, info)
    failed = _run_tasks(setup, todo, results, args.jobs)
    wanted = {task.key for task in tasks}
    records = [record for key, record in results.finished().items() if key in wanted]
    text = all_tables(records, args.reference)
    (args.output / "results.md").write_text(text, encoding="utf-8")
    print(text)
    _draw(args, setup, tasks, records)
    if failed:
        print(f"{failed} episodes failed; they are run again next time. See 'error' in {results.path}", file=sys.stderr)
    return 1 if failed else 0


def _say_what_is_older(args: argparse.Namespace, kept: Sequence[Record]) -> None:
    """Says so where networks' results are kept that the engine of today did not make."""
    others = runs_of_other_engines(args.output)
    older = sum(record["run"] in others for record in kept if record["weights"])
    if older:
        print(f"{older} of these are of an engine with other code; --fresh runs them again", file=sys.stderr)


def _draw(args: argparse.Namespace, setup: Setup, tasks: Sequence[Task], records: Sequence[Record]) -> None:
    """Plots, and picture sheets if labelmaps were kept; without matplotlib a note instead."""
    try:
        plots.draw_against_slices(records, args.output / "dice_against_slices.png")
        plots.draw_against_time(records, args.output / "dice_against_time.png")
        plots.draw_corrections(records, args.output / plots.CORRECTIONS)
        if setup.pictures is not None:
            store = CaseStore(setup.data, setup.manifests)
            by_key = {task.key: task for task in tasks}
            sheets.draw_sheets(by_key, records, args.reference, store, setup.pictures, args.output)
    except MissingPackageError as error:
        print(f"no plots: {error}", file=sys.stderr)


def _run_speed(args: argparse.Namespace) -> int:
    """Measures seconds and memory, each measurement in a process of its own."""
    cases = []
    for name in args.sets:
        known = sorted(manifests.read(name, args.manifests).cases)
        for case in evenly_spread(known, args.cases or 1):
            cases.append(speed_cases.SpeedCase(f"{name} {case}", speed_cases.SET_EXAMPLES, name, case))
    cases += speed_cases.growth_cases() if args.growth else []
    cases += [speed_cases.large_case()] if args.large else []
    ingredients = registry.Ingredients(args.weights, device=args.device)
    checksum = registry.weights_checksum(engine.MODEL, ingredients)
    settings = {"threads": args.threads, "device": args.device, "speed": True, "repeats": args.repeat}
    info = describe_run(args.manifests, args.sets, {engine.MODEL: checksum}, settings)
    args.output.mkdir(parents=True, exist_ok=True)
    append_run(args.output, info)
    plan = speed.SpeedPlan(
        args.data, args.output, cases, args.weights, checksum, args.device, args.threads, args.repeat,
        methods=args.methods or speed.METHODS, run=str(info["run"]),
    )  # fmt: skip
    records, failed = speed.measure_all(plan, args.fresh)
    beside: list[Record] = []
    if engine.FAST_MODEL in plan.methods:
        beside, more_failed = speed_busy.measure_beside(plan, args.fresh)
        failed += more_failed
    text = speed.to_markdown(records, plan.methods) + speed_busy.to_markdown(beside)
    (args.output / speed.TABLES).write_text(text, encoding="utf-8")
    print(text)
    plots.draw_growth(records, args.output / "growth.png")
    if failed:
        print(f"{failed} measurements failed; see 'error' in {speed.FILE} and {speed_busy.FILE}", file=sys.stderr)
    return 1 if failed else 0


def _set_up(args: argparse.Namespace, asked: Sequence[str]) -> tuple[Setup, dict[str, object]]:
    """What the run's processes need, and what is kept of the run's conditions."""
    ingredients = registry.Ingredients(args.weights, dict(args.option), args.device, args.baselines, args.in_domain)
    args.methods = registry.trained_only(args.methods, ingredients)
    checksums = {name: sum_ for name in args.methods if (sum_ := registry.weights_checksum(name, ingredients))}
    settings = {
        "threads": args.threads,
        "jobs": args.jobs,
        "device": args.device,
        "protocols": list(asked),
        "methods": list(args.methods),
        "options": dict(args.option),
    }
    info = describe_run(args.manifests, args.sets, checksums, settings)
    pictures = args.output / "labelmaps" if args.pictures else None
    return Setup(args.data, args.manifests, ingredients, checksums, args.threads, str(info["run"]), pictures), info


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
    if is_correction(record):
        last = record["rounds"][-1]["dice"]
        return f"{head}: {len(record['rounds'])} slices to Dice {report.number(last)}, {record['seconds']:.1f} s"
    return f"{head}: Dice {'–' if value is None else f'{value:.3f}'}, {record['seconds']:.1f} s"
