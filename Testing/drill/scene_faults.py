"""Faults while the application waits for its worker: it is killed, cancelled, the scene goes away beneath it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .phantom import IMAGE, LABELS, PAINTED, SHAPE, SLICES
from .row import Row, Unexpected
from .shell import GOOD, REPOSITORY

_LONGEST_S = 120.0
_RANDOM = random.Random(1)


class Application:
    """Slicer's scene with a painted volume, the module's logic, and a worker that is warm."""

    def __init__(self) -> None:
        sys.path[:0] = [str(REPOSITORY / "Testing" / "module"), str(REPOSITORY / "FewShotSeg")]
        import nodes
        from standin.install import install

        self.nodes, self.slicer = nodes, install()
        import vtk

        vtk.vtkObject.GlobalWarningDisplayOff()
        from FewShotSegModule.logic import FewShotSegLogic
        from FewShotSegModule.runs.worker_host import WorkerHost

        self.slicer.mrmlScene.Clear(1)
        self.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.slicer.mrmlScene)
        self.host: Any = WorkerHost()
        self.logic = FewShotSegLogic(self.host)
        self.volume = nodes.add_volume(self.slicer, "CT", IMAGE)
        masks: dict[str, Any] = {name: value == PAINTED for value, name in ((1, "liver"), (2, "kidney"))}
        self.painted = nodes.add_segmentation(self.slicer, self.volume, masks)
        self.messages: list[str] = []
        self.folders: list[Path] = []

    def start(self) -> Any:
        """Starts a run; its worker's folder is remembered."""
        run = self.logic.segmentFromExamples(
            self.volume, self.painted, device="cpu", wait=False, onFailed=self.messages.append
        )
        self.folders.append(self.host.client.folder)
        return run

    def wait(self, run: Any, seconds: float = _LONGEST_S) -> None:
        """Polls a run until it ends, or for some seconds."""
        until = time.monotonic() + seconds
        while run.state == "running" and time.monotonic() < until:
            run.poll()
            time.sleep(0.01)

    def node_ids(self) -> set[str]:
        scene = self.slicer.mrmlScene
        return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}

    def require_good(self, run: Any) -> str:
        """What was got of a run that had to succeed; raises `Unexpected`."""
        self.wait(run)
        if run.state != "finished":
            raise Unexpected(f"{run.state}: {self.messages}")
        preview = self.logic.previewOf(run)
        free = [z for z in range(SHAPE[0]) if z not in SLICES]
        found = self.nodes.mask_of(self.slicer, preview, "liver", self.volume)[free]
        truth = LABELS[free] == 1
        score = 2 * float((found & truth).sum()) / max(float(found.sum() + truth.sum()), 1.0)
        if score < GOOD:
            raise Unexpected(f"a wrong result, Dice {score:.2f}")
        return "right result"

    def close(self) -> None:
        """Ends it; raises `Unexpected` if a worker or a folder is left."""
        client = self.host.client
        self.logic.shutdown()
        self.logic.removeObservers()
        self.slicer.mrmlScene.Clear(1)
        until = time.monotonic() + 5
        while client is not None and client.alive and time.monotonic() < until:
            time.sleep(0.02)
        if client is not None and client.alive:
            raise Unexpected("the worker is left")
        left = [folder for folder in self.folders if folder.exists()]
        if left:
            raise Unexpected(f"left: {left}")


Disturb = Callable[[Application, Any], object]


