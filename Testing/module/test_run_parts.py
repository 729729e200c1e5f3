"""The small parts of runs that need neither engine nor scene."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


class ATimer:
    """Fires when it is told to, as a QTimer does by itself."""

    def __init__(self) -> None:
        self.active = False
        self.interval = 0
        self.fire: Callable[[], None] = lambda: None

    def setInterval(self, milliseconds: int) -> None:
        self.interval = milliseconds

    def connect(self, signal: str, slot: Callable[[], None]) -> None:
        assert signal == "timeout()"
        self.fire = slot

    def start(self) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False


def test_a_run_that_nobody_waits_for_is_polled_until_it_is_done(slicer: Any) -> None:
    from FewShotSegModule.runs.run_timer import RunTimer

    polled: list[int] = []
    run: Any = SimpleNamespace(state="running", poll=lambda: polled.append(1))
    timer = ATimer()
    RunTimer(run, timer).start()
    timer.fire()
    assert bool(timer.active)
    assert 0 < timer.interval <= 200
    run.state = "finished"
    timer.fire()
    assert not bool(timer.active)
    assert len(polled) == 2
    assert not RunTimer._active


def test_a_callback_that_fails_does_not_leave_the_timer_running(slicer: Any) -> None:
    from FewShotSegModule.runs.run_timer import RunTimer

    run: Any = SimpleNamespace(state="running")

    def poll() -> None:
        run.state = "finished"
        raise ZeroDivisionError

    run.poll = poll
    timer = ATimer()
    RunTimer(run, timer).start()
    with pytest.raises(ZeroDivisionError):
        timer.fire()
    assert not timer.active


def test_in_slicer_the_interpreter_is_the_one_beside_the_application(
    slicer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from FewShotSegModule.runs.errors import RunError
    from FewShotSegModule.runs.interpreter import pythonExecutable

    assert pythonExecutable() == sys.executable
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    beside = tmp_path / "bin" / name
    beside.parent.mkdir()
    beside.touch()
    monkeypatch.setattr(slicer.app, "slicerHome", str(tmp_path), raising=False)
    assert pythonExecutable() == str(beside)
    beside.unlink()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    with pytest.raises(RunError, match="PythonSlicer was not found"):
        pythonExecutable()


def test_a_worker_that_can_not_be_started_is_told_and_leaves_nothing(
    slicer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    from FewShotSegModule.runs.errors import RunError
    from FewShotSegModule.runs.worker_client import WorkerClient

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RunError, match="can't be started"):
        WorkerClient([str(tmp_path / "no such program")])
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_crashes_is_told_with_its_last_words(slicer: Any) -> None:
    from FewShotSegModule.runs.worker_client import WorkerClient

    client = WorkerClient([sys.executable, "-c", "import sys; sys.exit('broken installation')"])
    client._process.wait(60)
    assert not client.alive
    assert client.exitCode == 1
    assert client.logTail() == "broken installation"
    client.kill()
    assert not client.folder.exists()


def test_killing_a_worker_ends_what_it_started_too(slicer: Any) -> None:
    """As Slicer's launcher starts the Python that works."""
    import os
    import time

    from FewShotSegModule.runs.worker_client import WorkerClient

    code = (
        "import subprocess, sys\n"
        "from FewShotSegLib.worker.protocol import Cancelled, encode\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(encode(Cancelled(run=child.pid)).decode(), flush=True)\n"
        "child.wait()\n"
    )
    client = WorkerClient([sys.executable, "-c", code])
    answers: list[Any] = []
    while not answers:
        answers = client.receive(seconds=1.0)
    began = time.monotonic()
    client.kill()
    assert time.monotonic() - began < 0.5
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(answers[0].run, 0)
        except ProcessLookupError:
            return
        if Path("/proc", str(answers[0].run), "stat").read_text().split()[2] == "Z":
            return  # it has ended; nobody has asked for its result
        time.sleep(0.02)
    pytest.fail("the child goes on")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the system's folder for temporary files is meanwhile."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_of_an_application_that_was_killed_is_removed_at_the_next_start(
    slicer: Any, temporary: Path, repository: Path
) -> None:
    import os
    import subprocess

    from FewShotSegModule.runs.exchange_folder import ExchangeFolder

    code = (
        "import sys, types; i18n = types.ModuleType('slicer.i18n'); i18n.tr = str\n"
        "sys.modules['slicer'] = types.ModuleType('slicer'); sys.modules['slicer.i18n'] = i18n\n"
        "from FewShotSegModule.runs.exchange_folder import ExchangeFolder\n"
        "folder = ExchangeFolder(); (folder.path / '1-query.npy').touch(); print(folder.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=repository / "FewShotSeg",
        env={**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    ours = ExchangeFolder()
    assert (theirs / "1-query.npy").exists(), "it is in use"
    other.kill()
    other.communicate()
    another = ExchangeFolder()
    assert sorted(temporary.iterdir()) == sorted([ours.path, another.path])
    for folder in (ours, another):
        folder.remove()
    assert list(temporary.iterdir()) == []


def test_a_folder_that_can_not_be_removed_goes_with_the_next_one(
    slicer: Any, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from FewShotSegModule.runs.exchange_folder import ExchangeFolder

    stubborn = ExchangeFolder()
    with monkeypatch.context() as refusing:
        refusing.setattr(shutil, "rmtree", lambda _path, ignore_errors: None)
        stubborn.remove()
    assert stubborn.path.exists()
    after = ExchangeFolder()
    assert list(temporary.iterdir()) == [after.path]
    after.remove()


def test_only_folders_of_ours_that_nobody_has_are_removed(slicer: Any, temporary: Path, tmp_path: Path) -> None:
    import os
    import time

    from FewShotSegModule.runs.exchange_folder import removeAbandoned

    outside = tmp_path / "precious"
    outside.mkdir()
    for name in ("FewShotSeg-new", "FewShotSeg-old", "somebody's"):
        (temporary / name).mkdir()
    os.utime(temporary / "FewShotSeg-old", (time.time() - 2 * 24 * 3600,) * 2)
    (temporary / "FewShotSeg-file").touch()
    (temporary / "FewShotSeg-link").symlink_to(outside, target_is_directory=True)
    removeAbandoned()
    kept = {"FewShotSeg-new", "somebody's", "FewShotSeg-file", "FewShotSeg-link", "precious"}
    assert {path.name for path in temporary.iterdir()} == kept


def test_a_worker_does_not_work_in_the_folder_that_goes_with_it(slicer: Any) -> None:
    """Windows would refuse to remove it."""
    from FewShotSegModule.runs.worker_client import WorkerClient

    from FewShotSegLib.worker.protocol import Failed

    code = (
        "import os; from FewShotSegLib.worker.protocol import Failed, encode\n"
        "print(encode(Failed(run=1, request='', kind='', message=os.getcwd())).decode(), flush=True)\n"
    )
    client = WorkerClient([sys.executable, "-c", code])
    (answer,) = client.receive(seconds=30.0)
    assert isinstance(answer, Failed)
    client.close()
    assert Path(answer.message) != client.folder
    assert not client.folder.exists()
