"""The Segment Editor effect "Segment from examples", as Slicer loads it.

Slicer names the Python module after this file's folder, and the class after the file; hence a folder of its own. What
the effect does is in FewShotSegModule.effect.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import FewShotSegModule
import qt
import slicer
from FewShotSegModule.effect.effect_options import EffectOptions
from FewShotSegModule.effect.effect_session import EffectSession, previewOf
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.setup import dependencies
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from FewShotSegLib.errors import FewShotSegError

_AUTO_UPDATE = "AutoUpdate"


class SegmentFromExamplesEffect(AbstractScriptedSegmentEditorEffect):
    """Finds what is painted on some slices in the whole volume, and shows it until it is applied or cancelled.

    As with Slicer's effects that complete segments, the preview goes on following while other effects paint.
    """

    def __init__(self, scriptedEffect: Any) -> None:
        # Names stay untranslated, settings and scenes go by them; titles are what users read.
        scriptedEffect.name = "Segment from examples"
        scriptedEffect.title = _("Segment from examples")
        # It works on all visible segments.
        scriptedEffect.perSegment = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self._options: EffectOptions | None = None
        self._session: EffectSession | None = None

    # What Slicer calls

    def clone(self) -> Any:
        """Another one for another editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        made = effects.qSlicerSegmentEditorScriptedEffect(None)
        made.setPythonSource(__file__.replace("\\", "/"))
        return made

    def icon(self) -> Any:
        """The module's icon."""
        file = Path(FewShotSegModule.__file__).resolve().parents[1] / "Resources" / "Icons" / "FewShotSeg.png"
        return qt.QIcon(str(file))

    def helpText(self) -> str:
        """What the editor shows above the options."""
        return "<html>{text}</html>".format(
            text=_(
                "Paint structures on a few slices, and get them on all the others.<br>Paint each structure in a segment"
                " of its own, on some slices along any axis, then click <b>Initialize</b>. What is painted in visible"
                " segments counts. Go on painting where the preview is wrong, and it follows; <b>Next slice</b> shows"
                " where painting helps most. <b>Apply</b> writes the preview into the segments: <b>Masking</b> is"
                " respected, and it can be undone. Examples on other volumes, and settings, are in the module"
                " <b>Segment from Examples</b>."
            )
        )

    def setupOptionsFrame(self) -> None:
        """Makes the controls."""
        self._options = EffectOptions(
            self.scriptedEffect,
            update=self._onUpdate,
            cancel=self._onCancel,
            apply=self._onApply,
            showNext=self._onNextSlice,
            onAutoUpdate=self._onAutoUpdate,
            onOpacity=self._onOpacity,
            on3D=self._on3D,
        )
        self._show()

    def setMRMLDefaults(self) -> None:
        """On, as for Slicer's own effects that complete segments."""
        self.scriptedEffect.setParameterDefault(_AUTO_UPDATE, "1")

    def createCursor(self, _widget: Any) -> Any:
        """None of its own: the application's, which has no window where it runs without."""
        window = slicer.util.mainWindow()
        return window.cursor if window is not None else qt.QCursor()

    def activate(self) -> None:
        """Takes up a preview that came with a scene."""
        self._show()

    def deactivate(self) -> None:
        """A preview stays, and goes on following what other effects paint."""

    def sourceVolumeNodeChanged(self) -> None:
        """The preview of another volume goes by itself."""
        self._show()

    def updateGUIFromMRML(self) -> None:
        """Shows what the editor's node says."""
        self._show()

    def updateMRMLFromGUI(self) -> None:
        """Everything that is set is in the scene at once."""

    def cleanup(self) -> None:
        """Lets go of everything, before the editor goes."""
        if self._session is not None:
            self._session.end()
        options, self._options = self._options, None
        if options is not None:
            options.release()

    # What the user does

    def _onUpdate(self) -> None:
        if self._session is not None and self._session.live.state == "updating":
            self._session.live.cancel()
            return
        if not dependencies.ensureWithConsent():
            return
        with slicer.util.tryWithErrorDisplay(_("The segmentation can't start."), waitCursor=False):
            try:
                self._sessionNow().update()
            except FewShotSegError:
                self._endWithoutPreview()
                raise
        self._show()

    def _onCancel(self) -> None:
        if self._session is not None:
            self._session.end()

    def _onApply(self) -> None:
        if self._session is not None:
            with slicer.util.tryWithErrorDisplay(_("The preview can't be applied.")):
                self._session.apply(self.scriptedEffect.saveStateForUndo)

    def _onNextSlice(self) -> None:
        if self._session is not None:
            with slicer.util.tryWithErrorDisplay(_("The next slice can't be shown.")):
                self._session.showNext()

    def _onAutoUpdate(self, on: bool) -> None:
        self.scriptedEffect.setParameter(_AUTO_UPDATE, 1 if on else 0)
        self._show()

    def _onOpacity(self, value: float) -> None:
        if self._session is not None:
            self._session.opacity = value

    def _on3D(self, on: bool) -> None:
        if self._session is not None:
            self._session.isIn3D = on

    # What happens

    def _sessionNow(self) -> EffectSession:
        """The session with what the editor edits; begun where there is none.

        :raises SceneError: Something is missing or doesn't fit.
        """
        if self._session is None:
            node = self.scriptedEffect.parameterSetNode()
            if node is None or node.GetSegmentationNode() is None or node.GetSourceVolumeNode() is None:
                raise SceneError(_("Select a segmentation and a source volume first."))
            logic = slicer.util.getModuleLogic("FewShotSeg")
            self._session = EffectSession(logic, node, onChanged=self._show, onFailed=self._tellFailure)
        return self._session

    def _endWithoutPreview(self) -> None:
        """Nothing is followed where nothing could be started."""
        if self._session is not None and self._session.live.preview is None:
            self._session.end()

    def _show(self) -> None:
        """Shows what the session is at; called after whatever changed."""
        node = self.scriptedEffect.parameterSetNode()
        if self._session is not None and not self._session.isOver and self._session.editorNode is not node:
            self._session.end()
        if self._session is not None and self._session.isOver:
            self._session = None
        if self._session is None and self._isToResume(node):
            try:
                self._sessionNow()
            except FewShotSegError as error:
                logging.warning("FewShotSeg: the preview is not followed: %s", error)
        autoUpdate = node is None or self.scriptedEffect.integerParameter(_AUTO_UPDATE) != 0
        if self._session is not None:
            self._session.live.autoUpdate = autoUpdate
        if self._options is not None:
            self._options.show(self._session, autoUpdate=autoUpdate)

    def _isToResume(self, node: Any) -> bool:
        """Whether there is a preview that nobody follows, of a scene that was opened."""
        return (
            self._options is not None
            and not slicer.mrmlScene.IsClosing()
            and not slicer.mrmlScene.IsImporting()
            and previewOf(node) is not None
            and node.GetSegmentationNode() is not None
            and node.GetSourceVolumeNode() is not None
        )

    def _tellFailure(self, message: str) -> None:
        logging.error("FewShotSeg: update failed: %s", message)
        if not slicer.mrmlScene.IsClosing():
            slicer.util.errorDisplay(message, windowTitle=_("Segment from examples"))
