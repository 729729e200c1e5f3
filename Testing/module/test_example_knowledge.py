"""What rows say of structures that are not painted on them, and which segment is background."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from nodes import add_segmentation, add_volume, box

LIVER, SPLEEN, NOT_THIS = (
    box(3, slice(4, 14), slice(4, 14)),
    box(5, slice(16, 20), slice(2, 8)),
    box(3, slice(18, 23), slice(12, 19)),
)


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


@pytest.fixture
def painted(slicer: Any, volume: Any) -> Any:
    return add_segmentation(slicer, volume, {"liver": LIVER, "spleen": SPLEEN, "not this": NOT_THIS})


@pytest.fixture
def examples(slicer: Any) -> Any:
    from FewShotSegModule.scene.example_list import ExampleList

    return ExampleList(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "settings"))


def gathered(volume: Any, rows: list[Any], **settings: Any) -> Any:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.gather import gather

    return gather(volume, rows, RunSettings(**settings), {})


def said(volume: Any, rows: list[Any], **settings: Any) -> list[Any]:
    """What the engine is told of each row's structures, by their names."""
    given = gathered(volume, rows, **settings)
    names = {structure.value: structure.name for structure in given.structures}

    def named(complete: Any) -> Any:
        if complete is None or complete == "all":
            return complete
        if isinstance(complete, dict):
            return {names[value]: whole for value, whole in complete.items()}
        return {names[value] for value in complete}

    return [named(example.complete) for example in given.examples]


def test_of_a_new_row_nothing_is_said_and_the_engine_finds_out(examples: Any, volume: Any, painted: Any) -> None:
    rows = [examples.add(volume, painted, 0, index) for index in (3, 5)]
    assert said(volume, rows, background="not this") == [None, None]


