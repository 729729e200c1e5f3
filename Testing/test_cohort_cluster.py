"""A cohort on several workers: the same results, whatever happens to workers and scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from small_cohort import a_library, results_of, some_cases, start_cohort

from FewShotSegLib.cohort.cases import find_cases
from FewShotSegLib.cohort.record import DONE, Record
from FewShotSegLib.cohort.run import run_cohort
from FewShotSegLib.cohort.store import Store
from FewShotSegLib.cohort.work import CaseWork, Settings
from FewShotSegLib.cohort.workers.cluster import OnWorkers, client_at, loads, local_client
from FewShotSegLib.errors import FewShotSegError, SettingError
from FewShotSegLib.library import Library

COUNT = 3


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, bytes]]:
    """Library, queries, and what comes of them one after the other in one process."""
    folder = tmp_path_factory.mktemp("cohort")
    library, queries = a_library(folder / "lib.zip"), some_cases(folder / "scans", COUNT)
    run_cohort(find_cases(str(queries)), Store(folder / "out"), work_of(library))
    return library, queries, results_of(folder / "out")


def work_of(library: Path) -> CaseWork:
    opened = Library.open(library)
    return CaseWork(opened.examples(), Settings(device="cpu"), opened.fingerprint)


def test_results_on_workers_equal_those_of_one_process_though_a_worker_is_killed_at_work(
    cohort: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    library, queries, expected = cohort
    process = start_cohort(library, queries, tmp_path, "--workers", "2")
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("cases/case*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    # Once one case is done, the workers are at work on others.
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[0].kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert f"{COUNT} cases: 0 failed" in out
    assert results_of(tmp_path) == expected


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler in a process of its own, with one worker; and its address."""
    where = tmp_path / "scheduler.json"
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    process = subprocess.Popen(
        [*start, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where)],
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "2", "--no-dashboard", "--no-nanny"]
    other = subprocess.Popen(
        [*worker, "--scheduler-file", str(where), "--death-timeout", "20"],
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=dict(environment, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    deadline = time.monotonic() + 60
    while not where.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    yield process, json.loads(where.read_text())["address"]
    for running in (other, process):
        running.kill()
        running.wait()


def test_a_lost_scheduler_costs_only_time(
    cohort: tuple[Path, Path, dict[str, bytes]], tmp_path: Path, scheduler: tuple[subprocess.Popen[bytes], str]
) -> None:
    library, queries, expected = cohort
    process, address = scheduler
    work, store = work_of(library), Store(tmp_path / "out")

    def kill(_: Record) -> None:
        """Once a case is done."""
        assert list(client.run(loads).values()) == [1]
        process.kill()

    with client_at(address) as client:
        workers = OnWorkers(client, library, work)
        with pytest.raises(SettingError, match="goes on from there"):
            run_cohort(find_cases(str(queries)), store, work, workers, told=kill)
    done = [case.name for case in find_cases(str(queries)) if store.record(case.name)]
    assert done
    records, _ = run_cohort(find_cases(str(queries)), store, work)
    assert [record.status for record in records] == COUNT * [DONE]
    assert results_of(tmp_path / "out") == expected


def test_an_address_where_nothing_answers_is_told() -> None:
    with pytest.raises(SettingError, match="No Dask scheduler answers"), client_at("tcp://127.0.0.1:1", patience=1.0):
        pass


def test_workers_that_see_another_library_do_nothing_with_it(tmp_path: Path) -> None:
    library, queries = a_library(tmp_path / "lib"), some_cases(tmp_path / "scans", 1)
    work = work_of(library)
    Library.open(a_library(tmp_path / "other", 2)).save(library)
    with local_client(1) as client, pytest.raises(FewShotSegError, match="another one than the one the run began with"):
        run_cohort(find_cases(str(queries)), Store(tmp_path / "out"), work, OnWorkers(client, library, work))


def test_slurm_gets_jobs_of_one_core_that_start_a_worker_with_this_python() -> None:
    from FewShotSegLib.cohort.workers.slurm import slurm_cluster

    with slurm_cluster(partition="short", walltime="02:00:00", memory="3GB") as cluster:
        script = cluster.job_script().splitlines()
    assert "#SBATCH -p short" in script
    assert "#SBATCH -t 02:00:00" in script
    assert "#SBATCH --cpus-per-task=1" in script
    assert "#SBATCH --mem=3G" in script
    assert "export OMP_NUM_THREADS=1" in script
    [command] = [line for line in script if "dask_worker" in line or "dask worker" in line]
    assert command.startswith(sys.executable)
    assert "--nthreads 1" in command


def test_slurm_jobs_of_no_sensible_size_are_refused() -> None:
    from FewShotSegLib.cohort.workers.slurm import slurm_cluster

    with pytest.raises(SettingError, match="expected such as 4GB"):
        slurm_cluster(memory="much")
