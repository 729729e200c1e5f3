"""The list of examples lives in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras, set_segment

LIVER, SPLEEN = box(3, slice(4, 14), slice(4, 14)), box(3, slice(16, 20), slice(2, 8))


@pytest.fixture
def node(slicer: Any) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "settings")


@pytest.fixture
def examples(node: Any) -> Any:
    from FewShotSegModule.scene.example_list import ExampleList

    return ExampleList(node)


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


@pytest.fixture
def painted(slicer: Any, volume: Any) -> Any:
    return add_segmentation(slicer, volume, {"nothing": np.zeros(SHAPE, bool), "liver": LIVER, "spleen": SPLEEN})


def test_a_slice_that_is_added_twice_is_one_row(examples: Any, volume: Any, painted: Any) -> None:
    row = examples.add(volume, painted, 0, 3)
    assert examples.rows() == [row]
    examples.setEnabled(row.identifier, False)
    assert [r.enabled for r in examples.rows()] == [False]
    assert examples.add(volume, painted, 0, 3) == row, "adding it again enables it"
    assert examples.rows() == [row]
    assert examples.add(volume, painted, 1, 3).identifier != row.identifier


def test_all_painted_slices_are_added_along_the_axis_they_were_painted_along(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    set_segment(slicer, painted, "spleen", SPLEEN | box(6, slice(3, 9), slice(3, 9)), volume)
    rows = examples.addAllPainted(volume, painted)
    assert [(row.axis, row.index) for row in rows] == [(0, 3), (0, 6)]


def test_removed_rows_are_gone_and_their_identifiers_are_not_given_to_others(
    examples: Any, volume: Any, painted: Any, node: Any
) -> None:
    first, second = examples.add(volume, painted, 0, 3), examples.add(volume, painted, 0, 4)
    examples.remove(first.identifier)
    assert examples.rows() == [second]
    third = examples.add(volume, painted, 0, 5)
    assert third.identifier not in (first.identifier, second.identifier)
    examples.clear()
    assert examples.rows() == []
    assert node.GetNumberOfNodeReferences(f"exampleVolume{second.identifier}") == 0


@pytest.mark.parametrize(("axis", "index"), [(0, -1), (0, SHAPE[0]), (2, SHAPE[2]), (3, 0)])
def test_slices_outside_of_the_volume_are_refused(
    examples: Any, volume: Any, painted: Any, axis: int, index: int
) -> None:
    with pytest.raises(ValueError, match="has no slice"):
        examples.add(volume, painted, axis, index)
    assert examples.rows() == []


def test_a_row_tells_which_segments_are_on_it_and_what_it_looks_like(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    painted.GetSegmentation().GetSegment("spleen").SetColor(0.25, 0.5, 0.75)
    tag = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~SCT"
    painted.GetSegmentation().GetSegment("spleen").SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
    row = examples.add(volume, painted, 0, 3)
    liver, spleen = examples.segmentsOn(row)
    assert (liver.name, spleen.name) == ("liver", "spleen")
    assert spleen.color == (0.25, 0.5, 0.75)
    assert spleen.tag == tag
    image, labels, pixel = examples.sliceImage(row)
    # This volume's rows run to the back and its columns to the left, as a view shows them.
    assert np.array_equal(image, slicer.util.arrayFromVolume(volume)[3])
    assert np.array_equal(labels, 1 * LIVER[3] + 2 * SPLEEN[3])
    assert pixel == (2.0, 1.5)


def test_slices_are_shown_with_head_or_front_up_and_the_left_on_the_right(slicer: Any, node: Any) -> None:
    from FewShotSegModule.scene.example_list import ExampleList

    # Columns to the head, rows to the right, slices to the back: everything has to be turned.
    to_ras = np.array([[0, 2.0, 0, 0], [0, 0, -4.0, 0], [1.5, 0, 0, 0], [0, 0, 0, 1]])
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
    volume = add_volume(slicer, "turned", array, to_ras)
    row = ExampleList(node).add(volume, add_segmentation(slicer, volume, {"a": LIVER}), 0, 3)
    image, labels, pixel = ExampleList(node).sliceImage(row)
    assert np.array_equal(image, array[3].T[::-1, ::-1])
    assert np.array_equal(labels, LIVER[3].T[::-1, ::-1])
    assert pixel == (1.5, 2.0)


def test_the_position_of_a_slice_is_along_its_normal_in_the_world(
    slicer: Any, examples: Any, volume: Any, painted: Any
) -> None:
    row = examples.add(volume, painted, 0, 3)
    assert examples.positionMm(row) == pytest.approx(-30 + 3 * 4)
    shift = np.eye(4)
    shift[:3, 3] = (7, 8, 9)
    volume.SetAndObserveTransformNodeID(add_transform(slicer, shift).GetID())
    assert examples.positionMm(row) == pytest.approx(-30 + 3 * 4 + 9)
    # Columns run to the left: the position counts from right to left then.
    assert examples.positionMm(examples.add(volume, painted, 2, 4)) == pytest.approx(-(10 + 7 - 4 * 1.5))


def test_painted_slices_are_added_once_and_taken_off_where_nothing_is_left(
    examples: Any, volume: Any, painted: Any
) -> None:
    own = examples.add(volume, painted, 0, 6)
    examples.setEnabled(own.identifier, False)
    assert examples.takePainted(volume, painted, [(0, 3), (0, 6), (2, 4)], [])
    assert [(row.axis, row.index, row.enabled) for row in examples.rows()] == [
        (0, 6, False),
        (0, 3, True),
        (2, 4, True),
    ]
    assert not examples.takePainted(volume, painted, [(0, 3)], [])
    assert examples.takePainted(volume, painted, [], [(2, 4), (0, 6), (1, 1)])
    assert [(row.axis, row.index) for row in examples.rows()] == [(0, 6), (0, 3)], "what a user added stays"


def test_of_many_slices_painted_at_once_some_are_added_and_room_is_left(slicer: Any, node: Any) -> None:
    from FewShotSegModule.scene.example_list import MOST_EXAMPLES, ExampleList

    shape = (120, 8, 8)
    volume = add_volume(slicer, "long", np.zeros(shape, np.int16))
    painted = add_segmentation(slicer, volume, {"liver": np.ones(shape, bool)})
    examples = ExampleList(node)
    examples.takePainted(volume, painted, [(0, k) for k in range(20)], [])
    assert len(examples.rows()) == 20
    examples.takePainted(volume, painted, [(0, k) for k in range(20, 120)], [])
    places = [row.index for row in examples.rows()]
    assert len(places) == 40
    assert {20, 119} <= set(places)
    for k in range(120):
        examples.takePainted(volume, painted, [(0, k)], [])
    assert len(examples.rows()) == MOST_EXAMPLES


def test_rows_vanish_with_their_nodes(slicer: Any, examples: Any, volume: Any, painted: Any) -> None:
    other = add_segmentation(slicer, volume, {"liver": LIVER}, "other")
    kept = examples.add(volume, painted, 0, 3)
    examples.add(volume, other, 0, 3)
    slicer.mrmlScene.RemoveNode(other)
    assert examples.rows() == [kept]
    slicer.mrmlScene.RemoveNode(volume)
    assert examples.rows() == []


class Changes:
    def __init__(self, examples: Any) -> None:
        self.examples, self.stirred = examples, False
        examples.observe(self)

    def __call__(self) -> None:
        self.stirred = True

    def take(self) -> set[str]:
        changes = set(self.examples.changes())
        assert self.stirred or not changes
        self.stirred = False
        return changes


def test_only_rows_that_look_different_are_reported(slicer: Any, examples: Any, volume: Any, painted: Any) -> None:
    first, second = examples.add(volume, painted, 0, 3), examples.add(volume, painted, 0, 6)
    changes = Changes(examples)
    set_segment(slicer, painted, "spleen", SPLEEN | box(6, slice(3, 9), slice(3, 9)), volume)
    assert changes.take() == {second.identifier}
    painted.GetSegmentation().GetSegment("liver").SetName("Leber")
    assert changes.take() == {first.identifier}
    painted.GetSegmentation().GetSegment("spleen").SetColor(0, 0, 1)
    assert changes.take() == {first.identifier, second.identifier}
    volume.SetName("CT")
    assert changes.take() == {first.identifier, second.identifier}
    examples.setEnabled(first.identifier, False)
    assert changes.take() == {first.identifier}
    volume.CreateDefaultDisplayNodes()
    assert changes.take() == set()
    slicer.mrmlScene.RemoveNode(painted)
    assert changes.take() == {first.identifier, second.identifier}


def test_rows_that_another_list_of_the_same_node_adds_are_reported_and_observed(
    slicer: Any, examples: Any, volume: Any, painted: Any, node: Any
) -> None:
    from FewShotSegModule.scene.example_list import ExampleList

    changes = Changes(examples)
    added = ExampleList(node).add(volume, painted, 0, 3)
    assert changes.take() == {added.identifier}
    set_segment(slicer, painted, "liver", SPLEEN, volume)
    assert changes.take() == {added.identifier}
    examples.unobserve()
    set_segment(slicer, painted, "liver", LIVER, volume)
    assert changes.take() == set()


def test_list_and_settings_survive_saving_to_an_mrb_and_opening_it_beside_other_nodes(
    slicer: Any, tmp_path: Path
) -> None:
    from FewShotSegModule.logic import FewShotSegLogic
    from FewShotSegModule.scene.example_list import ExampleList

    scene = slicer.mrmlScene
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(tmp_path))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    logic = FewShotSegLogic()
    parameters = logic.getParameterNode()
    volume = add_volume(slicer, "CT")
    painted = add_segmentation(slicer, volume, {"liver": LIVER, "spleen": SPLEEN})
    parameters.queryVolume, parameters.paintSegmentation = volume, painted
    parameters.refineStrength, parameters.device, parameters.quality = 0.25, "cpu", "best"
    parameters.leftOutSegments, parameters.sliceRange = ["spleen"], [2, 5]
    examples = ExampleList(parameters.parameterNode)
    examples.add(volume, painted, 0, 3)
    examples.setEnabled(examples.add(volume, painted, 1, 5).identifier, False)
    file = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(file))

    scene.Clear(1)
    # Takes the identifier that the volume had, so that all references must be given new ones.
    occupant = add_volume(slicer, "somebody else")
    (tmp_path / "unpacked").mkdir()
    scene.SetURL(str(file))
    assert scene.ReadFromMRB(str(file), False)
    parameters = logic.getParameterNode()
    reopened = slicer.util.getNode("CT")
    assert reopened is not occupant
    assert parameters.queryVolume is reopened
    assert (parameters.refineStrength, parameters.device, parameters.quality) == (0.25, "cpu", "best")
    assert (list(parameters.leftOutSegments), list(parameters.sliceRange)) == (["spleen"], [2, 5])
    examples = ExampleList(parameters.parameterNode)
    assert [(r.volume, r.axis, r.index, r.enabled) for r in examples.rows()] == [
        (reopened, 0, 3, True),
        (reopened, 1, 5, False),
    ]
    row = examples.rows()[0]
    assert [info.name for info in examples.segmentsOn(row)] == ["liver", "spleen"]
    assert np.array_equal(examples.sliceImage(row)[1], 1 * LIVER[3] + 2 * SPLEEN[3])
    scene.SetCacheManager(None)
    scene.SetDataIOManager(None)


# Slice views


def view(slicer: Any, orientation: str, *, through: Any) -> Any:
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetName("Red")
    node.SetOrientation(orientation)
    node.JumpSliceByOffsetting(*through)
    return node


@pytest.mark.parametrize(("orientation", "axis"), [("Axial", 0), ("Coronal", 1), ("Sagittal", 2)])
def test_a_view_along_the_volume_shows_one_of_its_slices(slicer: Any, volume: Any, orientation: str, axis: int) -> None:
    from FewShotSegModule.scene.slice_views import sliceOfView

    place = np.add((ijk_to_ras() @ [9, 11, 4, 1])[:3], (0.3, -0.3, 0.7)).tolist()
    assert sliceOfView(view(slicer, orientation, through=place), volume) == (axis, (4, 11, 9)[axis])


def test_a_view_across_the_slices_is_refused_with_advice(slicer: Any, volume: Any) -> None:
    from FewShotSegModule.scene.errors import ObliqueViewError
    from FewShotSegModule.scene.slice_views import sliceOfView

    angle = np.radians(8)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    node = view(slicer, "Axial", through=(ijk_to_ras() @ [9, 11, 4, 1])[:3])
    volume.SetAndObserveTransformNodeID(add_transform(slicer, turn).GetID())
    with pytest.raises(ObliqueViewError, match="Rotate the view to the volume plane"):
        sliceOfView(node, volume)
    assert node.RotateToVolumePlane(volume) is None
    assert sliceOfView(node, volume)[0] == 0


def test_a_view_beside_the_volume_shows_no_slice(slicer: Any, volume: Any) -> None:
    from FewShotSegModule.scene.slice_views import sliceOfView

    with pytest.raises(ValueError, match="outside of scan"):
        sliceOfView(view(slicer, "Axial", through=(0, 0, 500)), volume)


def test_painted_slices_that_are_no_examples_are_remembered_also_through_removing_rows(
    examples: Any, volume: Any, painted: Any
) -> None:
    assert examples.takePainted(volume, painted, [(0, 3)], [])
    for k in range(100, 160):  # more than there is room for
        examples.takePainted(volume, painted, [(0, k % 8), (1, k % 24), (2, k % 20)], [])
    rows = examples.rows()
    everything = {(0, k) for k in range(8)} | {(1, k % 24) for k in range(100, 160)} | {(2, k % 20) for k in range(20)}
    used = {(row.axis, row.index) for row in rows}
    assert set(examples.paintedBesides(volume, painted)) == everything - used
    examples.setEnabled(rows[0].identifier, False)
    examples.remove(rows[1].identifier)
    gone = {(row.axis, row.index) for row in rows[:2]}
    assert set(examples.paintedBesides(volume, painted)) == (everything - used) | gone
    examples.takePainted(volume, painted, [], [(rows[1].axis, rows[1].index)])
    assert (rows[1].axis, rows[1].index) not in examples.paintedBesides(volume, painted)