def disturbed(
    did: str,
    expected: str,
    disturb: Disturb,
    state: str = "failed",
    words: str = "",
    again: bool = True,
    after: float = 0.0,
) -> Row:
    """A run that something happens to.

    Args:
        did: What happens.
        expected: What is to come of it.
        disturb: Does it, in mid-run.
        state: How the run is to end: "failed", "cancelled" or "finished".
        words: What the message must hold.
        again: Whether a further run in the same scene must give a right result.
        after: Seconds from when the worker has the run.
    """

    def run(_folder: Path) -> str:
        application = Application()
        try:
            got = _run(application)
        finally:
            application.close()
        return got

    def _run(application: Application) -> str:
        run = application.start()
        until = time.monotonic() + _LONGEST_S
        while run.part is None and run.state == "running" and time.monotonic() < until:
            run.poll()
            time.sleep(0.01)
        application.wait(run, after)
        before = application.node_ids()
        if run.state == "running":
            disturb(application, run)
        elif run.state == "finished":
            return f"was done already: {application.require_good(run)}"
        application.wait(run)
        if run.state == "finished" != state:  # it was quicker
            return f"was done already: {application.require_good(run)}"
        message = " ".join(application.messages)
        if run.state != state or words not in message:
            raise Unexpected(f"{run.state}: {message}")
        got = (
            application.require_good(run)
            if state == "finished"
            else f"{run.state}: {message}"
            if message
            else run.state
        )
        if not again:
            return got
        if state != "finished" and application.node_ids() != before:
            raise Unexpected("the scene has changed")
        application.messages.clear()
        return f"{got}; next run: {application.require_good(application.start())}"

    return Row(did if not after else f"{did}, {after} s later", expected, run)


def _kill(number: int) -> Disturb:
    return lambda application, _run: os.kill(application.host.client.processId, number)


def _change_voxels(application: Application, _run: Any) -> None:
    application.slicer.util.updateVolumeFromArray(application.volume, np.zeros_like(IMAGE))
    application.slicer.util.updateVolumeFromArray(application.volume, IMAGE)


def _second_run(application: Application, run: Any) -> None:
    try:
        application.start()
    except RuntimeError as error:
        if "going on" in str(error):
            return
    raise Unexpected("a second run began")


def _stop_for(seconds: float) -> Disturb:
    def stop(application: Application, _run: Any) -> None:
        os.kill(application.host.client.processId, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(application.host.client.processId, signal.SIGCONT)

    return stop


def _repaint(application: Application, _run: Any) -> None:
    application.nodes.set_segment(application.slicer, application.painted, "liver", LABELS == 2, application.volume)


def _moments(count: int) -> list[float]:
    return [round((part + _RANDOM.random()) * 0.8 / count, 2) for part in range(count)]


def _scene(application: Application) -> Any:
    return application.slicer.mrmlScene


ROWS = [
    *(
        disturbed(
            "worker killed",
            "a message, and a right result the next time",
            _kill(9),
            words="scene is as it was",
            after=t,
        )
        for t in _moments(4)
    ),
    disturbed(
        "worker ended by SIGTERM", "a message, and a right result the next time", _kill(15), words="scene is as it was"
    ),
    disturbed(
        "worker crashed (SIGSEGV)", "a message, and a right result the next time", _kill(11), words="scene is as it was"
    ),
    disturbed("worker stands still for a second", "a right result", _stop_for(1.0), "finished"),
    *(
        disturbed(
            "cancelled",
            "nothing in the scene, and a right result the next time",
            lambda a, run: run.cancel(),
            "cancelled",
            after=t,
        )
        for t in _moments(4)
    ),
    disturbed("cancelled twice", "cancelled once", lambda a, run: (run.cancel(), run.cancel()), "cancelled"),
    disturbed("scene closed", "a message", lambda a, run: _scene(a).Clear(0), words="closed", again=False),
    disturbed(
        "volume removed", "a message", lambda a, run: _scene(a).RemoveNode(a.volume), words="removed", again=False
    ),
    disturbed(
        "painted segmentation removed",
        "a right result",
        lambda a, run: _scene(a).RemoveNode(a.painted),
        "finished",
        again=False,
    ),
    disturbed("voxels changed and back", "a right result", _change_voxels, "finished", again=False),
    disturbed("painted anew", "the result of what was painted before", _repaint, "finished", again=False),
    disturbed("a second run started", "refused, and a right result", _second_run, "finished", again=False),
    disturbed(
        "folder of the exchange removed",
        "a message, and a right result the next time",
        lambda a, run: shutil.rmtree(a.host.client.folder),
        words="was removed while it was in use",
    ),
    disturbed("module shut down", "cancelled", lambda a, run: a.logic.shutdown(), "cancelled", again=False),
]
