"""What the module does, for its panel and for scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.quality import DEFAULT
from FewShotSegModule.cohort.cohort_logic import CohortLogic
from FewShotSegModule.parameters import FewShotSegParameterNode
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.runs.segmentation_run import SegmentationRun
from FewShotSegModule.runs.worker_host import WorkerHost
from FewShotSegModule.scene.accepting import Accepting, newSegmentation
from FewShotSegModule.scene.confidence import writeConfidence
from FewShotSegModule.scene.correcting import copySlice
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.existing import resultFrom
from FewShotSegModule.scene.gather import gather
from FewShotSegModule.scene.given_examples import givenExamples, requireNames
from FewShotSegModule.scene.preview import makePreview, queryOf, show
from FewShotSegModule.scene.readiness import whatIsMissing
from FewShotSegModule.scene.removal import remove
from FewShotSegModule.scene.report_page import writeReportPage
from FewShotSegModule.scene.report_table import fillTable, measuresOf
from FewShotSegModule.scene.required import inScene, requireInScene, requireKind, requireList
from FewShotSegModule.scene.surfaces import SurfaceMaking, hasSurfaces, isIn3D

_VOLUME, _SEGMENTATION, _REGION = "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsROINode"
#: Seconds between two looks at the worker while a caller waits.
_WAITING_INTERVAL = 0.02
#: Milliseconds between two surfaces, in which the application has its turn.
_SURFACE_INTERVAL = 10


class FewShotSegLogic(CohortLogic, ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Segments volumes from painted slices; what it does for libraries and cohorts is in `CohortLogic`.

    Example, from Slicer's Python console::

        logic = slicer.util.getModuleLogic("FewShotSeg")
        segmentation = logic.segmentFromExamples(volume, painted)

    :param host: Has the worker process; it can be replaced in tests.
    """

    def __init__(self, host: WorkerHost | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.host = host or WorkerHost()
        self._run: SegmentationRun | None = None
        self._runIsInBackground = False
        #: The volume of each run that may still be asked for its result.
        self._queries: dict[SegmentationRun, Any] = {}
        #: Labels of structures in runs, by name.
        self._values: dict[str, int] = {}
        self._accepting: Accepting | None = None
        #: By the segmentation's identifier.
        self._surfaces: dict[str, SurfaceMaking] = {}
        #: Takes the latest acceptance back.
        self._undo: Callable[[], Any] | None = None
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)

    def getParameterNode(self) -> Any:
        """The module's settings in the scene, as a FewShotSegParameterNode."""
        return FewShotSegParameterNode(super().getParameterNode())  # type: ignore[call-arg]  # made by the wrapper

    # For scripts

    def segmentFromExamples(
        self,
        queryVolume: Any,
        exampleSegmentation: Any = None,
        exampleVolume: Any = None,
        sliceIndices: Iterable[int] | None = None,
        axis: int | None = None,
        outputSegmentation: Any = None,
        device: str = "auto",
        refine: bool = True,
        wait: bool = True,
        *,
        examples: Sequence[Any] | None = None,
        refineStrength: float = 1.0,
        quality: str = DEFAULT,
        segmentNames: Sequence[str] | None = None,
        sliceRange: tuple[int, int] | None = None,
        roi: Any = None,
        confidenceVolume: Any = None,
        complete: Literal["all"] | Sequence[str] | None = None,
        background: str | None = None,
        onProgress: Callable[[str, int, int, float | None], None] | None = None,
        onFinished: Callable[[SegmentationRun], None] | None = None,
        onFailed: Callable[[str], None] | None = None,
        onCancelled: Callable[[], None] | None = None,
    ) -> Any:
        """Segments a volume from painted slices.

        Slices are counted along the axes of `slicer.util.arrayFromVolume`: an array of shape (K, J, I) has K slices
        along axis 0, J along axis 1, I along axis 2. A structure that is not painted on a painted slice is looked for
        there, and taken as absent where nothing like it is found, unless `complete` says more.

        While it waits, the application goes on: events are handled, so whoever closes the scene or removes the volume
        ends the run, and an attempt to start another one meanwhile is refused. Ctrl+C in the console cancels.

        With `wait=False` it returns at once, and a timer of the application looks after the run (without Qt, its owner
        has to call `run.poll()` now and then). What was given is copied as soon as the worker takes it, mostly before
        this returns, of large volumes a moment later; it may be changed then, and only the query has to stay.
        Callbacks come in the main thread; one of
        `onFinished`, `onFailed` and `onCancelled` ends a run.
        `run.state` is "running", "finished", "failed" or "cancelled"; `run.part` is how much of it is done, 0 to 1;
        `run.cancel()` ends it at once::

            run = logic.segmentFromExamples(
                volume, painted, wait=False, onFinished=lambda run: logic.previewOf(run), onFailed=print
            )

        :param queryVolume: The vtkMRMLScalarVolumeNode to segment.
        :param exampleSegmentation: The vtkMRMLSegmentationNode with painted slices.
        :param exampleVolume: The volume that was painted on; the query if None.
        :param sliceIndices: Numbers of the painted slices, from 0; None takes all slices with something on them.
        :param axis: The axis across those slices: 0, 1 or 2. None finds out.
        :param outputSegmentation: The vtkMRMLSegmentationNode to write into; a new one if None. Segments of the same
            name are replaced where the run looked, others are left alone.
        :param device: "auto", "cpu", "cuda", "cuda:1".
        :param refine: Whether boundaries follow the intensities.
        :param wait: Whether to return only when it is done.
        :param examples: Examples of several volumes, instead of or besides the parameters above: each an ExampleSlice
            or (volume, segmentation, axis, indices), where axis and indices may be None.
        :param refineStrength: How far boundaries follow the intensities, from 0 to 1.
        :param quality: "fast", or "best": more accurate, in several times the time; see `FewShotSegLib.quality`.
        :param segmentNames: Which of the examples' segments to look for; None for all.
        :param sliceRange: First and last slice to segment, both included, along the axis of the examples; None for all.
        :param roi: A vtkMRMLMarkupsROINode, outside of which nothing changes; None for everywhere.
        :param confidenceVolume: A vtkMRMLScalarVolumeNode to fill with how sure the result is: 0 to 1, on the query's
            grid, 1 where the run didn't look.
        :param complete: What is painted completely on the slices, or not on them: names of segments, or "all". Of other
            segments the unpainted pixels may be theirs; with an empty list only what is painted counts, as for strokes.
            None has it found out, segment by segment. It counts for all slices but those given as ExampleSlice.
        :param background: Name of the segment that is painted on what is none of the structures ("not this"); it is in
            no result.
        :param onProgress: Called with (stage, done, total, seconds left of the whole run or None). Stages are those of
            `FewShotSegLib.stages`, and "starting" and "waiting" before; a total of 0 means that nothing is counted.
        :param onFinished: Called with the run when it is done. With `wait=False`, `previewOf(run)` makes a segmentation
            of it then, unless an output segmentation was given, which is filled already.
        :param onFailed: Called with a message; `run.error` is the exception.
        :param onCancelled: Called after `run.cancel()`.
        :return: The segmentation; with `wait=False`, the SegmentationRun.
        :raises FewShotSegError: Something is missing, doesn't fit or went wrong. Errors of what was given are
            ValueErrors (SceneError, InvalidInputError), those of the run are RuntimeErrors (RunError). With
            `wait=False` only what is noticed before the run is raised; the rest is up to `onFailed`.
        """
        requireKind(queryVolume, _VOLUME, _("volume to segment"))
        requireKind(exampleSegmentation, _SEGMENTATION, _("example segmentation"), optional=True)
        requireKind(exampleVolume, _VOLUME, _("example volume"), optional=True)
        requireKind(outputSegmentation, _SEGMENTATION, _("output segmentation"), optional=True)
        requireKind(confidenceVolume, _VOLUME, _("confidence volume"), optional=True)
        requireKind(roi, _REGION, _("region of interest"), optional=True)
        requireList(segmentNames, _("segments' names"))
        requireList(sliceRange, _("slice range"), count=2)
        if confidenceVolume is not None and confidenceVolume in (queryVolume, exampleVolume):
            raise SceneError(
                _("The confidence would overwrite {name}; give another volume.").format(name=confidenceVolume.GetName())
            )
        if complete != "all":
            requireList(complete, _("names of completely painted segments"))
        rows = givenExamples(queryVolume, exampleSegmentation, exampleVolume, sliceIndices, axis, examples, complete)
        requireNames(rows, [*(complete or ()), background] if complete != "all" else [background])
        settings = RunSettings(device, refine, refineStrength, quality, segmentNames, sliceRange, roi, background)
        written: list[Any] = []

        def finished(run: SegmentationRun) -> None:
            try:
                if wait or outputSegmentation is not None:
                    written.append(self._write(run, outputSegmentation))
                if confidenceVolume is not None:
                    self.confidenceVolumeOf(run, confidenceVolume)
            except FewShotSegError as error:
                run.fail(error)
                return
            if onFinished is not None:
                onFinished(run)

        run = self.startRun(
            queryVolume,
            rows,
            settings,
            compareVoxels=True,
            onProgress=onProgress,
            onFinished=finished,
            onFailed=onFailed,
            onCancelled=onCancelled,
        )
        if not wait:
            RunTimer(run).start()
            return run
        self._waitFor(run)
        if run.state == "cancelled":
            raise RunError(_("The run was cancelled."))
        if run.error is not None:
            raise run.error
        return written[0]

    # Runs

    @property
    def isBusy(self) -> bool:
        """Whether a run is on its way that another one has to wait for."""
        return self._run is not None and self._run.state == "running" and not self._runIsInBackground

    def startRun(
        self,
        queryVolume: Any,
        examples: Sequence[ExampleSlice],
        settings: RunSettings,
        *,
        background: bool = False,
        compareVoxels: bool = False,
        **callbacks: Any,
    ) -> SegmentationRun:
        """Starts a run, which its caller then polls.

        :param background: Whether it is cancelled as soon as another one is started.
        :param compareVoxels: Whether volumes are compared with those of the run before also where nothing says that
            they were modified: scripts may change voxels without telling the scene, which no view shows.
        :param callbacks: onProgress, onFinished, onFailed, onCancelled, onNear; see `SegmentationRun`.
        :raises FewShotSegError: It can't be started.
        """
        if self.isBusy:
            raise RunError(_("A run is going on; wait for it or cancel it first."))
        runInput = gather(queryVolume, examples, settings, self._values)
        if compareVoxels:
            runInput = replace(runInput, stamps={})
        if self._run is not None:
            self._run.cancel()
        run = SegmentationRun(self.host, runInput, **callbacks)
        self._run, self._runIsInBackground, self._queries = run, background, {run: queryVolume}
        return run

    def volumeOf(self, run: SegmentationRun) -> Any:
        """The volume that a run segmented.

        :raises SceneError: The run has no result, or its volume is gone.
        """
        query = self._queries.get(run)
        if run.result is None or query is None:
            raise SceneError(_("The run has no result, or another one was started since."))
        requireInScene(query)
        return query

    def previewOf(self, run: SegmentationRun) -> Any:
        """A new segmentation node that shows the result of a run, in slice views; see `showIn3D`.

        :raises SceneError: The run has no result, or its volume is gone.
        """
        return makePreview(self.volumeOf(run), run.result)  # type: ignore[arg-type]  # checked by volumeOf

    def showIn3D(self, segmentation: Any, onDone: Callable[[], None] | None = None) -> None:
        """Shows a segmentation in the 3D views, as soon as its surfaces are made, while the application goes on.

        :param segmentation: The vtkMRMLSegmentationNode; surfaces that it lacks are made.
        :param onDone: Called when they are there.
        """
        requireKind(segmentation, _SEGMENTATION, _("segmentation"))
        segmentation.CreateDefaultDisplayNodes()
        segmentation.GetDisplayNode().SetVisibility3D(True)
        self._makeSurfaces(segmentation, onDone)

    def _makeSurfaces(self, segmentation: Any, onDone: Callable[[], None] | None = None) -> None:
        self._surfaces = {node: making for node, making in self._surfaces.items() if making.state == "running"}
        making = self._surfaces.get(segmentation.GetID())
        if making is not None:
            making.onDone = onDone or making.onDone
            return
        making = self._surfaces[segmentation.GetID()] = SurfaceMaking(segmentation, onDone)
        RunTimer(making, everyMs=_SURFACE_INTERVAL).start()

    def confidenceVolumeOf(self, run: SegmentationRun, node: Any = None) -> Any:
        """A volume of how sure a result is, with colours for an overlay.

        :param node: The volume to fill; a new one if None.
        :raises SceneError: The run has no result, or a volume is gone.
        """
        requireInScene(node)
        return writeConfidence(self.volumeOf(run), run.result, node)  # type: ignore[arg-type]

    def accept(
        self,
        preview: Any,
        outputSegmentation: Any = None,
        editorNode: Any = None,
        saveState: Callable[[], Any] | None = None,
        keep: Sequence[tuple[int, int]] = (),
    ) -> Any:
        """Writes a preview into a segmentation, which becomes visible if it never was, and removes the preview.

        Surfaces are made afterwards, where there were some or a 3D view is open. `undoAccept` takes it back.

        :param outputSegmentation: Where to; a new segmentation if None.
        :param editorNode: A vtkMRMLSegmentEditorNode whose masking and overwrite settings count; without one nothing is
            masked and other segments are left alone. Segments with the status "completed" are never changed.
        :param saveState: Saves the output for undo instead, such as `saveStateForUndo` of a Segment Editor widget that
            shows it.
        :param keep: Slices (axis, index) of the volume on which nothing changes.
        :return: The segmentation that was written into.
        """
        requireInScene(outputSegmentation)
        target = outputSegmentation if outputSegmentation is not None else newSegmentation(preview)
        if self._accepting is None:
            self._accepting = Accepting(slicer.mrmlScene)
        hadSurfaces = hasSurfaces(target)
        try:
            self._accepting.write(preview, target, editorNode, saveState, keep)
        except FewShotSegError:
            if outputSegmentation is None:
                remove(target)
            raise
        if outputSegmentation is None:
            self._undo = lambda: remove(target)
        elif saveState is None:
            self._undo = self._accepting.editorLogic.Undo
        remove(preview)
        # One that a node selector or a script made has no display node.
        if target.GetDisplayNode() is None:
            show(target)
            hadSurfaces = isIn3D(target)
        if hadSurfaces:
            self._makeSurfaces(target)
        return target

    def copySlice(
        self, preview: Any, segmentation: Any, axis: int, index: int, saveState: Callable[[], Any] | None = None
    ) -> list[str]:
        """Adds what a preview shows on a slice to a segmentation that is painted in, to be mended there.

        What is painted there stays. Surfaces are made afterwards, where there were some.

        :param segmentation: Where to.
        :param axis: Array axis across the slice, of the volume's grid (0=k, 1=j, 2=i).
        :param index: The slice's number.
        :param saveState: Saves the segmentation for undo; called once, if there is anything to add.
        :return: Names of the segments that were added to.
        :raises SceneError: The volume is gone, or the segmentation can't be written into.
        """
        requireInScene(segmentation)
        hadSurfaces = hasSurfaces(segmentation)
        added = copySlice(preview, segmentation, axis, index, saveState)
        if added and hadSurfaces:
            self._makeSurfaces(segmentation)
        return added

    def resultFrom(self, volume: Any, segmentation: Any) -> RunResult:
        """A segmentation that is there already as a result of a volume; see `scene.existing`."""
        return resultFrom(volume, segmentation)

    def reportOf(
        self, preview: Any, confidence: Any = None, examples: Sequence[ExampleSlice] = (), table: Any = None
    ) -> Any:
        """A table with volume, surface, painted slices and mean confidence of each segment, the most doubtful first.

        :param examples: Those on its volume are counted. `table` is filled, a new one if None.
        """
        requireKind(preview, _SEGMENTATION, _("preview"))
        return fillTable(measuresOf(preview, confidence, examples), queryOf(preview), table)

    def reportPage(
        self, preview: Any, path: str, confidence: Any = None, examples: Sequence[ExampleSlice] = ()
    ) -> None:
        """Writes the report as a page with pictures (".html"); parameters as of `reportOf`."""
        requireKind(preview, _SEGMENTATION, _("preview"))
        writeReportPage(preview, path, confidence, examples)

    def undoAccept(self) -> None:
        """Undoes the latest `accept` that was not saved elsewhere; a segmentation that was made for it is removed."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def discard(self, preview: Any) -> None:
        """Removes a preview; nothing happens if it is None or gone."""
        remove(preview)

    def whatIsMissing(self, queryVolume: Any, examples: Sequence[ExampleSlice], settings: RunSettings) -> str:
        """What a run still needs, for a tooltip; "" if it can start. Quick: hardly a voxel is looked at."""
        return whatIsMissing(queryVolume, examples, settings)

    def shutdown(self) -> None:
        """Ends a run and the worker process; the next run starts a fresh one."""
        self.endCohort()
        # In this order, because the run needs not be stopped in a worker that ends.
        self.host.close()
        if self._run is not None:
            self._run.cancel()

    # The scene

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self.endCohort()
        if self._run is not None:
            self._run.abandon(_("The scene was closed; the run was stopped."))
        self._run, self._queries, self._values, self._accepting, self._undo = None, {}, {}, None, None
        self.host.forgetScene()

    def _onNodeRemoved(self, _caller: Any, _event: Any) -> None:
        run = self._run
        if run is not None and not inScene(self._queries[run]):
            run.abandon(_("The volume was removed from the scene; the run was stopped."))
            self._run = None
            self.host.forgetScene()

    def _write(self, run: SegmentationRun, output: Any) -> Any:
        """The result of a run, in a segmentation."""
        preview = self.previewOf(run)
        if output is not None and not inScene(output):
            self.discard(preview)
            raise SceneError(_("The output segmentation was removed from the scene during the run."))
        return self.accept(preview, output)

    def _waitFor(self, run: SegmentationRun) -> None:
        try:
            while run.state == "running":
                run.poll()
                slicer.app.processEvents()
                time.sleep(_WAITING_INTERVAL)
        except BaseException:  # Ctrl+C, or an error in a callback: nobody will poll this run again
            run.cancel()
            raise
