"""Processes beside the application, which run the engine and end with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from FewShotSegModule.runs import interpreter


def start(line: Sequence[str], log: Any) -> subprocess.Popen[bytes]:
    """Starts a process with pipes for its standard input and output.

    :param line: The program and its arguments.
    :param log: File for its standard error.
    :raises OSError: It can't be started.
    """
    options: dict[str, Any] = {}
    if os.name == "nt":
        # No console window appears, and the application goes first.
        options["creationflags"] = 0x08000000 | 0x00004000  # CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS
    else:
        options["start_new_session"] = True  # a group of its own, which can be killed as a whole
    return subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=interpreter.environment(),
        cwd=interpreter.engineFolder(),  # Windows removes no folder that somebody works in
        **options,
    )


def killTree(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and its children: Slicer's Python is started by a launcher, which the worker would outlive."""
    if process.poll() is not None and os.name == "nt":
        return
    if os.name == "nt":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            capture_output=True,
            creationflags=0x08000000,
            check=False,
        )
    else:
        # The group may live on after its first process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    # It does nothing more from here on; how long the system takes to have its memory back is not worth waiting for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.05)
