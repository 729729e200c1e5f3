"""The benchmark command: ``fewshotseg benchmark`` or ``python -m FewShotSegLib.evaluation``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation import manifests, peers, report
from FewShotSegLib.evaluation.datasets import DATASETS, DatasetNotFoundError
from FewShotSegLib.evaluation.manifests import Episode, ManifestMismatchError
from FewShotSegLib.evaluation.results import Record, ResultsFile, episode_digest, record_key
from FewShotSegLib.evaluation.runner import CaseStore, run_episode

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


@dataclass(frozen=True)
class Setup:
    """What a process needs to run tasks; all of it can be pickled."""

    data: Path
    manifests: Path
    weights: Path | None
    checksum: str
    options: dict[str, Any]
    device: str
    threads: int


@dataclass(frozen=True)
class Task:
    """One episode for one method."""

    key: str
    method: str
    protocol: str
    episode: Episode


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
        0; 1 when an episode failed; 2 when the data or the weights are not what is expected.
    """
    # Set before torch, ITK and VTK are loaded, here and, inherited, in the processes started below.
    os.environ.update({variable: str(args.threads) for variable in THREAD_VARIABLES})
    if args.weights is not None and not args.weights.is_file():
        print(f"error: there is no weights file {args.weights}", file=sys.stderr)
        return 2
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
    except (ManifestMismatchError, DatasetNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    wanted = {task.key for task in tasks}
    table = report.to_markdown(record for key, record in results.finished().items() if key in wanted)
    (args.output / "results.md").write_text(table, encoding="utf-8")
    print(table)
    if failed:
        print(f"{failed} episodes failed; they are run again next time. See 'error' in {results.path}", file=sys.stderr)
    return 1 if failed else 0


def plan(
    setup: Setup, protocols: Sequence[str], sets: Sequence[str], methods: Sequence[str], cases: int | None
) -> list[Task]:
    """All tasks, those of one query case next to each other so that its data is read once."""
    tasks = []
    for dataset in sets:
        manifest = manifests.read(dataset, setup.manifests)
        chosen = set(evenly_spread(sorted(manifest.cases), cases))
        for protocol in protocols:
            for episode in manifest.of_protocol(protocol):
                digest = episode_digest(episode, protocol, manifest)
                for method in methods if episode.query in chosen else ():
                    if protocol.startswith("W-") or not _within_volume_only(method):
                        options, weights = _of_method(setup, method)
                        key = record_key(method, options, weights, protocol, episode, digest)
                        tasks.append(Task(key, method, protocol, episode))
    return sorted(tasks, key=lambda task: (sets.index(task.episode.dataset), task.episode.query))


def evenly_spread(items: Sequence[str], count: int | None) -> list[str]:
    """A number of items evenly spread over a list; all where count is None or larger than the list."""
    if count is None or count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


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


def _within_volume_only(method: str) -> bool:
    return method in peers.PEERS and peers.PEERS[method].within_volume_only


def _of_method(setup: Setup, method: str) -> tuple[dict[str, Any], str]:
    """Options and weights checksum that concern a method: only the model has any."""
    return (setup.options, setup.checksum) if method == peers.Model.name else ({}, "")


def _run_tasks(setup: Setup, tasks: Sequence[Task], results: ResultsFile, jobs: int) -> int:
    """Runs tasks, writes each record as it comes; returns the number of failures."""
    results.start_new_line()
    failed = 0
    for number, record in enumerate(_outcomes(setup, tasks, jobs), start=1):
        results.append(record)
        failed += "error" in record
        print(f"[{number}/{len(tasks)}] {_one_line(record)}", file=sys.stderr, flush=True)
    return failed


def _outcomes(setup: Setup, tasks: Sequence[Task], jobs: int) -> Iterator[Record]:
    if jobs == 1:
        worker = Worker(setup)
        yield from (worker.run(task) for task in tasks)
        return
    # Spawned, not forked: torch, ITK and VTK hold threads that a fork would break.
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker, (setup,)) as pool:
        futures = [pool.submit(_run_in_worker, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Worker:
    """Runs tasks one after another, with methods and cases kept between them."""

    def __init__(self, setup: Setup) -> None:
        """Args: what all tasks have in common."""
        self._setup = setup
        self._store = CaseStore(setup.data, setup.manifests)
        self._methods: dict[str, peers.Method] = {}

    def run(self, task: Task) -> Record:
        """Runs a task.

        Returns:
            Its record; with "error" instead of figures where the method failed.

        Raises:
            ManifestMismatchError, DatasetNotFoundError: The data can't be used; nothing else would work either.
        """
        options, weights = _of_method(self._setup, task.method)
        record: Record = {
            "key": task.key,
            "dataset": task.episode.dataset,
            "protocol": task.protocol,
            "episode": task.episode.name,
            "query": task.episode.query,
            "method": task.method,
            "options": options,
            "weights": weights,
            "threads": self._setup.threads,
            "device": self._setup.device,
            "python": platform.python_version(),
        }
        try:
            return record | run_episode(self._method(task.method), task.episode, self._store)
        except (ManifestMismatchError, DatasetNotFoundError):
            raise
        except Exception as error:  # one failure must not cost a night's run; it is counted and reported
            return record | {"error": f"{type(error).__name__}: {error}"}

    def _method(self, name: str) -> peers.Method:
        if name not in self._methods:
            method = peers.make_method(name, self._setup.weights, self._setup.options, self._setup.device)
            if isinstance(method, peers.Model):
                _limit_torch(self._setup.threads)
            method.prepare()
            self._methods[name] = method
        return self._methods[name]


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


_worker: Worker | None = None
"""The worker of a started process; a pool's functions can reach nothing else."""


def _start_worker(setup: Setup) -> None:
    global _worker
    _worker = Worker(setup)


def _run_in_worker(task: Task) -> Record:
    assert _worker is not None
    return _worker.run(task)


def _one_line(record: Record) -> str:
    head = f"{record['dataset']} {record['protocol']} {record['episode']} {report.method_title(record)}"
    if "error" in record:
        return f"{head}: FAILED, {record['error']}"
    value = report.mean_dice(record)
    return f"{head}: Dice {'–' if value is None else f'{value:.3f}'}, {record['seconds']:.1f} s"
