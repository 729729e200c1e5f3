"""The loop in the panel, with the real engine on a small scan: paint, and the volume follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin.qt_panel import paint
from standin.run_fixtures import dice, mask_of


def segment(panel: Any, name: str) -> str:
    return str(panel.parameters.paintSegmentation.GetSegmentation().GetSegmentIdBySegmentName(name))


def stroke(panel: Any, name: str, k: int) -> np.ndarray:
    """Paints a structure on one more slice, as a user would."""
    segmentation = panel.parameters.paintSegmentation
    whole = mask_of(panel, segmentation, name)
    whole[k] = panel.truth[name][k]
    paint(panel.slicer, segmentation, panel.volume, name, whole)
    return whole


@pytest.fixture
def calm_panel(finished_panel: Any) -> Any:
    """A panel with a result, which computes nothing in the background."""
    finished_panel.ui.improveCheckBox.click()
    assert finished_panel.parameters.improve is False
    return finished_panel


def test_a_second_after_a_stroke_the_slice_is_an_example_and_the_preview_follows(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    preview, rows = panel.parameters.preview, ui.exampleTable.rowCount
    assert ui.autoUpdateCheckBox.checked
    assert ui.runButton.text == "Update"
    stroke(panel, "large", 7)
    assert ui.exampleTable.rowCount == rows, "while somebody paints, nothing happens"
    panel.waitFor(lambda: ui.runButton.text == "Cancel")
    assert ui.exampleTable.rowCount == rows + 1
    assert ui.acceptButton.enabled, "the preview of now can be accepted at any time"
    panel.waitFor(lambda: ui.runButton.text == "Update")
    assert panel.parameters.preview is preview
    assert np.array_equal(mask_of(panel, preview, "large")[7], panel.truth["large"][7])
    assert dice(mask_of(panel, preview, "large"), panel.truth["large"]) > 0.8
    assert not ui.stateLabel.text
    assert panel.messages == []


def test_without_auto_update_the_button_updates_and_a_line_says_that_it_is_due(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    ui.autoUpdateCheckBox.click()
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.stateLabel.text)
    assert "since; Update brings" in ui.stateLabel.text
    assert ui.runButton.text == "Update"
    ui.runButton.click()
    panel.waitFor(lambda: ui.runButton.text == "Update")
    assert not ui.stateLabel.text
    assert np.array_equal(mask_of(panel, panel.parameters.preview, "large")[7], panel.truth["large"][7])


def test_strokes_erased_again_and_rows_taken_off_are_no_examples(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    ui.autoUpdateCheckBox.click()
    segmentation, rows = panel.parameters.paintSegmentation, ui.exampleTable.rowCount
    before = mask_of(panel, segmentation, "large")
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.exampleTable.rowCount == rows + 1)
    paint(panel.slicer, segmentation, panel.volume, "large", before)
    panel.waitFor(lambda: ui.exampleTable.rowCount == rows)
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.exampleTable.rowCount == rows + 1)
    ui.exampleTable.cellWidget(rows, 3).click()
    panel.settle()
    assert ui.exampleTable.rowCount == rows


def test_a_result_accepted_into_what_is_painted_makes_no_examples(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    rows = ui.exampleTable.rowCount
    ui.outputSegmentationSelector.setCurrentNode(panel.parameters.paintSegmentation)
    for button in (ui.acceptButton, ui.undoButton):
        button.click()
        with pytest.raises(TimeoutError):
            panel.waitFor(lambda: ui.exampleTable.rowCount != rows or ui.runButton.text == "Cancel", seconds=1.5)


def test_painting_goes_on_during_an_update_and_is_in_the_next(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.runButton.text == "Cancel")
    stroke(panel, "small", 4)
    panel.waitFor(lambda: ui.exampleTable.rowCount == 5 and ui.runButton.text == "Update" and not ui.stateLabel.text)
    assert np.array_equal(mask_of(panel, panel.parameters.preview, "small")[4], panel.truth["small"][4])


def test_a_better_result_follows_in_the_background_until_somebody_paints(finished_panel: Any) -> None:
    panel, ui = finished_panel, finished_panel.ui
    panel.ui.runButton.click()
    panel.waitFor(lambda: "improving" in ui.stateLabel.text)
    assert ui.runButton.text == "Update", "nothing is in the way"
    assert ui.runButton.enabled
    stroke(panel, "large", 7)
    assert "improving" not in ui.stateLabel.text
    panel.waitFor(lambda: ui.runButton.text == "Cancel")
    panel.waitFor(lambda: "improving" in ui.stateLabel.text)
    panel.waitFor(lambda: not ui.stateLabel.text)
    assert dice(mask_of(panel, panel.parameters.preview, "large"), panel.truth["large"]) > 0.8
    assert panel.messages == []


@pytest.mark.parametrize("what", ["scene", "volume", "preview", "segmentation"])
def test_what_is_gone_during_an_update_ends_or_outlives_it_quietly(calm_panel: Any, what: str) -> None:
    panel, ui = calm_panel, calm_panel.ui
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.runButton.text == "Cancel")
    scene, parameters = panel.slicer.mrmlScene, panel.parameters
    nodes = {"volume": panel.volume, "preview": parameters.preview, "segmentation": parameters.paintSegmentation}
    if what == "scene":
        scene.Clear(0)
    else:
        scene.RemoveNode(nodes[what])
    panel.waitFor(lambda: ui.runButton.text != "Cancel")
    panel.settle()
    if what == "segmentation":
        assert parameters.preview is not None, "the update has what it needs"
    elif what != "volume":
        assert panel.parameters.preview is None
    assert panel.messages == []


def test_cancel_stops_the_update_and_the_preview_stays(calm_panel: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    preview = panel.parameters.preview
    stroke(panel, "large", 7)
    panel.waitFor(lambda: ui.runButton.text == "Cancel")
    ui.runButton.click()
    assert ui.runButton.text == "Update"
    assert panel.parameters.preview is preview
    assert "since" in ui.stateLabel.text


def test_auto_update_is_kept_with_the_scene(calm_panel: Any, tmp_path: Any) -> None:
    panel, ui = calm_panel, calm_panel.ui
    ui.autoUpdateCheckBox.click()
    panel.saveAndReopen(tmp_path)
    panel.settle()
    assert not ui.autoUpdateCheckBox.checked
    assert not ui.improveCheckBox.checked
    assert ui.runButton.text == "Update"
    assert panel.widget.live.preview is panel.parameters.preview
