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
        "import subprocess, sys, json\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(json.dumps({'is': 'started', 'child': child.pid}), flush=True)\n"
        "child.wait()\n"
    )
    client = WorkerClient([sys.executable, "-c", code])
    answers: list[dict[str, Any]] = []
    while not answers:
        answers = client.receive(seconds=1.0)
    began = time.monotonic()
    client.kill()
    assert time.monotonic() - began < 0.5
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(answers[0]["child"], 0)
        except ProcessLookupError:
            return
        if Path("/proc", str(answers[0]["child"]), "stat").read_text().split()[2] == "Z":
            return  # it has ended; nobody has asked for its result
        time.sleep(0.02)
    pytest.fail("the child goes on")
