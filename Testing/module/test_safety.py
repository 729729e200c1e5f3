"""The stand-ins notice what the application would not survive."""

from __future__ import annotations

from typing import Any

from nodes import add_segmentation, add_volume, box


def test_a_display_node_that_goes_before_its_segmentation_is_noticed(slicer: Any) -> None:
    from FewShotSegModule.scene.removal import remove
    from standin.safety import takeReports

    for wrong in (True, False):
        node = add_segmentation(slicer, add_volume(slicer), {"liver": box(slice(2, 4))})
        node.CreateDefaultDisplayNodes()
        if wrong:
            slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
        remove(node)
        assert len(takeReports()) == wrong


def test_views_that_are_observed_without_an_editor_node_are_noticed(empty_panel: Any) -> None:
    from standin.safety import takeReports

    editor = empty_panel.ui.segmentEditorWidget
    editor.setMRMLSegmentEditorNode(None)
    assert len(takeReports()) == 1
    editor.setupViewObservations()
    assert len(takeReports()) == 1
    editor.removeViewObservations()
    assert takeReports() == []
