"""Cases on many processes at once, on this machine or others, by Dask (dask.distributed).

A worker loads network and library once, and writes a case's results itself into the output folder, which all machines
see. What a lost worker was at is done again by another one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.comm import CommClosedError

from FewShotSegLib.cohort.cases import Case
from FewShotSegLib.cohort.record import FAILED, Record
from FewShotSegLib.cohort.store import Store
from FewShotSegLib.cohort.work import CaseWork, Settings
from FewShotSegLib.errors import SettingError, WriteError

# A worker that was lost so many times with one case at work was lost to that case.
_LOSSES = 4
# Seconds that the first worker may take to come.
_PATIENCE = 120.0
_MARK = ".seen-by-workers-"


@dataclass(frozen=True)
class WorkOrder:
    """What a worker needs to do cases.

    Attributes:
        library: path that all workers see.
        fingerprint: of the library's content.
        output: folder that all workers see.
        settings: see there.
        usual: see `CaseWork`; None for nan, which would equal no other order's.
    """

    library: str
    fingerprint: str
    output: str
    settings: Settings
    usual: float | None


class OnWorkers:
    """Does cases on Dask's workers.

    Args:
        client: of a running cluster.
        library: path that all workers see.
        work: what they are to do as this process would.
    """

    def __init__(self, client: Client, library: str | Path, work: CaseWork) -> None:
        self._client, self._library, self._work = client, library, work

    def __call__(self, cases: Sequence[Case], store: Store, done: Callable[[float], None]) -> Iterator[Record]:
        """See `run.Cases`.

        Raises:
            SettingError: the scheduler is lost, no worker came, or a worker sees neither library nor output.
            WriteError: a worker can't write results.
        """
        work = self._work
        usual = None if math.isnan(work.usual) else work.usual
        library, output = os.path.abspath(self._library), os.path.abspath(store.folder)
        order = WorkOrder(library, work.library, output, work.settings, usual)
        with _scheduler_needed(), _marked(store) as mark:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
            futures = {self._client.submit(_do, order, mark, case, pure=False): case for case in cases}
            try:
                for future in as_completed(futures):
                    yield self._record(future, futures[future], store)
                    future.release()
            finally:
                with contextlib.suppress(Exception):
                    self._client.cancel(list(futures))

    def _record(self, future: Any, case: Case, store: Store) -> Record:
        if future.status == "cancelled":
            raise CommClosedError("the cases were cancelled")
        try:
            record: Record = future.result()
        except KilledWorker:
            text = f"its worker was lost {_LOSSES} times while it worked on it; is there enough memory for a worker?"
            record = Record(case.name, case.path, FAILED, library=self._work.library, error=text)
            store.write(record)
        return record


@contextlib.contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """A cluster of processes on this machine."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": _LOSSES - 1}),
        _quiet(),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def client_at(address: str, patience: float = 10.0) -> Iterator[Client]:
    """A cluster that runs already.

    Args:
        address: of its scheduler.
        patience: seconds that it may take to answer.

    Raises:
        SettingError: nothing answers at the address.
    """
    try:
        client = Client(address, timeout=patience)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingError(
            f"No Dask scheduler answers at {address} ({error}), expected one as 'dask scheduler' starts it, for "
            "instance tcp://host:8786."
        ) from error
    with _quiet(), contextlib.closing(client):
        yield client


@contextlib.contextmanager
def slurm_client(cluster: Any, workers: int) -> Iterator[Client]:
    """A cluster of SLURM jobs.

    Args:
        cluster: from `slurm.slurm_cluster`.
        workers: jobs at a time; one that ends is replaced as long as there is work.
    """
    with contextlib.closing(cluster), Client(cluster) as client:
        cluster.adapt(minimum_jobs=1, maximum_jobs=workers)
        yield client


@contextlib.contextmanager
def _scheduler_needed() -> Iterator[None]:
    try:
        yield
    except (CommClosedError, TimeoutError) as error:
        raise SettingError(
            f"The Dask scheduler or its workers can't be reached any more ({error}). What was finished is kept; start "
            "them again, and the same command goes on from there."
        ) from error


@contextlib.contextmanager
def _marked(store: Store) -> Iterator[str]:
    """A file in the output folder by which workers see that theirs is the same one."""
    mark = store.folder / f"{_MARK}{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark.name
    finally:
        mark.unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own account of every lost connection would hide what matters."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


# On a worker

_works: dict[WorkOrder, CaseWork] = {}
_one_at_a_time = Lock()


def _do(order: WorkOrder, mark: str, case: Case) -> Record:
    """Does a case on a worker; on one with several threads, one case at a time."""
    if not (Path(order.output) / mark).exists():
        raise WriteError(
            f"The worker {os.uname().nodename if hasattr(os, 'uname') else os.getpid()} does not see the output folder "
            f"{order.output}; all machines need to have it under the same path."
        )
    with _one_at_a_time:
        if order not in _works:
            _works.clear()
            _works[order] = _loaded(order)
        return _works[order].run(case, Store(order.output))


def _loaded(order: WorkOrder) -> CaseWork:
    from FewShotSegLib.library import Library

    library = Library.open(order.library)
    if library.fingerprint != order.fingerprint:
        raise SettingError(
            f"The library {order.library} that the worker sees is another one than the one the run began with; all "
            "machines need to have it under the same path, unchanged while the run lasts."
        )
    usual = math.nan if order.usual is None else order.usual
    return CaseWork(library.examples(), order.settings, order.fingerprint, usual)


def loads() -> int:
    """On a worker: how many libraries it holds, one at most."""
    return len(_works)
