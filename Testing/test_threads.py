"""How many threads are used, and how they wait; asked in processes of their own, since it is settled once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from FewShotSegLib import threads

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")  # fmt: skip
TELL = """
import json, os, sys
import SimpleITK, torch
count = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
print(json.dumps({"torch": torch.get_num_threads(), "itk": count, "wait": os.environ.get("OMP_WAIT_POLICY")}))
"""
CORES = threads.cores()


def run(code: str, **environment: str) -> tuple[dict[str, object], str]:
    """What a fresh Python tells after some code, and what its libraries said."""
    # Also without what another test's libraries may have set: MKL's number, say, holds for torch.
    own = {name: value for name, value in os.environ.items() if name not in SETTINGS and "NUM_THREADS" not in name}
    command = [sys.executable, "-c", code + TELL]
    done = subprocess.run(command, env=own | environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "from FewShotSegLib.segmenter import Segmenter",
        "from FewShotSegLib import cli; cli.main(['segment', '--help'])",
        # The worker, whose input has ended before it begins, ends by itself: what it set is asked when it does.
        "import sys, os, runpy, FewShotSegLib.worker.process as p\n"
        "p.main = lambda arguments: None\n"
        "runpy.run_module('FewShotSegLib.worker', run_name='__main__')",
    ],
)
def test_whoever_of_ours_loads_torch_first_leaves_a_core_to_others_and_has_threads_sleep_while_they_wait(
    code: str,
) -> None:
    told, said = run(code, OMP_DISPLAY_ENV="TRUE")
    best = max(CORES - 1, 1)
    assert told == {"torch": best, "itk": best, "wait": "PASSIVE"}
    if sys.platform.startswith("linux"):
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in said, "torch's own OpenMP tells what it goes by"


def test_what_the_user_sets_stays_and_his_number_holds_for_all_libraries() -> None:
    own = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "ACTIVE", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": ""}
    told, _ = run("from FewShotSegLib import Segmenter", **own)
    # torch takes no more than there are processors.
    around = {name: value for name, value in os.environ.items() if "OMP" in name or "MKL" in name or "THREAD" in name}
    assert told == {"torch": min(2, os.cpu_count() or 1), "itk": 2, "wait": "ACTIVE"}, around


def test_an_application_that_has_loaded_torch_is_left_alone() -> None:
    told, _ = run("import torch; torch.set_num_threads(2)\nfrom FewShotSegLib import Segmenter")
    assert (told["torch"], told["wait"]) == (2, None)


def test_a_number_that_is_asked_for_holds_for_torch_and_simpleitk() -> None:
    told, _ = run("from FewShotSegLib import threads; threads.use(2)")
    assert told == {"torch": 2, "itk": 2, "wait": "PASSIVE"}


def test_only_importing_the_package_changes_nothing_in_the_application() -> None:
    told, _ = run("import FewShotSegLib; from FewShotSegLib import Volume, Example")
    assert told["wait"] is None


@pytest.mark.parametrize(
    ("siblings", "share", "expected"),
    [
        (["0,2", "1,3", "0,2", "1,3"], "max 100000", 2),  # two threads a core
        (["0", "1", "2", "3"], "max 100000", 4),
        (["0", "1", "2", "3"], "250000 100000", 2),  # a container's share
        (["0", "1", "2", "3"], None, 4),
        (None, None, 4),  # the system does not tell
    ],
)
def test_cores_are_counted_and_not_their_threads(
    siblings: list[str] | None, share: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(siblings or []):
        file = tmp_path / f"devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(text + "\n")
    if share:
        (tmp_path / "fs/cgroup").mkdir(parents=True)
        (tmp_path / "fs/cgroup/cpu.max").write_text(share)
    assert threads.cores_of({0, 1, 2, 3}, "Linux", tmp_path) == expected


def test_a_system_that_is_not_known_counts_logical_processors() -> None:
    assert threads.cores_of({0, 1, 2}, "Plan 9") == 3
    assert threads.cores_of(set(), "Plan 9") == 1
