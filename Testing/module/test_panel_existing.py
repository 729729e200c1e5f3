"""The menu beside the result: start from what is there, take slices of it, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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


def test_a_report_is_a_page_with_pictures_where_the_user_wants_it(
    painted_panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    panel = painted_panel
    assert not menu_of(panel)["Report as a page..."].enabled
    give_a_result(panel)
    panel.ui.addAllButton.click()
    paths = iter([str(tmp_path / "report.html"), str(tmp_path / "none" / "report.html"), ""])
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: next(paths), raising=False)
    menu_of(panel)["Report as a page..."].trigger()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "large" in page
    assert page.count("data:image/png;base64,") >= 2
    assert f"<td>{len(panel.painted)}</td>" in page
    assert panel.messages == []
    panel.swallow(menu_of(panel)["Report as a page..."].trigger)
    assert "no folder" in panel.messages.pop()
    menu_of(panel)["Report as a page..."].trigger()
    assert panel.messages == []
    assert len(list(tmp_path.iterdir())) == 1
