"""The module's panel: puts the sections together and keeps them in step with the scene."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import SlicerParameterNamePropertyName
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from FewShotSegModule.logic import FewShotSegLogic
from FewShotSegModule.panel.acceptance import Acceptance
from FewShotSegModule.panel.compact_editor import makeCompact
from FewShotSegModule.panel.example_section import ExampleSection
from FewShotSegModule.panel.folding import Folding
from FewShotSegModule.panel.paint_section import PaintSection
from FewShotSegModule.panel.painted_nodes import PaintedNodes
from FewShotSegModule.panel.result_section import ResultSection
from FewShotSegModule.panel.run_controller import RunController
from FewShotSegModule.panel.settings_section import SettingsSection
from FewShotSegModule.panel.shortcuts import Shortcuts
from FewShotSegModule.scene.completed import completedSegments
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.region import fitRegion
from FewShotSegModule.scene.segment_info import segmentNames
from FewShotSegModule.setup import dependencies

#: Keys that Slicer's own toolbars have (Ctrl+Shift+A is that of the markups) would reach neither.
_ADD_KEYS, _RUN_KEYS, _ACCEPT_KEYS = "Ctrl+Shift+E", "Ctrl+Shift+G", "Ctrl+Shift+K"


class FewShotSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """What Slicer shows when the module is selected.

    All that a user sets is in the parameter node, hence in the scene: what changes there is shown, and nothing that
    matters is kept here.
    """

    def __init__(self, parent: Any = None) -> None:
        self.logic: Any = None
        self._parameters: Any = None
        self._guiTag: Any = None
        self._entered = False
        #: The run whose result is the preview, or was it.
        self._finishedRun: Any = None
        #: The region that is observed.
        self._region: Any = None
        #: A run that was done while a scene was being added.
        self._waitingRun: Any = None
        # It readies the observations, too, and without a parent sets the panel up at once.
        ScriptedLoadableModuleWidget.__init__(self, parent)

    # What Slicer calls

    def setup(self) -> None:
        """Builds the panel; asks nothing and installs nothing."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/FewShotSeg.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        # The panel's widgets include all parts of Slicer's own ones, and binding trips over a part that is gone.
        self._bound = SimpleNamespace(
            **{
                name: widget
                for name, widget in vars(self.ui).items()
                if widget.property(SlicerParameterNamePropertyName)
            }
        )
        panel.setMRMLScene(slicer.mrmlScene)
        for selector in (
            self.ui.queryVolumeSelector,
            self.ui.paintVolumeSelector,
            self.ui.paintSegmentationSelector,
            self.ui.outputSegmentationSelector,
            self.ui.roiSelector,
        ):
            selector.setMRMLScene(slicer.mrmlScene)
        self.logic = FewShotSegLogic()
        self._painting = PaintSection(self.ui.segmentEditorWidget)
        makeCompact(self.ui)
        self._folding = Folding(self.ui)
        self._painted = PaintedNodes()
        self._settings = SettingsSection(self.ui)
        self._examples = ExampleSection(
            self.ui,
            painted=self._paintedNodes,
            onChanged=self._onExamplesChanged,
            preview=lambda: self._parameters.preview if self._parameters is not None else None,
            addShortcut=_ADD_KEYS,
        )
        self._run = RunController(
            self.ui,
            start=self._start,
            whatIsMissing=self._whatIsMissing,
            prepare=dependencies.ensureWithConsent,
            onFinished=self._onRunFinished,
            shortcut=_RUN_KEYS,
        )
        self._result = ResultSection(self.ui, accept=self._accept, discard=self._discard, acceptShortcut=_ACCEPT_KEYS)
        self._shortcuts = Shortcuts(
            [
                (_ADD_KEYS, self._examples.addCurrentSlice),
                (_RUN_KEYS, self._run.toggle),
                (_ACCEPT_KEYS, self._result.accept),
            ]
        )
        self.ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onRegionAdded)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneReplaced)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self._onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._onSceneReplaced)
        self._setParameters(self.logic.getParameterNode())
        # A module that is reloaded while it is shown is not entered again.
        if getattr(self.parent, "isEntered", False):
            self.enter()

    def cleanup(self) -> None:
        """Ends everything that could outlive the panel."""
        # Keys and effects of a panel that is reloaded would get into the way of the new one's.
        self.exit()
        self._letGoOfScene()
        self.removeObservers()
        self.logic.removeObservers()

    def enter(self) -> None:
        """Takes the views and the keys, and proposes the volume that is being looked at."""
        self._entered = True
        self._setParameters(self.logic.getParameterNode())
        if self._parameters.queryVolume is None:
            self._parameters.queryVolume = _volumeInView()
        self._painting.enter()
        self._shortcuts.install(slicer.util.mainWindow())
        self._update()

    def exit(self) -> None:
        """Gives views and keys back; a run goes on."""
        self._entered = False
        self._shortcuts.remove()
        self._painting.exit()

    def onReload(self) -> None:
        """Reloads the module with all its parts; for developers."""
        for name in [name for name in sys.modules if name.split(".")[0] == "FewShotSegModule"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # The scene

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self._letGoOfScene()

    def _onSceneStartImport(self, _caller: Any, _event: Any) -> None:
        # When a scene was added, selectors fill themselves anew and show nothing for a moment; while they are bound,
        # that would reach the parameter node.
        self._setParameters(None)

    def _onSceneReplaced(self, _caller: Any, _event: Any) -> None:
        if slicer.mrmlScene.IsClosing():
            return
        # A wrapper remembers what it read, which during an import was not all of the scene: a new one reads again.
        self._setParameters(None)
        self._setParameters(self.logic.getParameterNode())
        run, self._waitingRun = self._waitingRun, None
        if run is not None:
            self._onRunFinished(run)

    def _letGoOfScene(self) -> None:
        self._run.cancel()
        self._finishedRun = self._waitingRun = None
        self._result.hideOverlay()
        self._setParameters(None)
        self._painted.remember(None, None)
        self._painting.release()
        self.logic.shutdown()

    def _setParameters(self, parameters: Any) -> None:
        """Binds the panel to a parameter node; None lets go of it."""
        if self._parameters is not None and (parameters is None or not _same(parameters, self._parameters)):
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._examples.setList(None)
            self._parameters = None
        if parameters is None:
            self._watchRegion(None)
            self._result.show(None, None)
        elif self._parameters is None:
            self._parameters = parameters
            self._guiTag = parameters.connectGui(self._bound)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._settings.bind(parameters)
            self._painted.remember(*self._paintedNodes())
            self._examples.setList(ExampleList(parameters.parameterNode))
            self._update()

    def _onParametersModified(self, _caller: Any = None, _event: Any = None) -> None:
        self._update()

    def _onRegionAdded(self, roi: Any) -> None:
        if self._parameters is not None:
            fitRegion(roi, self._parameters.queryVolume)
            self._update()

    def _watchRegion(self, roi: Any) -> None:
        """Notices when the region is moved, which may make it miss the volume; None to let go of it."""
        if roi is self._region:
            return
        events = (
            vtk.vtkCommand.ModifiedEvent,
            slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        )
        for event in events:
            if self._region is not None:
                self.removeObserver(self._region, event, self._onRegionModified)
            if roi is not None:
                self.addObserver(roi, event, self._onRegionModified)
        self._region = roi

    def _onRegionModified(self, _caller: Any, _event: Any) -> None:
        self._run.update()

    def _onExamplesChanged(self) -> None:
        self._update()

    def _update(self) -> None:
        """Shows what the scene holds; called after whatever changed."""
        parameters = self._parameters
        if parameters is None:
            return
        if self._entered:
            segmentation = self._painted.follow(*self._paintedNodes())
            if segmentation is not parameters.paintSegmentation:
                parameters.paintSegmentation = segmentation
        volume, segmentation = self._paintedNodes()
        self._painting.show(segmentation, volume)
        self._watchRegion(parameters.roi)
        self._examples.update()
        self._settings.update(self._examples.segmentNames(), parameters.queryVolume, self._examples.enabledRows())
        self._result.show(parameters.preview, parameters.confidenceVolume)
        self._folding.update(parameters.queryVolume, not self._examples.isEmpty, parameters.preview is not None)
        self._run.update()

    def _paintedNodes(self) -> tuple[Any, Any]:
        """The volume that is painted on and the segmentation that is painted in."""
        if self._parameters is None:
            return None, None
        return self._parameters.paintVolume or self._parameters.queryVolume, self._parameters.paintSegmentation

    # A run

    def _whatIsMissing(self) -> str:
        if self._parameters is None:
            return _("The scene is being closed.")
        rows = self._examples.enabledRows()
        missing = self.logic.whatIsMissing(self._parameters.queryVolume, rows, self._settings.runSettings())
        if not missing and not self._examples.segmentNames():
            return _("Nothing is painted on the examples; paint a structure on one of them at least.")
        return missing

    def _start(self, **callbacks: Any) -> Any:
        return self.logic.startRun(
            self._parameters.queryVolume, self._examples.enabledRows(), self._settings.runSettings(), **callbacks
        )

    def _onRunFinished(self, run: Any) -> None:
        if self._parameters is None:
            self._waitingRun = run
            return
        with slicer.util.tryWithErrorDisplay(_("The result can't be shown.")):
            preview = self.logic.previewOf(run)
            self._discard(self._parameters.preview)
            self._parameters.confidenceVolume = self.logic.confidenceVolumeOf(run, self._parameters.confidenceVolume)
            self._parameters.preview = preview
            self._finishedRun = run

    def _accept(self, preview: Any) -> Acceptance:
        # The preview itself can be chosen, too, but goes when it is accepted.
        output = self._parameters.outputSegmentation if self._parameters.outputSegmentation is not preview else None
        completed = completedSegments(output).values() if output is not None else ()
        kept = [name for name in segmentNames(preview) if name in completed]
        saveState = self._painting.saveStateOf(output)
        target = self.logic.accept(preview, output, self._painting.editorNode, saveState)
        self._parameters.preview = None
        said = _("Accepted into {name}.").format(name=target.GetName())
        if kept:
            said += " " + _("Left as they were, being marked as completed: {segments}.").format(
                segments=", ".join(kept)
            )
        if output is None:
            return Acceptance(target, said)
        run, undo = self._finishedRun, self.logic.undoAccept if saveState is None else self._painting.undo
        return Acceptance(target, said, lambda: self._undoAccept(undo, run))

    def _undoAccept(self, undo: Callable[[], None], run: Any) -> None:
        undo()
        # What was taken back waits for a decision again. The logic knows the latest run only, and none of a scene that
        # was saved and opened.
        if run is not None and run is self._finishedRun and self._parameters.preview is None:
            with contextlib.suppress(SceneError):
                self._parameters.preview = self.logic.previewOf(run)

    def _discard(self, preview: Any) -> None:
        if preview is not None:
            self._parameters.preview = None
            self.logic.discard(preview)


def _volumeInView() -> Any:
    """The volume in the background of a slice view, else any; None without volumes."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        volume = slicer.mrmlScene.GetNodeByID(view.GetBackgroundVolumeID() or "")
        if volume is not None and volume.GetClassName() == "vtkMRMLScalarVolumeNode":
            return volume
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((volume for volume in volumes if volume.GetClassName() == "vtkMRMLScalarVolumeNode"), None)


def _same(one: Any, other: Any) -> bool:
    """Whether two wrappers wrap the same node."""
    return one.parameterNode is other.parameterNode
