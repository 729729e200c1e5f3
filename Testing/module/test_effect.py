"""The Segment Editor effect as a user meets it, in an editor beside the module's panel, with the real engine."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest


class Editor:
    """A Segment Editor with the effect, on the scan and the painted slices of the panel."""

    def __init__(self, panel: Any) -> None:
        from FewShotSegModule.effect.registration import registerEffect
        from standin.segment_editor_effects import registered

        self.panel, self.slicer = panel, panel.slicer
        registerEffect()
        self.host = registered["Segment from examples"].self().clone()
        self.host.self().setupOptionsFrame()
        self.node = self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.segmentation = panel._drawn
        self.node.SetAndObserveSegmentationNode(self.segmentation)
        self.node.SetAndObserveSourceVolumeNode(panel.volume)
        self.host.edit(self.node)

    def button(self, name: str) -> Any:
        from PySide6 import QtWidgets

        (found,) = [
            button
            for button in self.host.frame.findChildren(QtWidgets.QPushButton)
            if QtWidgets.QPushButton.text(button) == name
        ]
        return found

    def texts(self) -> str:
        from PySide6 import QtWidgets

        labels = self.host.frame.findChildren(QtWidgets.QLabel)
        return "\n".join(QtWidgets.QLabel.text(label) for label in labels)

    def has(self, name: str) -> bool:
        from PySide6 import QtWidgets

        buttons = self.host.frame.findChildren(QtWidgets.QPushButton)
        return any(QtWidgets.QPushButton.text(button) == name for button in buttons)

    def segment(self, name: str) -> np.ndarray:
        identifier = self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        return self.slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, identifier, self.panel.volume) > 0

    def previews(self) -> list[Any]:
        nodes = self.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [node for node in nodes if "preview" in node.GetName()]


@pytest.fixture
def editor(painted_panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    slicer = painted_panel.slicer

    class Module:
        """The module as the application's manager gives it."""

        name = "FewShotSeg"

    monkeypatch.setattr(slicer, "qSlicerScriptedLoadableModule", Module, raising=False)
    monkeypatch.setattr(slicer.util, "getModuleGui", lambda _module: painted_panel.widget, raising=False)
    manager = SimpleNamespace(module=lambda _name: Module())
    monkeypatch.setattr(slicer.app, "moduleManager", lambda: manager, raising=False)
    painted_panel.parameters.device = "cpu"
    painted_panel.parameters.improve = False
    made = Editor(painted_panel)
    yield made
    made.host.self().cleanup()


def test_initialize_paint_update_and_apply(editor: Editor) -> None:
    panel = editor.panel
    assert not editor.button("Apply").enabled
    assert not editor.button("Cancel").enabled
    editor.button("Initialize").click()
    assert editor.has("Stop")
    assert not panel.messages
    panel.waitFor(lambda: editor.button("Apply").enabled)
    (preview,) = editor.previews()
    assert editor.has("Update")
    assert editor.button("Next slice").enabled
    editor.button("Next slice").click()
    assert "mm" in editor.texts()
    painted = {k: editor.segment("large")[k] for k in panel.painted}
    editor.button("Apply").click()
    assert not panel.messages
    assert editor.host.savedStates == 1
    assert editor.previews() == []
    found, truth = editor.segment("large"), panel.truth["large"]
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    for k, mask in painted.items():
        assert np.array_equal(found[k], mask), "painted slices stay as they are"
    editor.host.undo()
    assert set(np.flatnonzero(editor.segment("large").any(axis=(1, 2)))) <= set(panel.painted)
    # Another effect paints, and the one that completes is not active: with Auto-update the preview follows.
    editor.button("Initialize").click()
    panel.waitFor(lambda: editor.button("Apply").enabled)
    (preview,) = editor.previews()
    editor.host.self().deactivate()
    identifier = editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName("large")
    mask = editor.segment("large") | panel.disc(5)
    editor.slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), editor.segmentation, identifier, panel.volume
    )
    panel.waitFor(lambda: editor.has("Stop"))
    panel.waitFor(lambda: editor.has("Update"))
    assert editor.previews() == [preview]
    shown = preview.GetSegmentation().GetSegmentIdBySegmentName("large")
    found = editor.slicer.util.arrayFromSegmentBinaryLabelmap(preview, shown, panel.volume) > 0
    assert np.array_equal(found[5], mask[5])
    editor.button("Cancel").click()
    assert editor.previews() == []
    assert editor.has("Initialize")


