"""The loop: somebody paints, and the segmentation of the volume follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.util import VTKObservationMixin

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.quality import BEST, FAST
from FewShotSegModule.live.one_shot import OneShot, Pause
from FewShotSegModule.live.round import Round, Slices, basisOf
from FewShotSegModule.live.surer import isSurer
from FewShotSegModule.live.watched_segmentations import WatchedSegmentations
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.runs.segmentation_run import SegmentationRun
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.live_preview import LivePreview
from FewShotSegModule.scene.surfaces import isIn3D, lacksSurfaces

#: Milliseconds after the last stroke before what was painted is looked at, and the segmentation updated.
PAUSE_MS = 1000
#: Milliseconds without a stroke after an update, before a better result is computed in the background.
REST_MS = 2000
#: Milliseconds after a result before its surfaces are made.
_SURFACES_MS = 300
#: Milliseconds between two attempts while the worker is at a run of somebody else.
_WAIT_MS = 200


def _nothing(*_arguments: Any) -> None:
    pass


class LiveSegmentation:
    """Keeps a preview in step with what is painted.

    The first update is asked for; from then on, as long as the preview is there, the others follow by themselves if
    `autoUpdate` is on. While one is on its way, painting goes on; what is painted meanwhile is in the next. Nothing
    that is called while somebody paints reads a voxel.

    Example::

        live = LiveSegmentation(
            logic,
            query=lambda: volume,
            examples=lambda: rows,
            settings=lambda: RunSettings(),
            onPainted=lambda volume, segmentation, painted, emptied: rows.extend(...),
            onChanged=showState,
        )
        live.watch([(volume, segmentation)])
        live.update()
        ...
        live.release()

    :param logic: The module's FewShotSegLogic; all loops share one, since it has the worker.
    :param query: Gives the volume to segment.
    :param examples: Gives the painted slices to use.
    :param settings: Gives the settings. The quality "fast" is followed by a better result in the background, if
        `improve` is on; "best" is computed directly.
    :param onPainted: Called with (volume, segmentation, painted, emptied) when somebody has painted and paused, before
        the examples are asked for: the slices (axis, index) of the volume that changed and have something painted on
        them, and those that have nothing any more. What is to be an example is up to whoever is called.
    :param onChanged: Called after `state`, `progress`, `trouble` or `preview` changed.
    :param onResult: Called with a RunResult, after it is in the preview.
    :param onFailed: Called with a message when an update that was asked for failed. Where one that started by itself
        failed, there is `trouble` instead.
    :param timer: Makes what waits, of milliseconds and a callback; can be replaced in tests.
    """

    def __init__(
        self,
        logic: Any,
        *,
        query: Callable[[], Any],
        examples: Callable[[], Sequence[ExampleSlice]],
        settings: Callable[[], RunSettings],
        onPainted: Callable[[Any, Any, Slices, Slices], None],
        onChanged: Callable[[], None] = _nothing,
        onResult: Callable[[RunResult], None] = _nothing,
        onFailed: Callable[[str], None] = _nothing,
        timer: Callable[[int, Callable[[], Any]], Pause] = OneShot,
    ) -> None:
        self._logic = logic
        self._query, self._examples, self._settings = query, examples, settings
        self._onPainted, self._onChanged, self._onResult, self._onFailed = onPainted, onChanged, onResult, onFailed
        self._autoUpdate = self._improve = True
        #: What the latest round said last, (stage, done, total, seconds left or None); None while there is none.
        self.progress: tuple[str, int, int, float | None] | None = None
        #: Why the latest round that started by itself failed; "" if it didn't.
        self.trouble = ""
        self._watched = WatchedSegmentations(self._onStroke)
        self._run: SegmentationRun | None = None
        self._round = Round()
        self._outdated = self._isToUpdate = False
        #: What the latest round that was no improvement had to go by, besides voxels.
        self._basis: object = None
        self._result: RunResult | None = None
        #: The preview, also where it was removed from the scene since.
        self._expected: Any = None
        self._shownQuality = ""
        self._pause, self._rest = timer(PAUSE_MS, self._onPause), timer(REST_MS, self._onRest)
        self._wait, self._surfaces = timer(_WAIT_MS, self._onWaited), timer(_SURFACES_MS, self._onSurfacesDue)
        #: Ends an import once all others who follow the scene have what was imported.
        self._resume = timer(0, self._onResumed)
        self._isImporting = False
        #: A round that was done while a scene was being added: its volume, result and round.
        self._held: tuple[Any, RunResult, Round] | None = None
        self._preview = LivePreview()
        scene, self._observations = slicer.mrmlScene, VTKObservationMixin()
        self._observations.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._onSceneStartClose)
        self._observations.addObserver(scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)
        self._observations.addObserver(scene, slicer.vtkMRMLScene.StartImportEvent, self._onSceneStartImport)
        self._observations.addObserver(scene, slicer.vtkMRMLScene.EndImportEvent, self._onSceneEndImport)

    @property
    def autoUpdate(self) -> bool:
        """Whether the preview follows what is painted by itself."""
        return self._autoUpdate

    @autoUpdate.setter
    def autoUpdate(self, on: bool) -> None:
        if on and not self._autoUpdate and self._outdated:
            self._pause.start()
        self._autoUpdate = on

    @property
    def improve(self) -> bool:
        """Whether a better result is computed in the background while nobody paints."""
        return self._improve

    @improve.setter
    def improve(self, on: bool) -> None:
        isNew, self._improve = on != self._improve, on
        if isNew and on and self._run is None:
            self._restAWhile()
        elif not on and self._run is not None and self._round.isImprovement:
            self._run.cancel()

    @property
    def state(self) -> str:
        """What it is at: "updating" or "improving" in a round, else "outdated" if something changed, else "idle"."""
        if self._run is not None:
            return "improving" if self._round.isImprovement else "updating"
        if self._isToUpdate:
            return "updating"
        return "outdated" if self._outdated else "idle"

    @property
    def run(self) -> SegmentationRun | None:
        """The round that is on its way."""
        return self._run

    @property
    def preview(self) -> Any:
        """The segmentation node that shows the latest result, None if there is none.

        It stays the same node through all rounds, until somebody removes it (as `logic.accept` and `logic.discard` do),
        which also ends the round that is on its way. A preview of a scene that was opened can be set.
        """
        return self._preview.node

    @preview.setter
    def preview(self, node: Any) -> None:
        if node is not self._preview.node:
            self._preview.node, self._expected, self._result = node, node, None
            self._rest.stop()
            self._surfaces.start()

    @property
    def result(self) -> RunResult | None:
        """What the preview shows: also confidence, notes and suggestions; None for one that was not computed here."""
        return self._result if self.preview is not None else None

    def watch(self, pairs: Iterable[tuple[Any, Any]], *, existing: bool = False) -> None:
        """Notices what is painted in these segmentations from now on, and in no others.

        :param pairs: Volume that is painted on, and segmentation.
        :param existing: Whether what is painted already is told `onPainted`, too, of those that were not watched.
        """
        if self._watched.watch(pairs, existing) and existing:
            self._pause.start()

    def ignorePainted(self) -> None:
        """Takes what has changed until now as nobody's painting, such as a result that was accepted or taken back."""
        self._watched.forget()

    def review(self) -> None:
        """Looks whether examples or settings are others than those of the latest round; to be called after changes."""
        if self._basis is not None and self._basisNow() != self._basis:
            self._outdated = True
            self._onStroke()
            self._onChanged()

    def notice(self) -> None:
        """Tells at once what was painted, which is otherwise told after a pause."""
        self._takePainted()

    def update(self) -> None:
        """Starts a round at once; if one is on its way, another one follows it.

        :raises FewShotSegError: It can't be started.
        """
        self._takePainted()
        self._isToUpdate = True
        self._startIfPossible(asked=True)

    def show(self, query: Any, result: RunResult) -> None:
        """Shows a result in the preview, as that of a round.

        :param query: The volume that was segmented.
        """
        # A preview of another volume is removed, which is nobody's wish to end this.
        self._expected = None
        self._preview.show(query, result)
        self._expected, self._result = self.preview, result
        self._surfaces.start()
        self._onResult(result)
        self._onChanged()

    def cancel(self) -> None:
        """Ends the round that is on its way; the preview stays as it is."""
        self._isToUpdate = False
        for waits in (self._pause, self._rest, self._wait):
            waits.stop()
        if self._run is not None:
            self._run.cancel()
        self._onChanged()

    def release(self) -> None:
        """Lets go of everything: a round is cancelled, nothing is watched; the preview stays in the scene."""
        self._letGo()
        self._observations.removeObservers()

    # What happens

    def _onStroke(self) -> None:
        """Called while somebody paints, however often: reads no voxel."""
        if self._run is not None and self._round.isImprovement:
            self._run.cancel()
        self._rest.stop()
        self._surfaces.stop()
        self._pause.start()

    def _onPause(self) -> None:
        if self._isImporting:
            return
        self._surfaces.start()
        self._takePainted()
        if self._outdated and self.autoUpdate and self.preview is not None:
            self._isToUpdate = True
            self._startIfPossible()
        elif self._run is None:
            self._restAWhile()
        self._onChanged()

    def _onRest(self) -> None:
        """Nobody has painted for a while: there is time for a better result."""
        if self._run is None and self._canBeImproved() and not self._logic.isBusy:
            self._start(Round(isImprovement=True))

    def _onWaited(self) -> None:
        self._startIfPossible()

    def _onSurfacesDue(self) -> None:
        preview = self.preview
        if preview is not None and isIn3D(preview) and lacksSurfaces(preview):
            self._logic.showIn3D(preview)

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self._letGo()

    def _onSceneStartImport(self, _caller: Any, _event: Any) -> None:
        self._isImporting = True

    def _onSceneEndImport(self, _caller: Any, _event: Any) -> None:
        self._resume.start()

    def _onResumed(self) -> None:
        self._isImporting = False
        held, self._held = self._held, None
        if held is not None and slicer.mrmlScene.IsNodePresent(held[0]):
            self._take(*held)

    def _onNodeRemoved(self, _caller: Any, _event: Any) -> None:
        self._watched.dropGone()
        if self._expected is not None and self.preview is None:
            # Accepted, discarded, deleted: what follows is the user's to ask for, and what was accepted is not painted.
            self._expected = self._result = None
            self.ignorePainted()
            self.cancel()

    def _letGo(self) -> None:
        # First of all: a preview that goes with its scene is not touched any more.
        self._preview.node = self._expected = self._result = None
        if self._run is not None:
            self._run.cancel()
        for waits in (self._pause, self._rest, self._wait, self._surfaces, self._resume):
            waits.stop()
        self._watched.watch(())
        self._held, self._basis, self.trouble = None, None, ""
        self._isToUpdate = self._outdated = self._isImporting = False

    # Painted slices

    def _takePainted(self) -> None:
        """Tells which slices were painted since the last time."""
        self._pause.stop()
        changes, trouble = self._watched.take()
        self.trouble = trouble or self.trouble
        for volume, segmentation, painted, emptied in changes:
            self._outdated = True
            self._onPainted(volume, segmentation, painted, emptied)

    # Rounds

    def _startIfPossible(self, asked: bool = False) -> None:
        """Starts the update that is waited for, as soon as nothing else is on its way."""
        if not self._isToUpdate or self._isImporting:
            return
        if self._run is not None and self._round.isImprovement:
            self._run.cancel()
        if self._run is not None:
            return  # it goes on at its end
        if self._logic.isBusy:
            self._wait.start()
            return
        self._isToUpdate = False
        self._start(Round(isAsked=asked))

    def _start(self, thisOne: Round) -> None:
        """Starts a round.

        :raises FewShotSegError: One that was asked for can't be started.
        """
        settings = self._settings()
        if thisOne.isImprovement:
            settings = replace(settings, quality=BEST)
        else:
            self._outdated, self.trouble, self._basis = False, "", self._basisNow()
        self._rest.stop()
        self._round, self.progress = thisOne, None
        query, rows = self._query(), self._examples()
        thisOne.painted = [(row.axis, row.index) for row in rows if row.volume is query]
        try:
            self._run = self._logic.startRun(
                query,
                rows,
                settings,
                background=thisOne.isImprovement,
                onProgress=self._onProgress,
                onFinished=self._onFinished,
                onFailed=self._onRunFailed,
                onCancelled=self._onCancelled,
                **({} if thisOne.isImprovement else {"onNear": self._onNear}),
            )
        except Exception as error:
            self._outdated = not thisOne.isImprovement
            if thisOne.isAsked or not isinstance(error, FewShotSegError):
                raise
            self.trouble = str(error)
        else:
            thisOne.quality = settings.quality
            RunTimer(self._run).start()
        self._onChanged()

    def _onProgress(self, *progress: Any) -> None:
        self.progress = progress
        self._onChanged()

    def _onNear(self, axis: int, slices: list[int], labels: np.ndarray, _confidence: np.ndarray) -> None:
        self._preview.patch(axis, slices, labels, keep=self._round.painted)

    def _onFinished(self, run: SegmentationRun) -> None:
        assert run.result is not None
        done = self._logic.volumeOf(run), run.result, self._round
        self._run = self.progress = None
        if self._isImporting:
            self._held = done
        else:
            self._take(*done)

    def _take(self, query: Any, result: RunResult, thisOne: Round) -> None:
        """Takes the result of a round, and goes on."""
        if not thisOne.isImprovement or (self._result is not None and isSurer(result, self._result)):
            try:
                self.show(query, result)
            except FewShotSegError as error:
                self._tellFailure(str(error), thisOne)
                return
        self._shownQuality = thisOne.quality
        self._goOn()
        self._onChanged()

    def _onRunFailed(self, message: str) -> None:
        self._giveUp()
        self._isToUpdate = False
        self._tellFailure(message, self._round)

    def _onCancelled(self) -> None:
        self._giveUp()
        self._onChanged()

    def _tellFailure(self, message: str, thisOne: Round) -> None:
        if thisOne.isAsked:
            self._onFailed(message)
        else:
            self.trouble = message
        self._onChanged()

    def _giveUp(self) -> None:
        """Ends a round without a result; what it has shown so far stays."""
        if not self._round.isImprovement:
            self._outdated = True
        self._run = self.progress = None
        if not slicer.mrmlScene.IsClosing():
            self._preview.settle()
            self._surfaces.start()

    def _goOn(self) -> None:
        """What follows a round: what was painted meanwhile, or a better result."""
        self._isToUpdate = self._isToUpdate or (self._outdated and self.autoUpdate)
        if self._isToUpdate:
            self._startIfPossible()
        else:
            self._restAWhile()

    def _restAWhile(self) -> None:
        if self._canBeImproved():
            self._rest.start()

    def _basisNow(self) -> object:
        return basisOf(self._query(), self._examples(), self._settings())

    def _canBeImproved(self) -> bool:
        return (
            self.improve
            and not self._isImporting
            and self.result is not None
            and not self._outdated
            and self._shownQuality == FAST
            and self._settings().quality == FAST
        )
