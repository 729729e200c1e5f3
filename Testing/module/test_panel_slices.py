"""After a result: the next slice, the strip of confidence, the correction of a slice, and what is known on rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from panel_actions import TEXT, give_a_result, say, slice_of
from standin.qt_panel import paint

# Next slice


def test_the_next_slice_is_shown_by_button_and_key_with_its_reason(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    assert not ui.nextSliceButton.enabled
    assert "comes with a result" in ui.nextSliceButton.toolTip
    panel.press("N")
    ui.addAllButton.click()
    give_a_result(panel)
    assert "(N)" in ui.nextSliceButton.toolTip
    panel.press("N")
    assert slice_of(panel, "Red") == (0, 7)
    assert ui.nextSliceLabel.toolTip == "S 35.0 mm: small unsure"
    ui.nextSliceButton.click()
    assert slice_of(panel, "Yellow") == (2, 22)
    assert "ends of large and 1 more" in ui.nextSliceLabel.toolTip
    assert ui.viewSelector.currentIndex == 2, "so that this is the slice that is added or corrected"
    ui.addSliceButton.click()
    panel.press("N")
    panel.press("N")
    assert slice_of(panel, "Red") == (0, 7), "what became an example is passed over"
    ui.addSliceButton.click()
    panel.press("N")
    assert "All slices that were suggested are painted" in ui.nextSliceLabel.toolTip


def test_the_key_is_a_letter_in_a_text_field(painted_panel: Any) -> None:
    import qt
    from PySide6 import QtCore, QtTest

    panel, ui = painted_panel, painted_panel.ui
    give_a_result(panel)
    ui.advancedSection.collapsed = False
    window = panel.slicer.util.mainWindow()
    before = slice_of(panel, "Red")
    box = qt.QLineEdit(window)
    box.show()
    window.show()
    window.activateWindow()
    box.setFocus()
    panel.events()
    QtTest.QTest.keyClick(box, QtCore.Qt.Key.Key_N)
    panel.events()
    assert box.text.lower() == "n"
    assert slice_of(panel, "Red") == before
    box.deleteLater()
    window.hide()


def test_a_view_that_the_layout_does_not_show_is_told(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    red, yellow = (panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNode" + view) for view in ("Red", "Yellow"))
    red.SetMappedInLayout(1)
    give_a_result(panel)
    ui.nextSliceButton.click()
    assert ui.nextSliceLabel.toolTip == "S 35.0 mm: small unsure"
    ui.nextSliceButton.click()
    assert "(view Yellow, which this layout does not show)" in ui.nextSliceLabel.toolTip
    yellow.SetMappedInLayout(1)
    for _both in range(2):
        ui.nextSliceButton.click()
    assert "layout" not in ui.nextSliceLabel.toolTip


# The strip


def strip_image(panel: Any) -> np.ndarray:
    image = panel.ui.confidenceStrip.pixmap.toImage()
    return np.array(
        [[image.pixelColor(x, y).getRgb()[:3] for x in range(image.width())] for y in range(image.height())]
    )


def middle_of(panel: Any, place: int, count: int) -> int:
    return int((place + 0.5) * panel.ui.confidenceStrip.width / count)


def wait_for_strip(panel: Any) -> np.ndarray:
    panel.waitFor(lambda: not panel.ui.confidenceStrip.toolTip, 5)
    return strip_image(panel)


def click_strip(panel: Any, x: int) -> None:
    from PySide6 import QtCore, QtTest

    button, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
    QtTest.QTest.mouseClick(panel.ui.confidenceStrip, button, none, QtCore.QPoint(x, 5))
    panel.events()


def test_the_strip_shows_confidence_painted_slices_and_the_one_in_the_view(painted_panel: Any) -> None:
    panel, count = painted_panel, painted_panel.scan.shape[0]
    panel.ui.addAllButton.click()
    panel.showSlice(4)
    give_a_result(panel)
    picture = wait_for_strip(panel)
    height = len(picture)
    unsure, sure, nothing = (picture[4, middle_of(panel, place, count)].astype(int) for place in (7, 6, 0))
    assert unsure[0] > unsure[1] + 40, "red"
    assert sure[1] > sure[0] + 10, "green"
    assert np.ptp(nothing) < 15, "gray"
    marks = picture[height - 2]
    dark = np.flatnonzero((marks == marks[middle_of(panel, panel.painted[0], count)]).all(axis=1))
    assert {int(x * count // picture.shape[1]) for x in dark} == set(panel.painted)
    current = picture[4, middle_of(panel, 4, count)]
    panel.showSlice(6)
    panel.waitFor(lambda: (strip_image(panel)[4, middle_of(panel, 6, count)] == current).all(), 5)
    assert (strip_image(panel)[4, middle_of(panel, 4, count)] != current).any()


def test_a_click_in_the_strip_shows_that_slice_and_the_mouse_is_told_about_it(painted_panel: Any) -> None:
    from PySide6 import QtCore, QtTest

    panel, count = painted_panel, painted_panel.scan.shape[0]
    give_a_result(panel)
    wait_for_strip(panel)
    other = slice_of(panel, "Green")
    click_strip(panel, middle_of(panel, 7, count))
    assert slice_of(panel, "Red") == (0, 7)
    assert slice_of(panel, "Green") == other
    QtTest.QTest.mouseMove(panel.ui.confidenceStrip, QtCore.QPoint(middle_of(panel, 7, count), 5))
    panel.waitFor(lambda: "25 % sure" in panel.ui.confidenceStrip.toolTip, 5)
    assert panel.ui.confidenceStrip.toolTip.startswith("S 35.0 mm")


def test_the_strip_follows_the_chosen_view_and_its_direction(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    give_a_result(panel)
    wait_for_strip(panel)
    ui.viewSelector.currentIndex = 2
    # The columns' numbers grow to the left, and the strip goes from left to right.
    count = panel.scan.shape[2]
    click_strip(panel, middle_of(panel, count - 1 - 22, count))
    assert slice_of(panel, "Yellow")[0] == 2
    assert abs(slice_of(panel, "Yellow")[1] - 22) <= 1


def test_the_strip_shows_one_structure_or_all(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    assert not ui.stripSegmentSelector.enabled
    give_a_result(panel)
    everything = wait_for_strip(panel)
    assert [ui.stripSegmentSelector.itemText(n) for n in range(3)] == ["all structures", "large", "small"]
    content = panel.parameters.preview.GetSegmentation()
    only = np.zeros(panel.scan.shape, bool)
    only[3] = panel.truth["small"][3]
    paint(panel.slicer, panel.parameters.preview, panel.volume, "small", only)
    assert content.GetNumberOfSegments() == 2
    ui.stripSegmentSelector.currentIndex = 2
    ui.refineCheckBox.click()
    panel.waitFor(lambda: (strip_image(panel) != everything).any(), 5)
    picture, count = strip_image(panel), panel.scan.shape[0]
    assert np.ptp(picture[4, middle_of(panel, 8, count)].astype(int)) < 15, "none of it there"


def test_the_strip_goes_with_its_result(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    give_a_result(panel)
    wait_for_strip(panel)
    ui.discardButton.click()
    panel.events()
    assert "none yet" in ui.confidenceStrip.toolTip
    click_strip(panel, 20)
    assert not ui.nextSliceButton.enabled
    assert ui.nextSliceLabel.text == ""
    give_a_result(panel)
    panel.slicer.mrmlScene.Clear(0)
    panel.events()
    assert "none yet" in ui.confidenceStrip.toolTip


def test_a_large_volume_does_not_hold_the_application_up(painted_panel: Any, slicer: Any) -> None:
    import time

    panel = painted_panel
    give_a_result(panel)
    longest, start = 0.0, time.perf_counter()
    while panel.ui.confidenceStrip.toolTip and time.perf_counter() - start < 5:
        before = time.perf_counter()
        panel.events()
        longest = max(longest, time.perf_counter() - before)
    assert longest < 0.25


# Correcting


def test_a_slice_of_the_result_is_copied_and_becomes_an_example_in_one_step_of_undo(painted_panel: Any) -> None:
    from FewShotSegModule.scene.painted import Painted

    panel, ui = painted_panel, painted_panel.ui
    assert not ui.correctSliceButton.enabled
    assert "no result" in ui.correctSliceButton.toolTip
    give_a_result(panel)
    segmentation = panel.parameters.paintSegmentation
    panel.showSlice(7)
    ui.viewSelector.currentIndex = 0
    ui.correctSliceButton.click()
    assert panel.messages == []
    plane = Painted(panel.volume, segmentation).plane(0, 7)
    assert np.array_equal(plane == 1, panel.truth["large"][7])
    assert np.array_equal(plane == 2, panel.truth["small"][7])
    assert ui.exampleTable.rowCount == 1
    assert "S 35.0 mm" in ui.exampleTable.cellWidget(0, TEXT).text
    assert ui.nextSliceLabel.toolTip == "S 35.0 mm: large, small copied; mend it with the tools above."
    ui.correctSliceButton.click()
    assert "adds nothing" in ui.nextSliceLabel.toolTip
    ui.segmentEditorWidget.undo()
    assert not Painted(panel.volume, segmentation).plane(0, 7).any()


def test_surfaces_of_what_is_painted_come_back_after_a_correction(painted_panel: Any) -> None:
    from FewShotSegModule.scene.surfaces import hasSurfaces

    panel = painted_panel
    give_a_result(panel)
    segmentation = panel.parameters.paintSegmentation
    segmentation.CreateClosedSurfaceRepresentation()
    before = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Closed surface").GetNumberOfPoints()
    panel.showSlice(7)
    panel.ui.correctSliceButton.click()
    panel.waitFor(lambda: hasSurfaces(segmentation), 10)
    surface = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Closed surface")
    assert surface.GetNumberOfPoints() > before


def test_strokes_that_were_filled_in_are_no_longer_strokes(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    give_a_result(panel)
    panel.showSlice(6)
    ui.addSliceButton.click()
    say(panel, 0, "Only what is painted counts")
    assert panel.widget.examples.enabledRows()[0].strokes
    ui.correctSliceButton.click()
    assert not panel.widget.examples.enabledRows()[0].strokes


def test_a_result_of_another_volume_or_the_result_itself_is_not_corrected(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    preview = give_a_result(panel)
    segmentation = panel.parameters.paintSegmentation
    panel.parameters.paintSegmentation = preview
    assert not ui.correctSliceButton.enabled
    panel.parameters.paintSegmentation = segmentation
    assert ui.correctSliceButton.enabled, ui.correctSliceButton.toolTip
    panel.parameters.paintVolume = panel.addVolume("other patient")
    panel.events()
    assert not ui.correctSliceButton.enabled
    assert "another volume" in ui.correctSliceButton.toolTip


def test_a_tilted_view_is_refused_for_correction_with_advice(painted_panel: Any) -> None:
    panel = painted_panel
    give_a_result(panel)
    node = panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    node.SetSliceToRASByNTP(0.2, 0.3, 0.9, 1, 0, 0, *panel.worldOf(6, 30, 30), 0)
    panel.swallow(panel.ui.correctSliceButton.click)
    assert "align" in panel.messages[0].lower()


def test_the_engines_own_suggestion_is_shown_and_the_loop_takes_the_corrected_slice(finished_panel: Any) -> None:
    from FewShotSegModule.scene.painted import Painted

    panel, ui = finished_panel, finished_panel.ui
    panel.parameters.improve = False
    preview, rows = panel.parameters.preview, ui.exampleTable.rowCount
    ui.nextSliceButton.click()
    assert "mm: " in ui.nextSliceLabel.toolTip
    axis, index = slice_of(panel, ("Red", "Green", "Yellow")[ui.viewSelector.currentIndex])
    before = Painted(panel.volume, preview).plane(axis, index)
    ui.correctSliceButton.click()
    assert panel.messages == []
    assert ui.exampleTable.rowCount == rows + 1
    painted = Painted(panel.volume, panel.parameters.paintSegmentation).plane(axis, index)
    assert np.array_equal(painted > 0, before > 0)
    panel.waitFor(lambda: ui.runButton.text == "Cancel", 60)
    panel.waitFor(lambda: ui.runButton.text == "Update", 120)
    assert np.array_equal(Painted(panel.volume, preview).plane(axis, index) > 0, before > 0)
    wait_for_strip(panel)
