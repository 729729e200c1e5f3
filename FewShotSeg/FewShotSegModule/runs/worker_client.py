"""The application's side of the worker process."""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from slicer.i18n import tr as _

from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.protocol import (
    Answer,
    ProtocolError,
    Request,
    VersionError,
    decode_answer,
    encode,
)
from FewShotSegModule.runs import interpreter, processes
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.exchange_folder import ExchangeFolder

_LOG = "worker.log"
_LOG_TAIL = 4000


class WorkerClient:
    """A worker process: started on construction, given requests, asked for answers without waiting, killed.

    Example::

        client = WorkerClient()
        client.send(Predict(run=1, session=1, quality="fast"))
        for answer in client.receive(1):
            ...
        client.close()

    :param command: Starts the worker; the folder for arrays is appended. None for the engine's own.
    :raises RunError: The process can't be started.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._exchange = ExchangeFolder()
        self.folder: Path = self._exchange.path
        #: Where arrays go to the worker and come from it.
        self.arrays = ArrayFolder(self.folder)
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._unread: list[Answer] = []
        #: Why nothing that the worker says can be understood.
        self._misunderstanding = ""
        # Once only: the system may give the number of a process that is gone to another one.
        self._stopped = False
        # Python within Slicer runs other threads only now and then, so there is one only, for answers. What the worker
        # says otherwise goes to a file: a pipe that nobody empties would stop it.
        self._log = open(self.folder / _LOG, "wb")  # noqa: SIM115  # stays open as long as the process
        try:
            line = [*(command or [interpreter.pythonExecutable(), "-m", "FewShotSegLib.worker"]), str(self.folder)]
            self._process = processes.start(line, self._log)
        except (OSError, RunError) as error:
            self._log.close()
            self._exchange.remove()
            raise RunError(_("The process that segments can't be started: {error}").format(error=error)) from error
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def processId(self) -> int:
        """The process's number in the system; where a launcher starts the worker, the launcher's."""
        return self._process.pid

    @property
    def exitCode(self) -> int | None:
        """What the process ended with, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, request: Request) -> None:
        """Sends a request.

        :raises RunError: The process is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(request))
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise RunError(_("The process that segments has ended.")) from error

    def receive(self, run: int | None = None, seconds: float = 0.005) -> list[Answer]:
        """The answers that have come since; waits a moment for the first, which also lets the reading thread work.

        :param run: Of which run; the answers of others are kept until they are asked for. None for all.
        :param seconds: How long to wait.
        :raises RunError: The worker is of another version.
        """
        with contextlib.suppress(queue.Empty):
            self._unread.append(self._answers.get(timeout=seconds))
            while True:
                self._unread.append(self._answers.get_nowait())
        if self._misunderstanding:
            raise RunError(self._misunderstanding)
        found = [answer for answer in self._unread if run is None or getattr(answer, "run", None) == run]
        self._unread = [answer for answer in self._unread if not any(answer is other for other in found)]
        return found

    def logTail(self) -> str:
        """The last lines that the worker wrote for people who look for errors."""
        try:
            return (self.folder / _LOG).read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip()
        except OSError:
            return ""

    def stop(self) -> None:
        """Ends the process at once, with all that it started; its folder stays."""
        if not self._stopped:
            self._stopped = True
            processes.killTree(self._process)

    def kill(self) -> None:
        """Ends the process at once, with all that it started, and removes its folder."""
        self.stop()
        self._tidy()

    def close(self, seconds: float = 1.0) -> None:
        """Lets the process end, and ends it at once if it doesn't.

        :param seconds: How long it may take.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
        self._tidy()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._answers.put(decode_answer(line))
            except VersionError as error:
                self._misunderstanding = str(error)
            except ProtocolError as error:
                logging.warning("FewShotSeg: the worker was not understood: %s", error)

    def _tidy(self) -> None:
        for stream in (self._process.stdin, self._log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        self._exchange.remove()
