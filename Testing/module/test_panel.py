"""The panel outside of runs: what is proposed, enabled, shown, observed and let go of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin.qt_panel import SLICERS_KEYS, paint

USE, PICTURE, TEXT, REMOVE = range(4)


def texts(panel: Any) -> list[str]:
    """What the rows say, from top to bottom."""
    table = panel.ui.exampleTable
    return [table.cellWidget(row, TEXT).text for row in range(table.rowCount)]


def example_image(panel: Any, row: int) -> np.ndarray:
    image = panel.ui.exampleTable.cellWidget(row, PICTURE).pixmap.toImage()
    return np.array(
        [[image.pixelColor(x, y).getRgb()[:3] for x in range(image.width())] for y in range(image.height())]
    )


# Opening


def test_a_panel_without_volumes_says_what_to_do_and_can_do_nothing(empty_panel: Any) -> None:
    ui = empty_panel.ui
    assert not ui.runButton.enabled
    assert "volume" in ui.runButton.toolTip.lower()
    assert not ui.addSliceButton.enabled
    assert not ui.addAllButton.enabled
    assert not ui.acceptButton.enabled
    assert not ui.discardButton.enabled
    assert not ui.confidenceCheckBox.enabled
    assert empty_panel.messages == []


def test_every_widget_that_can_be_bound_names_a_field_of_the_parameter_node(empty_panel: Any) -> None:
    bound = {w.name: w.property("SlicerParameterName") for w in vars(empty_panel.ui).values()}
    named = {name: field for name, field in bound.items() if field}
    for field in named.values():
        assert hasattr(empty_panel.parameters, field), field
    assert len(named) == len(set(named.values())) >= 8


def test_entering_proposes_the_volume_and_makes_a_segmentation_on_its_grid(panel: Any) -> None:
    parameters = panel.parameters
    assert parameters.queryVolume is panel.volume
    segmentation = parameters.paintSegmentation
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is panel.volume
    assert panel.ui.segmentEditorWidget.segmentationNode() is segmentation
    assert panel.ui.segmentEditorWidget.sourceVolumeNode() is panel.volume


def test_entering_leaves_views_alone_that_show_the_volume(empty_panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = empty_panel
    panel.exit()
    panel.prepareScene()
    panel.slicer.util.setSliceViewerLayers(background=panel.volume)
    changed: list[Any] = []
    monkeypatch.setattr(panel.slicer.util, "setSliceViewerLayers", lambda **layers: changed.append(layers))
    panel.enter()
    assert panel.parameters.queryVolume is panel.volume
    assert changed == []
    other = panel.addVolume("other patient")
    panel.ui.paintVolumeSelector.setCurrentNode(other)
    assert [layers["background"] for layers in changed] == [other]


def test_entering_again_makes_nothing_new(panel: Any) -> None:
    before = panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    panel.exit()
    panel.enter()
    assert panel.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before


def test_the_editor_offers_painting_effects_only_and_hides_its_own_selectors(panel: Any) -> None:
    editor = panel.ui.segmentEditorWidget
    assert {"Paint", "Draw", "Erase", "Threshold", "Islands"} <= set(editor.effectNameOrder())
    assert not editor.unorderedEffectsVisible


# Adding examples


def test_a_run_needs_an_example_with_something_on_it(panel: Any) -> None:
    assert not panel.ui.runButton.enabled
    assert "example" in panel.ui.runButton.toolTip.lower()
    paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, "disc", panel.disc(6))
    panel.showSlice(6)
    panel.ui.addSliceButton.click()
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip


def test_the_slice_of_the_chosen_view_is_added_once(panel: Any) -> None:
    opposite = {"S": "I", "A": "P", "R": "L"}
    for view, expected in ((0, "S"), (1, "A"), (2, "R")):
        panel.showSlice(6, ("Red", "Green", "Yellow")[view])
        panel.ui.viewSelector.currentIndex = view
        panel.ui.addSliceButton.click()
        panel.ui.addSliceButton.click()
        assert panel.ui.exampleTable.rowCount == view + 1
        place = texts(panel)[view]
        assert f"<b>{expected} " in place or f"<b>{opposite[expected]} " in place
        assert "made-up scan" in place


def test_a_tilted_view_is_refused_with_advice(panel: Any) -> None:
    node = panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    node.SetSliceToRASByNTP(0.2, 0.3, 0.9, 1, 0, 0, *panel.worldOf(6, 30, 30), 0)
    panel.swallow(panel.ui.addSliceButton.click)
    assert panel.ui.exampleTable.rowCount == 0
    assert len(panel.messages) == 1
    assert "align" in panel.messages[0].lower()


def test_all_painted_slices_are_added_with_their_segments_and_colours(painted_panel: Any) -> None:
    ui = painted_panel.ui
    ui.addAllButton.click()
    assert ui.exampleTable.rowCount == 3
    for text in texts(painted_panel):
        assert "large" in text
        assert "small" in text
        assert text.count("color:#") == 2
    ui.addAllButton.click()
    assert ui.exampleTable.rowCount == 3


def test_adding_all_of_nothing_painted_says_so(panel: Any) -> None:
    panel.ui.addAllButton.click()
    assert panel.ui.exampleTable.rowCount == 0
    assert "Nothing is painted" in panel.messages[0]


# Rows


def test_a_picture_shows_the_outline_in_the_segments_colour(panel: Any) -> None:
    segmentation = panel.parameters.paintSegmentation
    paint(panel.slicer, segmentation, panel.volume, "disc", panel.disc(6), (0.0, 1.0, 0.0))
    panel.ui.addAllButton.click()
    assert (example_image(panel, 0) == (0, 255, 0)).all(axis=-1).sum() > 20


def test_painting_on_an_example_refreshes_its_row_and_no_other(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.settle()
    before = [example_image(panel, row) for row in range(3)]
    untouched = panel.ui.exampleTable.cellWidget(0, TEXT)
    k = panel.painted[1]
    paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, "third", panel.disc(k, 4, (50, 20)))
    panel.settle()
    after = [example_image(panel, row) for row in range(3)]
    assert "third" in texts(panel)[1]
    assert not np.array_equal(before[1], after[1])
    assert np.array_equal(before[0], after[0])
    assert panel.ui.exampleTable.cellWidget(0, TEXT) is untouched


def test_erasing_an_example_shows_that_nothing_is_painted(panel: Any) -> None:
    segmentation = panel.parameters.paintSegmentation
    paint(panel.slicer, segmentation, panel.volume, "disc", panel.disc(6))
    panel.ui.addAllButton.click()
    paint(panel.slicer, segmentation, panel.volume, "disc", np.zeros(panel.scan.shape, bool))
    panel.settle()
    assert "nothing painted" in texts(panel)[0]
    assert not panel.ui.runButton.enabled


def test_renaming_shows_in_the_rows(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.volume.SetName("renamed & odd <scan>")
    content = panel.parameters.paintSegmentation.GetSegmentation()
    content.GetNthSegment(0).SetName("liver")
    panel.settle()
    assert "renamed &amp; odd &lt;scan&gt;" in texts(panel)[0]
    assert "liver" in texts(panel)[0]


def test_unchecked_rows_are_left_out_and_stay(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    for row in range(3):
        panel.ui.exampleTable.cellWidget(row, USE).click()
    assert not panel.ui.runButton.enabled
    assert panel.ui.exampleTable.rowCount == 3
    panel.ui.exampleTable.cellWidget(1, USE).click()
    assert panel.ui.runButton.enabled


def test_a_removed_row_goes_and_what_is_painted_stays(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    kept = [texts(panel)[row] for row in (0, 2)]
    panel.ui.exampleTable.cellWidget(1, REMOVE).click()
    panel.events()
    assert texts(panel) == kept
    panel.ui.addAllButton.click()
    assert panel.ui.exampleTable.rowCount == 3


def test_rows_of_a_deleted_volume_vanish(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    panel.slicer.mrmlScene.RemoveNode(panel.volume)
    panel.settle()
    assert panel.ui.exampleTable.rowCount == 0
    assert not panel.ui.runButton.enabled


def test_a_click_on_a_row_shows_its_slice_and_volume(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    scene = panel.slicer.mrmlScene
    scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed").SetBackgroundVolumeID(None)
    for row, k in enumerate(panel.painted):
        panel.ui.exampleTable.cellClicked.emit(row, TEXT)
        shown = scene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceToRAS().GetElement(2, 3)
        assert shown == pytest.approx(panel.worldOf(k, 0, 0)[2])
    assert scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed").GetBackgroundVolumeID() == panel.volume.GetID()


# Painting on another volume


def test_another_volume_gets_a_segmentation_of_its_own_and_the_first_comes_back(painted_panel: Any) -> None:
    panel = painted_panel
    first = panel.parameters.paintSegmentation
    other = panel.addVolume("other patient")
    panel.ui.paintVolumeSelector.setCurrentNode(other)
    second = panel.parameters.paintSegmentation
    assert second is not first
    assert panel.ui.segmentEditorWidget.sourceVolumeNode() is other
    panel.ui.paintVolumeSelector.setCurrentNode(None)
    assert panel.ui.segmentEditorWidget.sourceVolumeNode() is panel.volume
    assert panel.parameters.queryVolume is panel.volume


def test_a_segmentation_that_the_user_selects_is_kept(painted_panel: Any) -> None:
    panel = painted_panel
    chosen = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "chosen")
    panel.ui.paintSegmentationSelector.setCurrentNode(chosen)
    panel.ui.refineCheckBox.click()
    assert panel.parameters.paintSegmentation is chosen


def test_a_segmentation_made_with_the_selector_gets_the_volumes_grid(panel: Any) -> None:
    made = panel.ui.paintSegmentationSelector.addNode()
    assert made.GetNodeReference(made.GetReferenceImageGeometryReferenceRole()) is panel.volume
    assert panel.ui.segmentEditorWidget.segmentationNode() is made


# Settings


def test_settings_are_kept_in_the_scene(panel: Any) -> None:
    ui, parameters = panel.ui, panel.parameters
    ui.deviceSelector.currentIndex = 1
    assert parameters.quality == "fast"
    ui.qualitySelector.currentIndex = 1
    ui.refineCheckBox.checked = False
    ui.refineStrengthSlider.value = 0.3
    assert parameters.device == "cpu"
    assert parameters.quality == "best"
    assert panel.widget.settings.runSettings().quality == "best"
    assert parameters.refine is False
    assert parameters.refineStrength == pytest.approx(0.3)
    assert not ui.refineStrengthSlider.enabled
    parameters.refine = True
    assert ui.refineCheckBox.checked
    assert ui.refineStrengthSlider.enabled


def test_segments_of_the_examples_are_listed_and_can_be_left_out(painted_panel: Any) -> None:
    import qt

    panel = painted_panel
    panel.ui.addAllButton.click()
    shown = panel.ui.segmentList
    assert [shown.item(n).text() for n in range(shown.count)] == ["large", "small"]
    shown.item(0).setCheckState(qt.Qt.Unchecked)
    assert list(panel.parameters.leftOutSegments) == ["large"]
    assert panel.widget.settings.runSettings().segmentNames == ["small"]
    shown.item(1).setCheckState(qt.Qt.Unchecked)
    assert not panel.ui.runButton.enabled
    shown.item(0).setCheckState(qt.Qt.Checked)
    shown.item(1).setCheckState(qt.Qt.Checked)
    assert panel.widget.settings.runSettings().segmentNames is None


def test_the_slice_range_counts_the_querys_slices(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    ui = panel.ui
    assert not ui.sliceRangeWidget.enabled
    ui.sliceRangeCheckBox.click()
    assert ui.sliceRangeWidget.enabled
    ui.sliceRangeWidget.setValues(4, 9)
    assert list(panel.parameters.sliceRange) == [4, 9]
    assert panel.widget.settings.runSettings().sliceRange == (4, 9)
    assert ui.sliceRangeWidget.maximum == panel.scan.shape[0] - 1
    ui.sliceRangeCheckBox.click()
    assert panel.widget.settings.runSettings().sliceRange is None


def test_a_region_made_with_the_selector_surrounds_the_volume(panel: Any) -> None:
    roi = panel.ui.roiSelector.addNode()
    assert roi.IsA("vtkMRMLMarkupsROINode")
    assert panel.parameters.roi is roi
    assert roi.GetName().startswith("Region to segment")
    bounds, whole = [0.0] * 6, [0.0] * 6
    roi.GetRASBounds(bounds)
    panel.volume.GetRASBounds(whole)
    assert bounds == pytest.approx(whole)
    assert roi.GetNumberOfDisplayNodes() == 1


def test_a_region_that_is_moved_off_the_volume_is_told_at_once(painted_panel: Any) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()
    roi = panel.ui.roiSelector.addNode()
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip
    center = roi.GetCenterWorld()
    roi.SetCenterWorld(center[0] + 1000, center[1], center[2])
    assert not panel.ui.runButton.enabled
    assert "nothing in common" in panel.ui.runButton.toolTip
    roi.SetCenterWorld(*center)
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip
    panel.slicer.mrmlScene.RemoveNode(roi)
    assert panel.parameters.roi is None
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip


def test_a_region_that_was_placed_stays_where_it_is(panel: Any) -> None:
    from FewShotSegModule.scene.region import fitRegion

    roi = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "placed")
    roi.SetSizeWorld(10, 20, 30)
    fitRegion(roi, panel.volume)
    size = [0.0] * 3
    roi.GetSizeWorld(size)
    assert size == pytest.approx([10, 20, 30])


# Keys


def test_keys_are_none_of_slicers_own(panel: Any) -> None:
    assert not set(panel.shortcuts()) & SLICERS_KEYS


def test_keys_work_while_the_module_is_shown_and_never_else(painted_panel: Any) -> None:
    panel = painted_panel
    assert len(panel.shortcuts()) == 4
    panel.showSlice(panel.painted[0])
    panel.press("Ctrl+Shift+E")
    assert panel.ui.exampleTable.rowCount == 1
    assert "Ctrl+Shift+E" in panel.ui.addSliceButton.toolTip
    panel.exit()
    assert panel.shortcuts() == []
    panel.enter()
    assert len(panel.shortcuts()) == 4


def test_keys_do_nothing_where_their_buttons_are_disabled(empty_panel: Any) -> None:
    for keys in empty_panel.shortcuts():
        empty_panel.press(keys)
    assert empty_panel.ui.exampleTable.rowCount == 0
    assert empty_panel.messages == []
