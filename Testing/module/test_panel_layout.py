"""What is in sight in a window of ordinary size, and what stays where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from standin.qt_panel import paint

TOOLS = ("", "Paint", "Draw", "Erase", "Threshold")


@pytest.fixture
def column(painted_panel: Any) -> Iterator[Any]:
    """The column of a window of 1600 x 1000 with the panel in it."""
    from standin.module_panel import HEIGHT, ModulePanel

    made = ModulePanel(painted_panel.window)
    made.show()
    made.resize(made.neededWidth(), HEIGHT)
    painted_panel.events()
    yield made
    painted_panel.window.setParent(None)
    made.deleteLater()


def choose(panel: Any, tool: str) -> None:
    panel.ui.segmentEditorWidget.setActiveEffectByName(tool)
    panel.events()


def give_a_result(panel: Any, name: str = "a result") -> None:
    preview = panel.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    paint(panel.slicer, preview, panel.volume, "large", panel.disc(6))
    notes = [(0, index, found) for index in range(6) for found in ("large", "small", name)]
    preview.SetAttribute("FewShotSeg.notes", json.dumps(notes))
    panel.parameters.preview = preview
    panel.events()


def place(panel: Any, widget: Any) -> tuple[int, int]:
    """Where something is in the panel's window."""
    panel.events()
    at = widget.mapToGlobal(widget.rect.topLeft())
    return at.x(), at.y()


def test_the_width_is_the_same_whatever_is_shown(painted_panel: Any, column: Any) -> None:
    panel = painted_panel
    width = column.neededWidth()
    assert width <= 450
    for tool in TOOLS:
        choose(panel, tool)
        assert column.neededWidth() == width, tool
        assert not panel.ui.paintScrollArea.horizontalScrollBar().isVisible(), tool
    panel.ui.addAllButton.click()
    endless = "a name that goes on and on " * 5
    panel.volume.SetName(endless)
    panel.parameters.paintSegmentation.SetName(endless)
    panel.parameters.paintSegmentation.GetSegmentation().GetNthSegment(0).SetName(endless)
    give_a_result(panel)
    panel.settle()
    assert column.neededWidth() == width
    panel.ui.resultLabel.text = endless
    panel.ui.statusStack.setCurrentWidget(panel.ui.progressPanel)
    panel.ui.stageLabel.text, panel.ui.timeLabel.text = endless, "about 100 min left"
    path = "/data" + "/a_folder_with_a_long_name" * 8
    panel.ui.libraryPathEdit.text = panel.ui.cohortOutputEdit.text = path
    panel.widget._cohort._say(f"There is no {path}/none.zip.")
    sections = (panel.ui.inputsSection, panel.ui.advancedSection, panel.ui.resultSection, panel.ui.cohortSection)
    for section in sections:
        section.collapsed = not section.collapsed
    panel.events()
    assert column.neededWidth() == width


@pytest.mark.parametrize("tool", TOOLS)
def test_list_button_and_result_are_in_sight_while_painting(painted_panel: Any, column: Any, tool: str) -> None:
    panel, ui = painted_panel, painted_panel.ui
    choose(panel, tool)
    always = [ui.addSliceButton, ui.exampleStack, ui.runButton, ui.statusStack, ui.resultSection, ui.AddSegmentButton]
    assert [part.name for part in always if not column.isInSight(part)] == []
    ui.addAllButton.click()
    give_a_result(panel)
    assert "5 more" in ui.resultLabel.text
    always += [ui.exampleTable, ui.acceptButton, ui.discardButton, ui.confidenceCheckBox, ui.EffectsGroupBox]
    assert [part.name for part in always if not column.isInSight(part)] == []
    assert ui.exampleTable.height >= 2 * ui.exampleTable.rowHeight(0)


def test_masking_and_help_are_folded_and_the_help_is_a_tooltip(painted_panel: Any, column: Any) -> None:
    ui = painted_panel.ui
    choose(painted_panel, "Paint")
    assert ui.MaskingGroupBox.visible
    assert ui.MaskingGroupBox.collapsed
    assert not ui.EffectHelpBrowser.visible
    assert "round brush" in ui.OptionsGroupBox.toolTip
    choose(painted_panel, "Draw")
    assert "outline" in ui.OptionsGroupBox.toolTip
    assert not ui.EffectHelpBrowser.visible


def test_nothing_that_is_clicked_moves_away_from_the_mouse(painted_panel: Any, column: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    clicked = (ui.addSliceButton, ui.addAllButton, ui.runButton)
    before = [place(panel, button) for button in clicked]
    tools = place(panel, ui.EffectsGroupBox)
    for tool in TOOLS:
        choose(panel, tool)
        assert place(panel, ui.EffectsGroupBox) == tools, tool
    ui.addAllButton.click()
    assert [place(panel, button) for button in clicked] == before
    ui.statusStack.setCurrentWidget(ui.progressPanel)
    assert [place(panel, button) for button in clicked] == before


def test_inputs_fold_with_the_first_example_and_say_what_is_chosen(painted_panel: Any) -> None:
    ui = painted_panel.ui
    assert not ui.inputsSection.collapsed
    ui.addAllButton.click()
    assert ui.inputsSection.collapsed
    assert ui.inputsSection.text == "Inputs: made-up scan"
    ui.inputsSection.collapsed = False
    assert ui.inputsSection.text == "Inputs"
    ui.refineCheckBox.click()
    assert not ui.inputsSection.collapsed, "what the user opens stays open"


def test_the_result_opens_with_a_result_and_a_closed_scene_begins_anew(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    assert ui.resultSection.collapsed
    ui.addAllButton.click()
    give_a_result(panel)
    assert not ui.resultSection.collapsed
    ui.resultSection.collapsed = True
    ui.refineCheckBox.click()
    assert ui.resultSection.collapsed, "what the user folds stays folded"
    panel.slicer.mrmlScene.Clear(0)
    panel.prepareScene()
    panel.exit()
    panel.enter()
    assert not ui.inputsSection.collapsed
    assert ui.resultSection.collapsed
    give_a_result(panel, "another result")
    assert not ui.resultSection.collapsed


def test_segments_are_searched_and_checked_all_at_once(painted_panel: Any) -> None:
    import qt

    panel, ui = painted_panel, painted_panel.ui
    for name in ("Left kidney", "right kidney"):
        mask = np.zeros(panel.scan.shape, bool)
        mask[panel.painted[0], 2, 2:5] = True
        paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, name, mask)
    ui.addAllButton.click()
    shown = ui.segmentList

    def listed() -> list[str]:
        return [shown.item(n).text() for n in range(shown.count) if not shown.item(n).isHidden()]

    everything = listed()
    assert {"large", "small", "Left kidney", "right kidney"} >= set(everything)
    ui.noSegmentsButton.click()
    assert panel.widget.settings.runSettings().segmentNames == []
    assert not ui.runButton.enabled
    ui.segmentSearchBox.text = "KIDNEY"
    found = listed()
    assert found
    assert all("kidney" in name for name in found)
    ui.allSegmentsButton.click()
    assert panel.widget.settings.runSettings().segmentNames == found
    ui.noSegmentsButton.click()
    shown.item(everything.index("large")).setCheckState(qt.Qt.Checked)
    assert panel.widget.settings.runSettings().segmentNames == ["large"]
    ui.segmentSearchBox.text = ""
    assert listed() == everything
    ui.allSegmentsButton.click()
    assert panel.widget.settings.runSettings().segmentNames is None
