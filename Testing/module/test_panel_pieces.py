"""The panel's smaller parts, and what Slicer's loader looks for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def module(slicer_with_qt: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(repository / "FewShotSeg"))
    return importlib.import_module("FewShotSeg")


def test_the_loader_finds_its_four_classes_and_a_described_module(module: Any) -> None:
    for name in ("FewShotSegWidget", "FewShotSegLogic", "FewShotSegTest"):
        assert isinstance(getattr(module, name), type)
    parent = SimpleNamespace(path=module.__file__)
    module.FewShotSeg(parent)
    assert parent.title == "Segment from Examples"
    assert parent.categories == ["Segmentation"]
    assert parent.contributors
    assert "Ctrl+Shift+E" in parent.helpText
    assert "Song" in parent.acknowledgementText
    assert "10.1016/j.artmed.2025.103183" in parent.acknowledgementText


def test_from_a_source_checkout_the_engine_is_found_and_a_packaged_one_is_preferred(
    repository: Path, tmp_path: Path
) -> None:
    # What comes before the first import of Slicer's, which isn't there in a plain Python.
    code = "import sys; file = sys.argv[1]; head = open(file).read().split('import slicer')[0]"
    code += "; exec(head, {'__file__': file}); print(sys.path)"
    packaged = tmp_path / "FewShotSeg.py"
    packaged.write_text((repository / "FewShotSeg" / "FewShotSeg.py").read_text())
    (tmp_path / "FewShotSegLib").mkdir()

    def paths(file: Path) -> str:
        return subprocess.run(
            [sys.executable, "-I", "-c", code, str(file)], capture_output=True, text=True, check=True
        ).stdout

    assert f"'{repository}'" in paths(repository / "FewShotSeg" / "FewShotSeg.py")
    assert f"'{tmp_path}'" in paths(packaged)
    assert f"'{tmp_path.parent}'" not in paths(packaged)


def test_time_left_is_told_no_more_exactly_than_it_is_known(module: Any) -> None:
    text = importlib.import_module("FewShotSegModule.panel.progress_text").timeLeftText
    assert [text(seconds) for seconds in (None, 3, 42, 89, 200)] == [
        "",
        "a few seconds left",
        "about 40 s left",
        "about 90 s left",
        "about 3 min left",
    ]


def test_positions_carry_the_letter_of_their_side(module: Any) -> None:
    text = importlib.import_module("FewShotSegModule.scene.slice_place").positionText
    assert text((0, 0, 1), 12.5) == "S 12.5 mm"
    assert text((0, 0, 1), -12.5) == "I 12.5 mm"
    # Along a normal that points to the feet, positive positions are below.
    assert text((0, 0, -1), 12.5) == "I 12.5 mm"
    assert text((0.1, -0.9, 0.2), 3) == "P 3.0 mm"
    assert text((-1, 0, 0), -7) == "R 7.0 mm"


def test_a_run_that_cannot_start_is_explained_and_the_button_stays(
    painted_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = painted_panel
    panel.ui.addAllButton.click()

    def refuse(*_given: Any, **_callbacks: Any) -> Any:
        raise RuntimeError("no room on the disk")

    monkeypatch.setattr(panel.widget.logic, "startRun", refuse)
    panel.swallow(panel.ui.runButton.click)
    assert len(panel.messages) == 1
    assert "no room on the disk" in panel.messages[0]
    assert panel.ui.runButton.text == "Segment from examples"
    assert panel.ui.runButton.enabled
    assert panel.ui.progressPanel.isHidden()


def names_that_fit(names: list[str], width: float = 20, lines: int = 2) -> tuple[list[list[str]], int]:
    """In characters; names are followed by a gap of one."""
    fit = importlib.import_module("FewShotSegModule.panel.names_that_fit").namesThatFit
    found: tuple[list[list[str]], int] = fit(
        names, width=width, lines=lines, measure=lambda name: len(name) + 1.0, more=lambda count: f"and {count} more"
    )
    return found


def test_names_fill_the_lines_and_the_others_are_counted(module: Any) -> None:
    assert names_that_fit(["liver", "spleen"]) == ([["liver", "spleen"]], 0)
    assert names_that_fit(["liver", "spleen", "left kidney"]) == ([["liver", "spleen"], ["left kidney"]], 0)
    many = ["liver", "spleen", "aorta", "right kidney", "left kidney", "stomach"]
    assert names_that_fit(many) == ([["liver", "spleen", "aorta"], ["and 3 more"]], 3)
    assert names_that_fit(many, width=60) == ([many], 0)


def test_a_name_that_is_longer_than_a_line_is_cut_and_leaves_room_for_others(module: Any) -> None:
    lines, rest = names_that_fit(["inferior vena cava and more", "liver"])
    assert lines == [["inferior v…", "liver"]]
    assert rest == 0
    assert names_that_fit(["liver", "spleen"], width=0.5, lines=1)[1] == 2


def test_segments_that_a_row_has_no_room_for_are_counted_and_told_by_its_tooltip(painted_panel: Any) -> None:
    import numpy as np
    from standin.qt_panel import paint

    panel = painted_panel
    names = [f"structure {number} with a name" for number in range(9)]
    for number, name in enumerate(names):
        mask = np.zeros(panel.scan.shape, bool)
        mask[panel.painted[0], 2 + 3 * number, 2:5] = True
        paint(panel.slicer, panel.parameters.paintSegmentation, panel.volume, name, mask)
    panel.ui.addAllButton.click()
    panel.events()
    text = panel.ui.exampleTable.cellWidget(0, 2).text
    shown = text.count("color:#")
    assert 2 <= shown < 9
    assert f"and&nbsp;{11 - shown}&nbsp;more" in text
    tip = panel.ui.exampleTable.item(0, 2).toolTip()
    assert all(name in tip for name in ("large", "small", *names))


def test_the_stand_in_refuses_what_pythonqt_would_swallow(slicer_with_qt: Any) -> None:
    import qt

    button = qt.QPushButton("x")
    with pytest.raises(ValueError, match="no signal"):
        button.connect("clickd()", print)
    with pytest.raises(AttributeError, match="enabeld"):
        button.enabeld = True
    heard: list[tuple[Any, ...]] = []
    button.checkable = True
    button.connect("clicked(bool)", lambda: heard.append(()))
    button.connect("clicked(bool)", lambda checked: heard.append((checked,)))
    button.click()
    assert heard == [(), (True,)]
