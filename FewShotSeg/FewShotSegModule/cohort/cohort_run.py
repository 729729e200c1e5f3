"""A cohort's run in a process of its own."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from FewShotSegLib.errors import FewShotSegError
from FewShotSegModule.runs import interpreter, processes
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.time_estimate import TimeEstimate

#: What a run is at: writing volumes of the scene, or what the engine says.
WRITING, SEGMENTING = "writing", "segmenting"
_MODULE = ("-m", "FewShotSegLib", "cohort", "--progress", "json")
#: How the shell command begins its messages.
_SAYS = "fewshotseg: "
#: Seconds in which the reading thread may work: within Slicer it only does while the application waits.
_PAUSE = 0.005

Writing = Generator[tuple[int, int], None, str]
"""Writes volumes, one after the other: gives how many are written, of how many, and in the end the path of a table."""


@dataclass(frozen=True)
class CohortInput:
    """What a run needs.

    :param library: Path of the library.
    :param queries: Path of a folder, a pattern or a CSV.
    :param output: Folder for results.
    :param quality: "fast" or "best".
    :param device: "auto", "cpu", "cuda".
    """

    library: str
    queries: str
    output: str
    quality: str
    device: str


class CohortRun:
    """A run; somebody polls it, see `RunTimer`. It can be stopped at any moment, and another one goes on from there.

    :param wanted: What to do.
    :param before: What writes the volumes before the run, if anything; the table that it gives takes the place of
        `wanted.queries`.
    :param onProgress: Called with (what is done, cases done, of how many, seconds left or None).
    :param onCase: Called with the name of each case whose results are there.
    :param onEnd: Called once with a message: "" if all went well, else what to tell the user; not after `cancel`.
    :raises RunError: The process can't be started.
    """

    def __init__(
        self,
        wanted: CohortInput,
        *,
        before: Writing | None = None,
        onProgress: Callable[[str, float, int, float | None], None] = lambda *_: None,
        onCase: Callable[[str], None] = lambda _: None,
        onEnd: Callable[[str], None] = lambda _: None,
    ) -> None:
        #: "running", "finished", "failed" or "cancelled".
        self.state = "running"
        self._wanted, self._before = wanted, before
        self._onProgress, self._onCase, self._onEnd = onProgress, onCase, onEnd
        self._estimates: dict[str, TimeEstimate] = {}
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        if before is None:
            self._start(wanted.queries)

    def poll(self) -> None:
        """Takes what has come since, or writes the next volume."""
        if self.state != "running":
            return
        if self._before is not None:
            self._write(self._before)
            return
        assert self._process is not None
        ended = self._process.poll() is not None
        if ended:
            self._reader.join(1.0)
        with contextlib.suppress(queue.Empty):
            self._take(self._lines.get(timeout=_PAUSE))
            while self.state == "running":
                self._take(self._lines.get_nowait())
        if ended and self.state == "running":
            self._end(self._message() if self._process.returncode else "")

    def cancel(self) -> None:
        """Ends the run; finished cases stay."""
        if self.state == "running":
            self.state = "cancelled"
            if self._before is not None:
                self._before.close()
            if self._process is not None:
                processes.killTree(self._process)
                self._log.close()

    def _write(self, before: Writing) -> None:
        try:
            self._tell(WRITING, *next(before))
        except StopIteration as written:
            self._before = None
            try:
                self._start(written.value)
            except RunError as error:
                self._end(str(error))
        except FewShotSegError as error:
            self._end(str(error))

    def _start(self, queries: str) -> None:
        wanted = self._wanted
        options = ["--library", wanted.library, "--queries", queries, "--output", wanted.output]
        options += ["--quality", wanted.quality, "--device", wanted.device]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # stays open as long as the process
        try:
            self._process = processes.start([interpreter.pythonExecutable(), *_MODULE, *options], self._log)
        except (OSError, RunError) as error:
            self._log.close()
            raise RunError(_("The process that segments can't be started: {error}").format(error=error)) from error
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)

    def _take(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:  # what a library prints
            return
        if event.get("event") == "progress":
            self._tell(event["what"], event["done"], event["total"])
        elif event.get("event") == "case":
            self._onCase(event["case"])

    def _tell(self, what: str, done: float, total: int) -> None:
        estimate = self._estimates.setdefault(what, TimeEstimate())
        self._onProgress(what, done, total, estimate(done / total if total else None))

    def _end(self, message: str) -> None:
        self.state = "failed" if message else "finished"
        if self._process is not None:
            self._log.close()
        self._onEnd(message)

    def _message(self) -> str:
        """Why the process ended, from what it said last."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.startswith(_SAYS)), "")
        return said.removeprefix(_SAYS) or (lines[-1] if lines else _("The process that segments has ended."))
