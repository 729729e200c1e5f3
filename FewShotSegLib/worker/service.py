"""Carries out requests with the engine."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from FewShotSegLib import errors
from FewShotSegLib.memory import give_back
from FewShotSegLib.stages import Stage
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker import protocol
from FewShotSegLib.worker.array_folder import ArrayFolder, smallest
from FewShotSegLib.worker.failures import explain
from FewShotSegLib.worker.protocol import Answer, ProtocolError, Request

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter
    from FewShotSegLib.worker.open_session import OpenSession

Send = Callable[[Answer], None]

_PROGRESS_INTERVAL = 0.1


class Service:
    """Does one request after the other; keeps volumes, sessions, and one segmenter for each device.

    Args:
        folder: where arrays are exchanged.
        send: sends an answer.
        is_cancelled: whether a run is to end.
    """

    def __init__(self, folder: ArrayFolder, send: Send, is_cancelled: Callable[[int], bool]) -> None:
        self._folder, self._send, self._is_cancelled = folder, send, is_cancelled
        self._segmenters: dict[str, Segmenter] = {}
        self._volumes: dict[int, Volume] = {}
        self._sessions: dict[int, OpenSession] = {}
        #: The run of the request that failed last: what it asks for else is not done.
        self._failed: int | None = None

    def handle(self, request: Request | ProtocolError) -> None:
        """Carries out a request; whatever goes wrong is answered, too."""
        if isinstance(request, protocol.Forget):
            self._forget()
            return
        run = request.run
        if run is None or run == self._failed:
            return
        kind = text = ""
        try:
            self._do(request)
        except errors.Cancelled:
            self._send(protocol.Cancelled(run=run))
        except Exception as error:
            kind, text = explain(error)
            if isinstance(error, OSError) and not self._folder.path.is_dir():
                kind, text = "disk", (
                    f"The folder for temporary files through which images and results pass, {self._folder.path}, was"
                    " removed while it was in use; run again."
                )
            if kind == "crash":
                with contextlib.suppress(OSError, ValueError):  # a log that can't be written stops no worker
                    traceback.print_exc(file=sys.stderr)
        # Not before the error is gone, whose traceback keeps what filled the memory.
        if kind:
            self._failed = run
            _free()
            name = "" if isinstance(request, ProtocolError) else protocol.kind_of(request)
            self._send(protocol.Failed(run=run, request=name, kind=kind, message=text))

    def _do(self, request: Request | ProtocolError) -> None:
        match request:
            case protocol.Load():
                self._volumes[request.volume] = request.read(self._folder)
            case protocol.Unload():
                self._volumes.pop(request.volume, None)
            case protocol.Open():
                self._open(request)
            case protocol.Put():
                session = self._session(request.session)
                session.put(request.key, request.read(self._volume(request.volume), self._folder))
            case protocol.Remove():
                self._session(request.session).remove(request.key)
            case protocol.Predict():
                self._predict(request, self._session(request.session))
            case protocol.Suggest():
                found = self._session(request.session).suggestions(request.count)
                self._send(protocol.Suggested(run=request.run, suggestions=found))
            case protocol.Close():
                self._sessions.pop(request.session, None)
            case ProtocolError():
                raise request

    def _open(self, request: protocol.Open) -> None:
        from FewShotSegLib.worker.open_session import OpenSession

        self._send(protocol.Progress(run=request.run, stage=Stage.LOADING, done=0, total=0))
        segmenter = self._segmenter(request.device)
        first, last = ((int(k), int(j), int(i)) for k, j, i in (request.start, request.stop))
        volume = self._volume(request.volume)
        self._sessions[request.session] = OpenSession(segmenter.session, volume, first, last, str(segmenter.device))

    def _predict(self, request: protocol.Predict, session: OpenSession) -> None:
        run, folder = request.run, self._folder
        report = _Report(run, self._send, self._is_cancelled)
        report.check()

        def near(axis: int, slices: list[int], labels: np.ndarray, confidence: np.ndarray) -> None:
            self._send(
                protocol.Near(
                    run=run,
                    axis=axis,
                    slices=slices,
                    labels=folder.put(run, "near-labels", labels),
                    confidence=folder.put(run, "near-confidence", confidence),
                )
            )

        result = session.predict(
            quality=request.quality,
            refine=request.refine,
            progress=report,
            overall=report.overall,
            near=near if request.near else None,
        )
        suggestions = session.suggestions(request.suggest) if request.suggest else ()
        report.check()
        try:
            answer = protocol.Finished(
                run=run,
                labels=folder.put(run, "labels", smallest(result.labelmap.array)),
                confidence=folder.put(run, "confidence", result.confidence.array),
                device=session.device,
                notes=session.notes(result),
                suggestions=suggestions,
            )
        except OSError:
            folder.discard(run)
            raise
        self._send(answer)

    def _volume(self, number: int) -> Volume:
        if number not in self._volumes:
            raise ProtocolError(f"There is no volume {number}; hand it over first.")
        return self._volumes[number]

    def _session(self, number: int) -> OpenSession:
        if number not in self._sessions:
            raise ProtocolError(f"There is no session {number}; open it first.")
        return self._sessions[number]

    def _segmenter(self, device: str) -> Segmenter:
        from FewShotSegLib.segmenter import Segmenter, choose_device

        name = str(choose_device(device))
        if name not in self._segmenters:
            self._segmenters[name] = Segmenter(name)
        return self._segmenters[name]

    def _forget(self) -> None:
        self._sessions.clear()
        self._volumes.clear()
        gc.collect()
        _free()


class _Report:
    """Tells progress, not too often, and stops a run that was cancelled."""

    def __init__(self, run: int, send: Send, is_cancelled: Callable[[int], bool]) -> None:
        self._run, self._send, self._is_cancelled = run, send, is_cancelled
        self._stage, self._told = "", 0.0
        self._part: float | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.check()
        now = time.monotonic()
        if stage != self._stage or now - self._told >= _PROGRESS_INTERVAL:
            self._stage, self._told = stage, now
            self._send(protocol.Progress(run=self._run, stage=stage, done=done, total=total, part=self._part))

    def overall(self, part: float) -> None:
        """Takes note of the part of the whole that is done."""
        self._part = part

    def check(self) -> None:
        """Stops a run that was cancelled."""
        if self._is_cancelled(self._run):
            raise errors.Cancelled("The run was cancelled.")


def _free() -> None:
    """Gives back what a failed run or a closed scene took."""
    give_back()
    torch = sys.modules.get("torch")
    with contextlib.suppress(Exception):  # a card that failed may refuse every further call
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