def test_what_is_said_of_a_structure_reaches_the_engine_until_it_is_painted(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    from nodes import set_segment

    first, second = (examples.add(volume, painted, 0, index).identifier for index in (3, 5))
    examples.say(first, "spleen", True)
    examples.say(second, "liver", False)
    examples.say(second, "a structure that nobody painted", True)
    assert said(volume, examples.rows(), background="not this") == [{"spleen": True}, {"liver": False}]
    examples.say(second, "liver", None)
    assert said(volume, examples.rows(), background="not this") == [{"spleen": True}, None]
    set_segment(slicer, painted, "spleen", SPLEEN | box(3, slice(16, 20), slice(2, 8)), volume)
    assert said(volume, examples.rows(), background="not this") == [None, None], "painted is not absent"


def test_on_a_row_of_strokes_only_what_is_painted_counts_and_what_is_said(
    examples: Any, volume: Any, painted: Any
) -> None:
    row = examples.add(volume, painted, 0, 3)
    other = examples.add(volume, painted, 1, 18)
    examples.setStrokes(row.identifier, True)
    assert said(volume, examples.rows(), background="not this") == [set(), None]
    examples.say(row.identifier, "spleen", True)
    examples.say(other.identifier, "spleen", False)
    assert said(volume, examples.rows(), background="not this") == [{"spleen"}, None]
    examples.setStrokes(row.identifier, False)
    assert said(volume, examples.rows(), background="not this") == [{"spleen": True}, None]


def test_a_segment_can_be_background_which_is_no_structure(examples: Any, volume: Any, painted: Any) -> None:
    rows = [examples.add(volume, painted, 0, index) for index in (3, 5)]
    given = gathered(volume, rows, background="not this")
    assert [structure.name for structure in given.structures] == ["liver", "spleen"]
    (value,) = {example.background for example in given.examples}
    assert value not in {structure.value for structure in given.structures}
    assert np.array_equal(given.examples[0].mask == value, NOT_THIS[3])
    assert given.examples[0].values == [1]
    assert given.examples[0].names == {1: "liver"}
    nothing = gathered(volume, rows)
    assert [structure.name for structure in nothing.structures] == ["liver", "not this", "spleen"]
    assert {example.background for example in nothing.examples} == {None}
    only = gathered(volume, rows, background="not this", segmentNames=["spleen"])
    assert [structure.name for structure in only.structures] == ["spleen"]
    with pytest.raises(ValueError, match="Nothing is painted"):
        gathered(volume, [rows[0]], background="not this", segmentNames=[])


def test_background_far_away_makes_no_region_larger(examples: Any, volume: Any, painted: Any) -> None:
    rows = [examples.add(volume, painted, 0, index) for index in (3, 5)]
    roi = volume.GetScene().AddNewNodeByClass("vtkMRMLMarkupsROINode")
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    roi.SetCenterWorld(bounds[1] - 6, bounds[3] - 12, (bounds[4] + bounds[5]) / 2)
    roi.SetSizeWorld(12, 24, 40)
    with_it = gathered(volume, rows, background="not this", roi=roi)
    assert with_it.box[1][1] <= 20, "the liver reaches to row 13, the spleen to 19, background to 22"


def test_rows_in_two_segmentations_of_one_slice_are_told_as_one(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    other = add_segmentation(slicer, volume, {"spleen": box(3, slice(16, 20), slice(2, 8))}, "other")
    first, second = examples.add(volume, painted, 0, 3), examples.add(volume, other, 0, 3)
    examples.say(first.identifier, "spleen", True)
    assert said(volume, examples.rows(), background="not this") == [None, None], "the other row shows it"
    examples.setStrokes(second.identifier, True)
    assert said(volume, examples.rows(), background="not this") == [set(), set()]


def test_rows_keep_what_is_said_and_those_of_earlier_versions_say_nothing(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    from FewShotSegModule.scene.example_list import ExampleList

    row = examples.add(volume, painted, 0, 3)
    node = slicer.mrmlScene.GetFirstNodeByName("settings")
    before = node.GetParameter("examples")
    assert {"id", "axis", "index", "enabled"} == json.loads(before)[0].keys(), "as it always was"
    examples.say(row.identifier, "spleen", False)
    examples.setStrokes(row.identifier, True)
    (again,) = ExampleList(node).rows()
    assert (again.complete, again.strokes) == ({"spleen": False}, True)
    assert len({again, row}) == 2
    node.SetParameter("examples", before)
    assert examples.rows() == [row]
    assert (row.complete, row.strokes) == (None, False)


def test_a_row_of_which_something_else_is_said_looks_different(examples: Any, volume: Any, painted: Any) -> None:
    row = examples.add(volume, painted, 0, 3)
    stirred: list[bool] = []
    examples.observe(lambda: stirred.append(True))
    for say in (
        lambda: examples.say(row.identifier, "spleen", True),
        lambda: examples.setStrokes(row.identifier, True),
        lambda: examples.say(row.identifier, "spleen", None),
    ):
        stirred.clear()
        say()
        assert stirred
        assert examples.changes() == [row.identifier]
    examples.unobserve()


# For scripts


def test_scripts_say_it_of_all_slices_that_they_give(volume: Any, painted: Any) -> None:
    from FewShotSegModule.scene.example_slice import ExampleSlice
    from FewShotSegModule.scene.given_examples import givenExamples

    own = ExampleSlice(volume, painted, 0, 5)

    def told(complete: Any) -> list[Any]:
        rows = givenExamples(volume, painted, None, [3], 0, [own, (volume, painted, 0, [5])], complete)
        return said(volume, rows[:2], background="not this")

    assert told("all") == ["all", None]
    assert told(["liver", "spleen"]) == [{"liver", "spleen"}, None]
    assert told([]) == [set(), None]
    assert told(None) == [None, None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"complete": "liver"}, "'liver' was given as names of completely painted segments, expected a list"),
        ({"complete": ["heart"]}, "No segment of the examples is named heart; there are liver, spleen, not this"),
        ({"background": "air"}, "No segment of the examples is named air"),
    ],
)
def test_scripts_are_told_of_names_that_no_segment_has(
    volume: Any, painted: Any, given: dict[str, Any], message: str
) -> None:
    from FewShotSegModule.logic import FewShotSegLogic

    logic = FewShotSegLogic()
    with pytest.raises(ValueError, match=message):
        logic.segmentFromExamples(volume, painted, **given)
    logic.removeObservers()
    logic.shutdown()


def test_background_alone_is_nothing_to_look_for(examples: Any, volume: Any, painted: Any) -> None:
    from FewShotSegModule.logic import FewShotSegLogic
    from FewShotSegModule.runs.run_input import RunSettings

    logic = FewShotSegLogic()
    row = examples.add(volume, painted, 0, 3)
    assert logic.whatIsMissing(volume, [row], RunSettings(background="not this")) == ""
    only = RunSettings(background="liver", segmentNames=["spleen"])
    assert "Nothing is painted" in logic.whatIsMissing(volume, [row], only)
    logic.removeObservers()
