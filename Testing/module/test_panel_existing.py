"""The menu beside the result: start from what is there, take slices of it, report."""

from __future__ import annotations

from typing import Any

from panel_actions import entries, give_a_result


def menu_of(panel: Any) -> dict[str, Any]:
    """The menu's actions by text, those of submenus after their titles."""
    import qt

    panel.ui.resultMenuButton.click()
    panel.events()
    return entries([child for child in panel.ui.resultMenuButton.children() if isinstance(child, qt.QMenu)][-1])


def test_a_segmentation_is_taken_as_result_and_slices_of_it_as_examples(painted_panel: Any) -> None:
    panel = painted_panel
    name = panel.parameters.paintSegmentation.GetName()
    menu = menu_of(panel)
    assert not menu["Report as a table"].enabled
    menu[f"Start from: {name}"].trigger()
    panel.events()
    assert panel.parameters.preview is not None
    assert panel.ui.acceptButton.enabled
    rows = panel.ui.exampleTable.rowCount
    menu_of(panel)[f"Take 5 slices as examples from: {name}"].trigger()
    panel.events()
    assert panel.ui.exampleTable.rowCount == rows + len(panel.painted)
    assert panel.messages == []


def test_a_report_is_a_table_of_the_preview(painted_panel: Any) -> None:
    panel = painted_panel
    give_a_result(panel)
    menu_of(panel)["Report as a table"].trigger()
    panel.events()
    tables = panel.slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert [t.GetNumberOfRows() for t in tables] == [2]
    assert panel.messages == []
