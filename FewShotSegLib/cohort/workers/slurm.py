"""Workers as SLURM jobs, by dask-jobqueue."""

from __future__ import annotations

import sys
from typing import Any

from FewShotSegLib.errors import SettingError


def slurm_cluster(partition: str = "", walltime: str = "04:00:00", memory: str = "4GB") -> Any:
    """A cluster without workers yet, which are to be SLURM jobs of one core each.

    Args:
        partition: to submit to, the site's own if empty.
        walltime: of a job, hours:minutes:seconds.
        memory: of a job.

    Returns:
        a `dask_jobqueue.SLURMCluster`; its `job_script()` is what is submitted.

    Raises:
        SettingError: memory or walltime can't be read.
    """
    from dask_jobqueue import SLURMCluster

    try:
        return SLURMCluster(
            queue=partition or None,
            cores=1,
            processes=1,
            memory=memory,
            walltime=walltime,
            python=sys.executable,
            # One thread a case: results are the same on any number of workers.
            job_script_prologue=["export OMP_NUM_THREADS=1"],
            # A worker that goes before its job does leaves in time for its case to be done by another.
            worker_extra_args=["--lifetime-stagger", "2m"],
            scheduler_options={"dashboard_address": None},
        )
    except ValueError as error:
        raise SettingError(
            f"SLURM's jobs can't have the memory {memory} and the time {walltime} ({error}), expected such as 4GB and "
            "04:00:00."
        ) from error
