"""What each example's row tells of its structures, and how that is said by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panel_actions import TEXT, entries, give_a_result, open_menu, say, slice_of
from standin.qt_panel import paint

from FewShotSegLib.result import Note


def follow(panel: Any, row: int, name: str) -> None:
    """Clicks on a structure that is not painted."""
    label = panel.ui.exampleTable.cellWidget(row, TEXT)
    before, _name = label.text.split(name)
    label.linkActivated.emit(before.rsplit('href="', 1)[1].split('"')[0])
    panel.events()


def one_by_one(panel: Any) -> None:
    """Leaves "small" out of the first slice, and makes all slices examples."""
    masks = {name: np.zeros(panel.scan.shape, bool) for name in panel.truth}
    for name, mask in panel.truth.items():
        painted = panel.painted[1:] if name == "small" else panel.painted
        masks[name][list(painted)] = mask[list(painted)]
        paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, name, masks[name])
    panel.ui.addAllButton.click()
    panel.settle()


def text(panel: Any, row: int) -> str:
    return str(panel.ui.exampleTable.cellWidget(row, TEXT).text)


def tip(panel: Any, row: int) -> str:
    return str(panel.ui.exampleTable.item(row, TEXT).toolTip())


def complete(panel: Any, row: int = 0) -> Any:
    return panel.widget.examples.enabledRows()[row].complete


def test_a_row_tells_what_is_painted_and_what_the_engine_is_to_find_out(painted_panel: Any) -> None:
    panel = painted_panel
    one_by_one(panel)
    assert "\N{BLACK SQUARE}</span>&nbsp;large" in text(panel, 0)
    assert ">?</span>" in text(panel, 0)
    assert "? small: not painted; the engine finds out" in tip(panel, 0)
    assert ">?</span>" not in text(panel, 1)
    give_a_result(panel, notes=(Note(0, panel.painted[0], 2, "small"),))
    assert "\N{SQUARE WITH LEFT HALF BLACK} small: found by the engine, not painted yet" in tip(panel, 0)
    assert "\N{SQUARE WITH LEFT HALF BLACK}</span>" in text(panel, 0)
    panel.ui.discardButton.click()
    panel.events()
    assert ">?</span>" in text(panel, 0)


def test_a_click_switches_between_absent_and_not_painted_yet(painted_panel: Any) -> None:
    panel = painted_panel
    one_by_one(panel)
    follow(panel, 0, "small")
    assert complete(panel) == {"small": True}
    assert "\N{EMPTY SET} small: not on this slice" in tip(panel, 0)
    follow(panel, 0, "small")
    assert complete(panel) == {"small": False}
    assert "\N{WHITE SQUARE} small: not painted yet" in tip(panel, 0)
    follow(panel, 0, "small")
    assert complete(panel) == {"small": True}
    say(panel, 0, "small: Nothing said")
    assert complete(panel) is None
    assert ">?</span>" in text(panel, 0)


def test_a_real_click_on_a_name_says_something_and_one_beside_it_shows_the_slice(painted_panel: Any) -> None:
    from PySide6 import QtCore, QtTest

    panel = painted_panel
    one_by_one(panel)
    panel.showSlice(8)
    label = panel.ui.exampleTable.cellWidget(0, TEXT)

    def click(x: int, y: int) -> None:
        window = panel.window.windowHandle()
        at = label.mapTo(panel.window, QtCore.QPoint(x, y))
        QtTest.QTest.mouseClick(window, QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier, at)
        panel.events()

    click(label.width - 12, label.height - 4)
    assert slice_of(panel, "Red") == (0, panel.painted[0])
    assert complete(panel) is None
    for x in range(4, label.width, 8):
        for y in range(20, label.height, 6):
            if complete(panel) is None:
                click(x, y)
    assert complete(panel) == {"small": True}


def test_on_another_volume_what_is_not_painted_counts_as_absent_until_it_is_said_otherwise(painted_panel: Any) -> None:
    panel = painted_panel
    one_by_one(panel)
    panel.parameters.queryVolume = panel.addVolume("other patient")
    panel.parameters.paintVolume = panel.volume
    panel.events()
    assert "\N{EMPTY SET} small: not painted, so it counts as absent" in tip(panel, 0)
    follow(panel, 0, "small")
    assert complete(panel) == {"small": False}


def test_the_menu_tells_what_is_said(painted_panel: Any) -> None:
    panel = painted_panel
    one_by_one(panel)
    say(panel, 0, "small: There, not painted yet")
    say(panel, 0, "Only what is painted counts")
    menu = open_menu(panel, 0)
    checked = [entry for entry, action in entries(menu).items() if action.property("checked")]
    assert checked == ["Only what is painted counts", "small: There, not painted yet"]
    menu.close()
    assert "strokes" in text(panel, 0)
    assert "Only what is painted counts." in tip(panel, 0)
    assert panel.widget.examples.enabledRows()[0].strokes


def test_what_is_said_is_saved_with_the_scene(painted_panel: Any, tmp_path: Path) -> None:
    panel = painted_panel
    one_by_one(panel)
    follow(panel, 0, "small")
    say(panel, 1, "Only what is painted counts")
    panel.parameters.background = "small"
    panel.saveAndReopen(tmp_path)
    panel.events()
    assert complete(panel) == {"small": True}
    assert "strokes" in text(panel, 1)
    assert panel.widget.settings.runSettings().background == "small"


@pytest.mark.parametrize("name", ["a & b", "<i>", "naïve"])
def test_any_name_can_be_clicked(painted_panel: Any, name: str) -> None:
    panel = painted_panel
    panel.parameters.paintSegmentation.GetSegmentation().GetNthSegment(1).SetName(name)
    panel.truth[name] = panel.truth.pop("small")
    one_by_one(panel)
    erased = panel.truth[name] & False
    erased[panel.painted[1]] = panel.truth[name][panel.painted[1]]
    paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, name, erased)
    panel.settle()
    panel.ui.exampleTable.cellWidget(0, TEXT).linkActivated.emit("0")
    panel.events()
    assert complete(panel) == {name: True}


# Background


def test_a_segment_is_chosen_as_background_and_is_no_structure_then(painted_panel: Any) -> None:
    panel, ui = painted_panel, painted_panel.ui
    one_by_one(panel)
    selector = ui.backgroundSelector
    assert [selector.itemText(n) for n in range(selector.count)] == ["no segment", "large", "small"]
    selector.currentIndex = 2
    settings = panel.widget.settings.runSettings()
    assert settings.background == "small"
    assert [ui.segmentList.item(n).text() for n in range(ui.segmentList.count)] == ["large"]
    assert settings.segmentNames is None
    assert "small" not in text(panel, 0), "nothing is asked about it"
    assert ui.runButton.enabled, ui.runButton.toolTip
    selector.currentIndex = 0
    assert panel.widget.settings.runSettings().background is None
    assert ui.segmentList.count == 2