def test_stop_and_closing_the_scene_during_an_update(editor: Editor) -> None:
    panel = editor.panel
    editor.button("Initialize").click()
    editor.button("Stop").click()
    assert editor.has("Initialize")
    assert editor.previews() == []
    editor.button("Initialize").click()
    editor.slicer.mrmlScene.Clear(0)
    panel.events()
    assert editor.has("Initialize")
    assert not panel.messages


def test_the_panels_run_is_waited_for_and_both_get_their_results(editor: Editor) -> None:
    panel = editor.panel
    panel.ui.addAllButton.click()
    panel.ui.runButton.click()
    editor.button("Initialize").click()
    assert editor.has("Stop")
    panel.waitFor(lambda: panel.ui.acceptButton.enabled)
    panel.waitFor(lambda: editor.button("Apply").enabled)
    assert len(editor.previews()) == 2
    assert not panel.messages


def test_switching_the_segmentation_while_it_computes_ends_it(editor: Editor) -> None:
    editor.button("Initialize").click()
    other = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    editor.node.SetAndObserveSegmentationNode(other)
    assert editor.has("Initialize")
    assert not editor.button("Cancel").enabled


def test_without_consent_to_install_nothing_starts_and_nothing_is_left(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from FewShotSegModule.setup import dependencies

    declined = MagicMock(return_value=False)
    monkeypatch.setattr(dependencies, "ensureWithConsent", declined)
    editor.button("Initialize").click()
    declined.assert_called_once()
    assert editor.has("Initialize")
    assert not editor.button("Apply").enabled
    assert editor.previews() == []
    assert editor.panel.messages == []


def test_without_a_window_of_the_application_the_effect_has_a_cursor(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    monkeypatch.setattr(editor.slicer.util, "mainWindow", lambda: None)
    assert isinstance(editor.host.self().createCursor(None), qt.QCursor)


def test_nothing_painted_is_told(editor: Editor) -> None:
    content = editor.segmentation.GetSegmentation()
    for number in range(content.GetNumberOfSegments()):
        editor.segmentation.GetDisplayNode().SetSegmentVisibility(content.GetNthSegmentID(number), False)
    editor.panel.swallow(editor.button("Initialize").click)
    assert "Nothing is painted in the visible segments" in editor.panel.messages[-1]
    assert not editor.button("Cancel").enabled


def test_auto_update_is_kept_with_the_editors_settings(editor: Editor) -> None:
    from PySide6 import QtWidgets

    (box,) = editor.host.frame.findChildren(QtWidgets.QCheckBox)
    assert box.checked, "as for Slicer's own effects"
    box.click()
    assert editor.node.GetAttribute("Segment from examples.AutoUpdate") == "0"


def test_the_module_registers_the_effect_when_the_application_has_started(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from standin.qt_panel import loadModule
    from standin.segment_editor_effects import registered

    monkeypatch.setitem(sys.modules, "SampleData", MagicMock())
    registered.clear()
    loadModule().FewShotSeg(SimpleNamespace())
    assert not registered
    editor.slicer.app.emit("startupCompleted()")
    assert list(registered) == ["Segment from examples"]


def test_help_and_icon_are_there(editor: Editor) -> None:
    assert "Initialize" in editor.host.self().helpText()
    assert not editor.host.self().icon().isNull()
