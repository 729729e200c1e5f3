"""Cases of the Segment Editor effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.effect.effect_session import previewOf
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.self_test.cases import Cases
from FewShotSegModule.self_test.made_up import madeUpScan

#: The effect's name.
EFFECT = "Segment from examples"


class EffectCases(Cases):
    """In the application's own Segment Editor."""

    def test_effectIsInTheSegmentEditor(self) -> None:
        """The effect can be chosen with nothing painted, and in scenes that close; the module's own editor has none."""
        self._needEditor()
        volume, segmentation, _truth = madeUpScan()
        editor = self._editorWithEffect(volume, segmentation)
        effect = editor.activeEffect()
        assert effect is not None
        assert effect.name == EFFECT
        assert not self._effectButton(editor, "Apply").enabled
        self._stir()
        slicer.mrmlScene.Clear(0)
        self._stir()
        assert EFFECT not in self._panelFor(*madeUpScan()[:2]).segmentEditorWidget.effectNameOrder()
        self.delayDisplay(_("The effect is in the Segment Editor."))

    def test_effectInitializesFollowsAndApplies(self) -> None:
        """A preview that follows another effect's strokes, is shown in 3D and applied in one step of undo."""
        self._needEditor()
        self._needPackages()
        volume, segmentation, truth = madeUpScan()
        slicer.util.getModuleLogic("FewShotSeg").getParameterNode().improve = False
        editor = self._editorWithEffect(volume, segmentation)
        preview = self._initialized(editor)
        editor.setActiveEffectByName("Paint")
        self._paint(segmentation, volume, truth, 7)
        self._waitFor(
            lambda: np.array_equal(Painted(volume, preview).plane(0, 7) > 0, (truth["large"] | truth["small"])[7])
        )
        editor.setActiveEffectByName(EFFECT)
        self._waitFor(lambda: self._effectButton(editor, "Preview").text == _("Update"))
        self._effectButton(editor, "NextSlice").click()
        self._stir()
        before = Painted(volume, segmentation).whole()
        self._effectButton(editor, "Apply").click()
        self._stir()
        assert not slicer.mrmlScene.IsNodePresent(preview)
        self._checkResult(segmentation, volume, truth)
        editor.undo()
        self._stir()
        assert np.array_equal(Painted(volume, segmentation).whole(), before), "one step of undo"
        self.delayDisplay(_("The effect works."))

    def test_effectEndsWithWhatItIsAbout(self) -> None:
        """The scene is closed, a node deleted or another one chosen, or the effect cancelled, during an update."""
        self._needEditor()
        self._needPackages()
        for number in range(5):
            slicer.mrmlScene.Clear(0)
            volume, segmentation, _truth = madeUpScan()
            slicer.util.getModuleLogic("FewShotSeg").getParameterNode().improve = False
            editor = self._editorWithEffect(volume, segmentation)
            preview = self._initialized(editor)
            self._effectButton(editor, "Preview").click()
            assert self._effectButton(editor, "Preview").text == _("Stop")
            if number == 0:
                slicer.mrmlScene.Clear(0)
            elif number == 1:
                editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
            elif number == 2:
                self._effectButton(editor, "Cancel").click()
            else:
                slicer.mrmlScene.RemoveNode((volume, segmentation)[number - 3])
            self._stir()
            assert not slicer.mrmlScene.IsNodePresent(preview)
            editor.setActiveEffectByName("")
        self.delayDisplay(_("The effect ends with what it is about."))

    def _needEditor(self) -> None:
        if not hasattr(slicer.modules, "segmenteditor"):
            self.skipTest(_("There is no Segment Editor."))

    def _editorWithEffect(self, volume: Any, segmentation: Any) -> Any:
        """The Segment Editor of the application, with the effect chosen."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        editor.setActiveEffectByName(EFFECT)
        slicer.app.processEvents()
        return editor

    def _effectButton(self, editor: Any, name: str) -> Any:
        return slicer.util.findChild(editor, "FewShotSegEffect" + name)

    def _initialized(self, editor: Any) -> Any:
        """The preview after Initialize."""
        self._effectButton(editor, "Preview").click()
        self._waitFor(lambda: self._effectButton(editor, "Apply").enabled)
        self._waitFor(lambda: self._effectButton(editor, "Preview").text == _("Update"))
        return previewOf(editor.mrmlSegmentEditorNode())
