"""Next slice: which one is shown, where and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_volume, box, ijk_to_ras

from FewShotSegLib.result import Note
from FewShotSegLib.worker.protocol import Suggestion

LIVER = box(slice(2, 6), slice(4, 14), slice(4, 14))
SUGGESTED = (Suggestion(0, 5, (3,), "liver unsure"), Suggestion(2, 11, (3, 8), "ends of liver and 1 more"))


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


@pytest.fixture
def views(slicer: Any) -> dict[str, Any]:
    found = {}
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetName(name)
        node.SetOrientation(orientation)
        node.JumpSliceByOffsetting(*(ijk_to_ras() @ [2, 2, 1, 1])[:3])
        found[name] = node
    return found


def a_result(suggestions: tuple[Suggestion, ...] = SUGGESTED, notes: tuple[Note, ...] = ()) -> Any:
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult

    structures = [Structure(3, "liver", (0.5, 0.25, 0.0)), Structure(8, "spleen", (0.0, 0.25, 0.5))]
    labels = (3 * LIVER).astype(np.uint8)
    return RunResult(labels, labels / 3, ((0, 0, 0), SHAPE), SHAPE, structures, "", notes, suggestions)


def next_index(following: Any, preview: Any, **more: Any) -> int:
    shown = following.show(preview, **more)
    assert shown is not None
    return int(shown.index)


def preview_of(volume: Any, result: Any) -> Any:
    from FewShotSegModule.scene.preview import makePreview

    return makePreview(volume, result)


def slice_of(views: dict[str, Any], name: str, volume: Any) -> tuple[int, int]:
    from FewShotSegModule.scene.slice_views import sliceOfView

    return sliceOfView(views[name], volume)


def test_a_preview_keeps_the_suggestions_with_names(volume: Any) -> None:
    from FewShotSegModule.scene.preview import SuggestedSlice, suggestionsOf

    assert suggestionsOf(preview_of(volume, a_result())) == [
        SuggestedSlice(0, 5, ("liver",), "liver unsure"),
        SuggestedSlice(2, 11, ("liver", "spleen"), "ends of liver and 1 more"),
    ]
    assert suggestionsOf(preview_of(volume, a_result(()))) == []
    bare = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert suggestionsOf(bare) == [], "of an earlier version, or no result at all"


def test_each_step_shows_the_next_suggestion_in_the_view_of_its_axis(volume: Any, views: dict[str, Any]) -> None:
    from FewShotSegModule.scene.next_slice import NextSlice, reasonText

    preview, following = preview_of(volume, a_result()), NextSlice()
    first = following.show(preview)
    assert first is not None
    assert slice_of(views, "Red", volume) == (0, 5)
    assert reasonText(preview, first) == "I 10.0 mm: liver unsure"
    assert slice_of(views, "Yellow", volume) == (2, 9), "the others go through what is in doubt"
    second = following.show(preview)
    assert second is not None
    assert slice_of(views, "Yellow", volume) == (2, 11)
    assert reasonText(preview, second) == "L 6.5 mm: ends of liver and 1 more"
    assert following.show(preview) == first
    assert slice_of(views, "Red", volume) == (0, 5)


def test_painted_slices_are_passed_over_and_in_the_end_none_is_left(volume: Any, views: dict[str, Any]) -> None:
    from FewShotSegModule.scene.next_slice import NextSlice

    preview, following = preview_of(volume, a_result()), NextSlice()
    following.show(preview)
    assert next_index(following, preview, painted={(0, 5)}) == 11
    assert next_index(following, preview, painted={(0, 5)}) == 11
    before = slice_of(views, "Red", volume)
    assert following.show(preview, painted={(0, 5), (2, 11)}) is None
    assert slice_of(views, "Red", volume) == before


def test_another_result_begins_with_its_own_best(volume: Any, views: dict[str, Any]) -> None:
    from FewShotSegModule.scene.next_slice import NextSlice
    from FewShotSegModule.scene.preview import describe

    preview, following = preview_of(volume, a_result()), NextSlice()
    following.show(preview)
    describe(preview, a_result((Suggestion(0, 1, (8,), "spleen is painted on no slice here"), SUGGESTED[0])))
    assert next_index(following, preview) == 1
    volume.GetScene().RemoveNode(volume)
    assert following.show(preview) is None


def test_a_tilted_view_is_no_view_along_the_slices(volume: Any, views: dict[str, Any]) -> None:
    from FewShotSegModule.scene.next_slice import NextSlice, reasonText

    views["Red"].SetSliceToRASByNTP(0.2, 0.3, 0.9, 1, 0, 0, 0, 0, 0, 0)
    preview = preview_of(volume, a_result())
    shown = NextSlice().show(preview)
    assert shown is not None
    assert reasonText(preview, shown) == "I 10.0 mm: liver unsure"


def test_what_is_known_of_structures_on_a_row_and_from_whom(volume: Any) -> None:
    from FewShotSegModule.scene.example_slice import ExampleSlice
    from FewShotSegModule.scene.knowledge import foundOn, knownOn

    preview = preview_of(volume, a_result(notes=(Note(0, 5, 3, "liver"), Note(0, 5, 8, "spleen"))))
    found = foundOn(preview)
    assert found == {(volume, 0, 5): {"liver", "spleen"}}
    assert foundOn(None) == {}
    names = ("liver", "spleen", "vein", "heart", "lung")

    def known(complete: Any = None, strokes: bool = False, **more: Any) -> list[str]:
        row = ExampleSlice(volume, preview, 0, 5, complete=complete, strokes=strokes)
        states = knownOn(row, more.get("query", volume), names, {"liver"}, found[volume, 0, 5])
        return [state.value for state in states.values()]

    assert known() == ["painted", "found", "asked", "asked", "asked"]
    said = {"liver": True, "spleen": True, "vein": False}
    assert known(complete=said) == ["painted", "absent", "unknown", "asked", "asked"]
    assert known(complete=said, strokes=True) == ["painted", "absent", "unknown", "unknown", "unknown"]
    assert known(complete=said, query=None) == ["painted", "absent", "unknown", "assumed", "assumed"]
