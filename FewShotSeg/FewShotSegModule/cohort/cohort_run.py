"""A cohort's run in a process of its own."""

from __future__ import annotations

import contextlib
import json
import queue
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from FewShotSegModule.runs import interpreter, processes
from FewShotSegModule.runs.errors import RunError

_MODULE = ("-m", "FewShotSegLib", "cohort", "--progress", "json")
#: How the shell command begins its messages.
_SAYS = "fewshotseg: "


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
    :param onProgress: Called with (what is done, cases done, of how many, time left in words or "").
    :param onCase: Called with the name of each case whose results are there.
    :param onEnd: Called once with a message: "" if all went well, else what to tell the user; not after `cancel`.
    :raises RunError: The process can't be started.
    """

    def __init__(
        self,
        wanted: CohortInput,
        *,
        onProgress: Callable[[str, float, int, str], None] = lambda *_: None,
        onCase: Callable[[str], None] = lambda _: None,
        onEnd: Callable[[str], None] = lambda _: None,
    ) -> None:
        #: "running", "finished", "failed" or "cancelled".
        self.state = "running"
        self._onProgress, self._onCase, self._onEnd = onProgress, onCase, onEnd
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # stays open as long as the process
        options = ["--library", wanted.library, "--queries", wanted.queries, "--output", wanted.output]
        options += ["--quality", wanted.quality, "--device", wanted.device]
        try:
            self._process = processes.start([interpreter.pythonExecutable(), *_MODULE, *options], self._log)
        except (OSError, RunError) as error:
            self._log.close()
            raise RunError(_("The process that segments can't be started: {error}").format(error=error)) from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> None:
        """Takes what has come since."""
        if self.state != "running":
            return
        ended = self._process.poll() is not None
        if ended:
            self._reader.join(1.0)
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._lines.get_nowait())
        if ended and self.state == "running":
            message = self._message() if self._process.returncode else ""
            self.state = "failed" if message else "finished"
            self._log.close()
            self._onEnd(message)

    def cancel(self) -> None:
        """Ends the run; finished cases stay."""
        if self.state == "running":
            self.state = "cancelled"
            processes.killTree(self._process)
            self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def _take(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:  # what a library prints
            return
        if event.get("event") == "progress":
            self._onProgress(event["what"], event["done"], event["total"], event["left"])
        elif event.get("event") == "case":
            self._onCase(event["case"])

    def _message(self) -> str:
        """Why the process ended, from what it said last."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.startswith(_SAYS)), "")
        return said.removeprefix(_SAYS) or (lines[-1] if lines else _("The process that segments has ended."))


def casesCsv(folder: Path, cases: list[tuple[str, str]]) -> Path:
    """Writes a table of cases for a run.

    :param folder: Where to.
    :param cases: Names and paths.
    """
    import csv

    path = folder / "queries.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "query"])
        writer.writerows(cases)
    return path
