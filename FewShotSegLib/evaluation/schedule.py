"""What a benchmark has to run, and the processes that run it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation import manifests
from FewShotSegLib.evaluation.datasets import DatasetNotFoundError
from FewShotSegLib.evaluation.episodes import Episode
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.evaluation.methods import Method
from FewShotSegLib.evaluation.registry import Ingredients, make_method, query_cases, serves
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.results import Record, episode_digest, record_key
from FewShotSegLib.evaluation.runner import CaseStore, run_episode


@dataclass(frozen=True)
class Setup:
    """What a process needs to run tasks; all of it can be pickled.

    Attributes:
        data: Data folder that holds ``benchmark/``.
        manifests: Folder of the frozen episodes.
        ingredients: What methods are made from.
        checksums: SHA-256 of the weights of each method that has any.
        threads: Of each process.
        run: Identifier that records refer to.
        pictures: Folder for labelmaps, None if they are not kept.
    """

    data: Path
    manifests: Path
    ingredients: Ingredients
    checksums: dict[str, str]
    threads: int
    run: str = ""
    pictures: Path | None = None

    def options(self, method: str) -> dict[str, Any]:
        """Options from the command line that concern a method: only networks in the engine have any."""
        return dict(self.ingredients.options or {}) if self.checksums.get(method) is not None else {}


@dataclass(frozen=True)
class Task:
    """One episode for one method; of the first of each group the multiply-accumulates are counted."""

    key: str
    method: str
    protocol: str
    episode: Episode
    count_macs: bool = False

    @property
    def file_name(self) -> str:
        """Name of the file of its labelmap."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:20] + ".npz"


def plan(
    setup: Setup, protocols: Sequence[str], sets: Sequence[str], methods: Sequence[str], cases: int | None
) -> list[Task]:
    """All tasks, those of one query case next to each other so that its data is read once."""
    tasks, counted = [], set()
    for dataset in sets:
        manifest = manifests.read(dataset, setup.manifests)
        chosen: dict[str, set[str]] = {}
        for method in methods:
            able = query_cases(method, setup.ingredients, dataset, sorted(manifest.cases))
            chosen[method] = set(evenly_spread(able, cases))
        for protocol in protocols:
            asked = [method for method in methods if serves(method, protocol)]
            for episode in manifest.of_protocol(protocol):
                digest = episode_digest(episode, protocol, manifest)
                for method in asked:
                    if episode.query not in chosen[method]:
                        continue
                    weights = setup.checksums.get(method, "")
                    key = record_key(method, setup.options(method), weights, protocol, episode, digest)
                    group = dataset, protocol, method
                    tasks.append(Task(key, method, protocol, episode, group not in counted))
                    counted.add(group)
    return sorted(tasks, key=lambda task: (sets.index(task.episode.dataset), task.episode.query))


def evenly_spread(items: Sequence[str], count: int | None) -> list[str]:
    """A number of items evenly spread over a list; all where count is None or larger than the list."""
    if count is None or count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def outcomes(setup: Setup, tasks: Sequence[Task], jobs: int) -> Iterator[Record]:
    """Runs tasks in one or several processes and gives each record as soon as it is there.

    Raises:
        Exception: What `Worker.run` raises: nothing else would work either.
    """
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
        self._methods: dict[str, Method] = {}

    def run(self, task: Task) -> Record:
        """Runs a task.

        Returns:
            Its record; with "error" instead of figures where the method failed on this episode.

        Raises:
            ManifestMismatchError: The data is not what the manifest was made from.
            DatasetNotFoundError: A case is missing.
            MissingPackageError: The method or a measure needs a package that is not installed.
            FewShotSegError: The model can't be made: its weights or its device are missing.
        """
        method = self._method(task.method)
        setup = self._setup
        record: Record = {
            "key": task.key,
            "dataset": task.episode.dataset,
            "protocol": task.protocol,
            "episode": task.episode.name,
            "query": task.episode.query,
            "method": task.method,
            "options": setup.options(task.method),
            "weights": setup.checksums.get(task.method, ""),
            "threads": setup.threads,
            "device": setup.ingredients.device if method.is_network else "cpu",
            "run": setup.run,
        }
        keep = None if setup.pictures is None else setup.pictures / task.file_name
        try:
            return record | run_episode(method, task.protocol, task.episode, self._store, task.count_macs, keep)
        except (ManifestMismatchError, DatasetNotFoundError, MissingPackageError):
            raise
        except Exception as error:  # one failure must not cost a night's run; it is counted and reported
            return record | {"error": f"{type(error).__name__}: {error}"}

    def _method(self, name: str) -> Method:
        if name not in self._methods:
            method = make_method(name, self._setup.ingredients)
            if method.is_network:
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
