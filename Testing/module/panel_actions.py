"""What tests do to the panel: give it a result, open a row's menu and say something there."""

from __future__ import annotations

from typing import Any

import numpy as np

from FewShotSegLib.worker.protocol import Suggestion

TEXT, SAY = 2, 4
SUGGESTED = (Suggestion(0, 7, (2,), "small unsure"), Suggestion(2, 22, (1, 2), "ends of large and 1 more"))


def give_a_result(panel: Any, **more: Any) -> Any:
    """A result as a run gives it, of all of both structures; its preview."""
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult
    from FewShotSegModule.scene.confidence import writeConfidence
    from FewShotSegModule.scene.preview import makePreview

    shape = panel.scan.shape
    labels, structures = np.zeros(shape, np.uint8), []
    for value, (name, mask) in enumerate(panel.truth.items(), start=1):
        labels[mask] = value
        structures.append(Structure(value, name, (0.9, 0.2 * value, 0.1)))
    confidence = np.ones(shape, np.float32)
    confidence[7] = 0.25
    result = RunResult(labels, confidence, ((0, 0, 0), shape), shape, structures, suggestions=SUGGESTED, **more)
    panel.parameters.confidenceVolume = writeConfidence(panel.volume, result)
    panel.parameters.preview = makePreview(panel.volume, result)
    panel.events()
    return panel.parameters.preview


def slice_of(panel: Any, view: str) -> tuple[int, int]:
    from FewShotSegModule.scene.slice_views import sliceOfView

    axis, index = sliceOfView(panel.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNode" + view), panel.volume)
    return axis, index


def open_menu(panel: Any, row: int) -> Any:
    import qt

    panel.ui.exampleTable.cellWidget(row, SAY).click()
    return qt.application().activePopupWidget()


def entries(menu: Any) -> dict[str, Any]:
    """The menu's actions by their texts, those of submenus after their titles."""
    found = {}
    for action in menu.actions():
        submenu = action.menu()
        for entry in submenu.actions() if submenu is not None else [action]:
            # What the module made has PythonQt's manners, the menu that Qt made has not.
            title = entry.property("text")
            found[f"{action.property('text')}: {title}" if submenu is not None else title] = entry
    return found


def say(panel: Any, row: int, text: str) -> None:
    menu = open_menu(panel, row)
    entries(menu)[text].trigger()
    menu.close()
    panel.events()
