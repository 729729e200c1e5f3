"""The shell command, called within this process or as one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from FewShotSegLib import cli
from FewShotSegLib.volume import Volume

from .phantom import accuracy
from .row import Unexpected, require_message

REPOSITORY = Path(__file__).resolve().parents[2]
OUTPUT = "out.seg.nrrd"
SEGMENT = ["segment", "ct.nrrd", "--example", "ct.nrrd", "painted.nrrd", "--threads", "1", "--device", "cpu", "--quiet"]
OLD = b"an older result"
GOOD = 0.7
LONGEST_S = 120.0


def call(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit code and what was said, with the folder as working folder."""
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        return cli.main(arguments), said.getvalue()


def start(folder: Path, arguments: list[str], prefix: str = "", **options: object) -> subprocess.Popen[str]:
    """Starts the command in a session of its own.

    Args:
        folder: Working folder.
        arguments: Of the command.
        prefix: What the shell does first, e.g. limits.
        **options: For `subprocess.Popen`.
    """
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | dict(options.pop("env", {}))  # type: ignore[call-overload]
    line = f'{prefix}exec "$0" -m FewShotSegLib "$@"'
    pipes: dict = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = ["/bin/bash", "-c", line, sys.executable, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, errors="replace", start_new_session=True, **(pipes | options)
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for the command; raises `Unexpected` if it takes too long or leaves a process."""
    try:
        out, error = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Unexpected(f"it did not end in {LONGEST_S:.0f} s") from None
    require_no_process_of(process.pid)
    return process.returncode, f"{error or ''}{out or ''}"


def require_no_process_of(session: int) -> None:
    """Raises `Unexpected` if a process of a session is left."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, _parent, _group, its_session = re.sub(r".*\) ", "", stat.read_text(), flags=re.DOTALL).split()[:4]
            if int(its_session) == session and state != "Z":
                raise Unexpected(f"process {stat.parent.name} is left")


def require_failure(code: int, said: str, words: str, expected_code: int = 1) -> str:
    """What was got of a call that had to fail; raises `Unexpected`."""
    message = require_message(said, words)
    if code != expected_code:
        raise Unexpected(f"exit code {code}: {message[:200]}")
    return f"exit {code}: {message}"


def require_good_result(file: Path) -> str:
    """What was got of a call that had to succeed; raises `Unexpected`."""
    if not file.is_file():
        raise Unexpected("no result")
    score = accuracy(Volume.read(file).array)
    if score < GOOD:
        raise Unexpected(f"a wrong result, Dice {score:.2f}")
    return "right result"
