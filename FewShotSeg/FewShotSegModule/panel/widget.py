"""The module's panel: puts the sections together and keeps them in step with the scene."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import SlicerParameterNamePropertyName
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from FewShotSegModule.live.live_segmentation import LiveSegmentation
from FewShotSegModule.logic import FewShotSegLogic
from FewShotSegModule.panel.chosen_view import ChosenView
from FewShotSegModule.panel.cohort_section import CohortSection
from FewShotSegModule.panel.compact_editor import makeCompact
from FewShotSegModule.panel.example_section import ExampleSection
from FewShotSegModule.panel.folding import Folding
from FewShotSegModule.panel.paint_section import PaintSection
from FewShotSegModule.panel.painted_nodes import PaintedNodes
from FewShotSegModule.panel.result_menu import ResultMenu
from FewShotSegModule.panel.result_nodes import ResultNodes
from FewShotSegModule.panel.result_section import ResultSection
from FewShotSegModule.panel.run_controller import RunController
from FewShotSegModule.panel.settings_section import SettingsSection
from FewShotSegModule.panel.shortcuts import Shortcuts
from FewShotSegModule.panel.slice_section import SliceSection
from FewShotSegModule.scene.confidence import isConfidence
from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.existing import spreadSlices
from FewShotSegModule.scene.region import fitRegion
from FewShotSegModule.scene.report_table import showTable
from FewShotSegModule.setup import dependencies

#: Keys that Slicer's own toolbars have (Ctrl+Shift+A is that of the markups) would reach neither.
_ADD_KEYS, _RUN_KEYS, _ACCEPT_KEYS = "Ctrl+Shift+E", "Ctrl+Shift+G", "Ctrl+Shift+K"
#: A text field that is typed into takes it before.
_NEXT_KEYS = "N"
#: Milliseconds after a node came or went before the panel follows.
_PAUSE = 100


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
        #: The region that is observed.
        self._region: Any = None
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
        #: What is set, and which slices are examples.
        self.settings = SettingsSection(self.ui)
        view = ChosenView(self.ui.viewSelector)
        self.examples = ExampleSection(
            self.ui,
            painted=self._paintedNodes,
            onChanged=self._onExamplesChanged,
            view=view,
            query=self._queryVolume,
            background=lambda: self._parameters.background if self._parameters is not None else "",
            preview=lambda: self._parameters.preview if self._parameters is not None else None,
            addShortcut=_ADD_KEYS,
        )
        self._slices = SliceSection(
            self.ui,
            view=view,
            examples=self.examples,
            painted=self._paintedNodes,
            copySlice=self.logic.copySlice,
            saveStateOf=self._painting.saveStateOf,
            nextKeys=_NEXT_KEYS,
        )
        #: The loop, which keeps the preview in step with what is painted.
        self.live = LiveSegmentation(
            self.logic,
            query=self._queryVolume,
            examples=self.examples.enabledRows,
            settings=self.settings.runSettings,
            onPainted=self.examples.takePainted,
            onChanged=lambda: self._run.showState(),
            onResult=self._onResult,
            onFailed=lambda message: self._run.tellFailure(message),
        )
        self._run = RunController(
            self.ui,
            live=self.live,
            whatIsMissing=self._whatIsMissing,
            prepare=dependencies.ensureWithConsent,
            note=self.examples.note,
            shortcut=_RUN_KEYS,
        )
        self._nodes = ResultNodes(
            self.logic,
            self._painting,
            parameters=lambda: self._parameters,
            isConfidenceShown=lambda: self._result.overlayIsOn,
            painted=lambda *nodes: ExampleList(self._parameters.parameterNode).paintedBesides(*nodes),
            onTakenBack=self.live.ignorePainted,
        )
        self._result = ResultSection(
            self.ui,
            accept=self._nodes.accept,
            discard=self._nodes.discard,
            onOverlayChanged=self._nodes.tidyConfidence,
            acceptShortcut=_ACCEPT_KEYS,
        )
        self._menu = ResultMenu(
            self.ui.resultMenuButton,
            segmentations=self._segmentationsToStartFrom,
            start=lambda node: self.live.show(self._queryVolume(), self.logic.resultFrom(self._queryVolume(), node)),
            takeSlices=self._takeSlices,
            report=self._report,
            page=lambda path: self.logic.reportPage(
                self._parameters.preview, path, self._parameters.confidenceVolume, self.examples.enabledRows()
            ),
        )
        self._cohort = CohortSection(
            self.ui,
            logic=self.logic,
            examples=self.examples.enabledRows,
            exampleList=lambda: ExampleList(self._parameters.parameterNode),
            background=lambda: self._parameters.background if self._parameters is not None else "",
            parameters=lambda: self._parameters,
            prepare=dependencies.ensureWithConsent,
        )
        self._shortcuts = Shortcuts(
            [
                (_ADD_KEYS, self.examples.addCurrentSlice),
                (_RUN_KEYS, self._run.toggle),
                (_ACCEPT_KEYS, self._result.accept),
                (_NEXT_KEYS, self._slices.showNext),
            ]
        )
        self.ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onRegionAdded)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.connect("timeout()", self._catchUp)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
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
        self._slices.close()
        self._cohort.release()
        self.removeObservers()
        self.live.release()
        self.logic.removeObservers()
        self.logic.shutdown()

    def enter(self) -> None:
        """Takes the views and the keys, and proposes the volume that is being looked at."""
        self._entered = True
        self._setParameters(self.logic.getParameterNode())
        self._proposeVolume()
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

    def _onNodeAdded(self, _caller: Any, _event: Any) -> None:
        # Whoever adds a volume fills and shows it next.
        parameters = self._parameters
        if self._entered and parameters is not None and (parameters.queryVolume is None or parameters.casesOfScene):
            self._soon.start()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller: Any, _event: Any, node: Any) -> None:
        if self._painting.uses(node) and not slicer.mrmlScene.IsClosing():
            self._painting.release()
            self._soon.start()
        elif self._parameters is not None and self._parameters.casesOfScene and not slicer.mrmlScene.IsClosing():
            self._soon.start()

    def _catchUp(self) -> None:
        self._proposeVolume()
        self._update()

    def _proposeVolume(self) -> None:
        """Takes the volume that is being looked at, where none was chosen."""
        if self._entered and self._parameters is not None and self._parameters.queryVolume is None:
            self._parameters.queryVolume = _volumeInView()

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

    def _letGoOfScene(self) -> None:
        self._soon.stop()
        self._result.release()
        self._slices.release()
        self._cohort.release()
        self._setParameters(None)
        self._painted.remember(None, None)
        self._painting.release()

    def _setParameters(self, parameters: Any) -> None:
        """Binds the panel to a parameter node; None lets go of it."""
        if self._parameters is not None and (parameters is None or not _same(parameters, self._parameters)):
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self.examples.setList(None)
            self._parameters = None
        if parameters is None:
            self._watchRegion(None)
            self.live.watch([])
            self._result.show(None, None)
            self._slices.show(None, None)
        elif self._parameters is None:
            self._parameters = parameters
            self._guiTag = parameters.connectGui(self._bound)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self.settings.bind(parameters)
            self._painted.remember(*self._paintedNodes())
            self.examples.setList(ExampleList(parameters.parameterNode))
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
        self.live.review()
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
        self._painted.tidy(segmentation)
        self._watchRegion(parameters.roi)
        self.examples.update()
        self.settings.update(self.examples.segmentNames(), parameters.queryVolume, self.examples.enabledRows())
        self._result.show(parameters.preview, parameters.confidenceVolume)
        self._slices.show(parameters.preview, parameters.confidenceVolume)
        self._cohort.update()
        self._folding.update(parameters.queryVolume, not self.examples.isEmpty, parameters.preview is not None)
        self._follow(volume, segmentation)
        self._run.update()

    def _follow(self, volume: Any, segmentation: Any) -> None:
        """Lets the loop follow what is painted, and what was set."""
        parameters, live = self._parameters, self.live
        live.autoUpdate, live.improve = parameters.autoUpdate, parameters.improve
        live.preview = parameters.preview
        pairs = [(row.volume, row.segmentation) for row in self.examples.enabledRows()]
        # Corrections of a case that is reviewed are no examples; they go into the library.
        if volume is not None and segmentation is not None and segmentation is not self._cohort.segmentation:
            pairs.append((volume, segmentation))
        live.watch([pair for pair in pairs if pair[1] is not parameters.preview])
        live.review()

    def _queryVolume(self) -> Any:
        """The volume to segment; None if there is none."""
        return self._parameters.queryVolume if self._parameters is not None else None

    def _paintedNodes(self) -> tuple[Any, Any]:
        """The volume that is painted on and the segmentation that is painted in."""
        if self._parameters is None:
            return None, None
        return self._parameters.paintVolume or self._parameters.queryVolume, self._parameters.paintSegmentation

    # What else can be done with results

    def _segmentationsToStartFrom(self) -> list[Any]:
        preview = self._parameters.preview if self._parameters is not None else None
        if self._queryVolume() is None:
            return []
        return [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if node is not preview]

    def _takeSlices(self, segmentation: Any, count: int) -> None:
        for axis, index in spreadSlices(self._queryVolume(), segmentation, count):
            self.examples.add(self._queryVolume(), segmentation, axis, index)

    def _report(self) -> Callable[[], None] | None:
        """Makes a table of the preview and shows it; None where there is none."""
        parameters = self._parameters
        if parameters is None or parameters.preview is None:
            return None
        rows = self.examples.enabledRows()
        return lambda: showTable(self.logic.reportOf(parameters.preview, parameters.confidenceVolume, rows))

    # A run

    def _whatIsMissing(self) -> str:
        if self._parameters is None:
            return _("The scene is being closed.")
        rows = self.examples.enabledRows()
        missing = self.logic.whatIsMissing(self._parameters.queryVolume, rows, self.settings.runSettings())
        if not missing and not self.examples.segmentNames():
            return _("Nothing is painted on the examples; paint a structure on one of them at least.")
        return missing

    def _onResult(self, result: Any) -> None:
        with slicer.util.tryWithErrorDisplay(_("The result can't be shown.")):
            self._nodes.show(self.live.preview, result)
        # The same nodes show something else now, which the parameter node does not know.
        self._update()


def _volumeInView() -> Any:
    """The image in the background of a slice view, else any; None without images."""
    scene, views = slicer.mrmlScene, slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = [scene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views]
    return next(filter(_isImage, [*shown, *slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]), None)


def _isImage(node: Any) -> bool:
    """Whether a node is a volume that may be what a user wants segmented; no labelmap, and no confidence of ours."""
    if node is None or node.GetClassName() != "vtkMRMLScalarVolumeNode":
        return False
    return node.GetImageData() is not None and not isConfidence(node)


def _same(one: Any, other: Any) -> bool:
    """Whether two wrappers wrap the same node."""
    return one.parameterNode is other.parameterNode
