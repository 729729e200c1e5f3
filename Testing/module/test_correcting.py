"""A slice of a result becomes painted, without touching what somebody painted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vtk
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras, mask_of, names_of

LIVER, SPLEEN = box(slice(2, 6), slice(4, 14), slice(4, 14)), box(slice(2, 6), slice(16, 20), slice(2, 8))
PAINTED = box(3, slice(4, 10), slice(4, 14))


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


@pytest.fixture
def preview(volume: Any) -> Any:
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult
    from FewShotSegModule.scene.preview import makePreview

    structures = [Structure(4, "liver", (0.5, 0.25, 0.0)), Structure(7, "spleen", (0.0, 0.25, 0.5))]
    labels = (4 * LIVER + 7 * SPLEEN).astype(np.uint8)[2:]
    return makePreview(volume, RunResult(labels, labels > 0, ((2, 0, 0), SHAPE), SHAPE, structures))


def masks(slicer: Any, node: Any, volume: Any) -> dict[str, np.ndarray]:
    return {name: mask_of(slicer, node, name, volume) for name in names_of(node)}


@pytest.mark.parametrize(("axis", "index"), [(0, 3), (1, 8), (2, 5)])
def test_a_slice_that_nobody_painted_becomes_that_of_the_result(
    slicer: Any, volume: Any, preview: Any, axis: int, index: int
) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    painted = add_segmentation(slicer, volume, {})
    added = copySlice(preview, painted, axis, index)
    on = np.zeros(SHAPE, bool)
    np.moveaxis(on, axis, 0)[index] = True
    expected = {name: mask & on for name, mask in (("liver", LIVER), ("spleen", SPLEEN)) if (mask & on).any()}
    assert added == list(expected)
    found = masks(slicer, painted, volume)
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        assert np.array_equal(found[name], mask)
    segment = painted.GetSegmentation().GetNthSegment(0)
    assert segment.GetColor() == (0.5, 0.25, 0.0)


def test_what_is_painted_stays_and_what_is_missing_is_filled_in(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    other = box(3, slice(12, 18), slice(4, 6))  # of the liver's place and of the spleen's
    elsewhere = box(5, slice(0, 3), slice(0, 3))
    painted = add_segmentation(slicer, volume, {"liver": PAINTED | elsewhere, "vein": other})
    assert copySlice(preview, painted, 0, 3) == ["liver", "spleen"]
    found = masks(slicer, painted, volume)
    on = box(3)
    assert np.array_equal(found["vein"], other)
    assert np.array_equal(found["liver"], (LIVER & on & ~other) | PAINTED | elsewhere)
    assert np.array_equal(found["spleen"], SPLEEN & on & ~other)


def test_it_is_one_step_of_undo_and_none_where_there_is_nothing_to_add(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    painted = add_segmentation(slicer, volume, {"liver": PAINTED})
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    editor = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetAndObserveSegmentationNode(painted)
    logic.SetSegmentEditorNode(editor)
    saved: list[int] = []

    def save() -> None:
        saved.append(1)
        logic.SaveStateForUndo()

    assert copySlice(preview, painted, 0, 3, save) == ["liver", "spleen"]
    assert copySlice(preview, painted, 0, 3, save) == []
    assert copySlice(preview, painted, 0, 7, save) == []
    assert saved == [1]
    logic.Undo()
    found = masks(slicer, painted, volume)
    assert found.keys() == {"liver"}
    assert np.array_equal(found["liver"], PAINTED)


def test_a_completed_segment_is_left_alone(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    painted = add_segmentation(slicer, volume, {"liver": PAINTED})
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(painted.GetSegmentation().GetSegment("liver"), logic.Completed)
    assert copySlice(preview, painted, 0, 3) == ["spleen"]
    assert np.array_equal(mask_of(slicer, painted, "liver", volume), PAINTED)


def test_segmentations_that_lie_or_are_divided_otherwise_take_a_slice(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    # Under a transform of its own, and on a grid with four voxels in the place of one.
    shift = np.eye(4)
    shift[:3, 3] = (7, -3, 4)
    fine = add_volume(slicer, "fine", np.zeros((SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2]), np.int16), _finer(volume))
    painted = add_segmentation(slicer, fine, {"liver": np.zeros((SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2]), bool)})
    first = np.zeros((SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2]), bool)
    first[6, 0, 0] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(first.astype(np.uint8), painted, "liver", fine)
    for node in (volume, preview, fine, painted):
        node.SetAndObserveTransformNodeID(add_transform(slicer, shift).GetID())
    assert copySlice(preview, painted, 0, 3) == ["liver", "spleen"]
    found = mask_of(slicer, painted, "liver", fine)
    expected = np.repeat(np.repeat(LIVER & box(3), 2, axis=1), 2, axis=2) | first
    assert np.array_equal(found, expected)


def test_many_structures_in_a_large_volume_are_few_merges(slicer: Any) -> None:
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult
    from FewShotSegModule.scene.correcting import copySlice
    from FewShotSegModule.scene.preview import makePreview

    shape = (40, 400, 64)
    large = add_volume(slicer, "large", np.zeros(shape, np.uint8))
    labels = np.zeros(shape, np.uint8)
    structures = [Structure(value, f"structure {value}", (0.5, 0.5, 0.5)) for value in range(1, 20)]
    for structure in structures:
        labels[5:35, 20 * structure.value : 20 * structure.value + 15, 8:56] = structure.value
    preview = makePreview(large, RunResult(labels, labels, ((0, 0, 0), shape), shape, structures))
    painted = add_segmentation(slicer, large, {})
    events: list[int] = []
    painted.AddObserver(slicer.vtkSegmentation.SourceRepresentationModified, lambda *_event: events.append(1))
    for axis, index in ((0, 20), (2, 30)):
        events.clear()
        assert len(copySlice(preview, painted, axis, index)) == 19
        assert len(events) <= 4
    on = np.zeros(shape, bool)
    on[20], on[:, :, 30] = True, True
    for structure in structures:
        found = mask_of(slicer, painted, structure.name, large)
        assert np.array_equal(found, (labels == structure.value) & on), structure.name


def test_a_grid_half_a_voxel_away_stays_what_it_is(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    to_ras = ijk_to_ras()
    to_ras[:3, 3] += 0.5 * to_ras[:3, 0]
    other = add_volume(slicer, "shifted", to_ras=to_ras)
    painted = add_segmentation(slicer, other, {"liver": box(6, slice(2, 4), slice(2, 4))})
    image = painted.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    origin = image.GetOrigin()
    assert copySlice(preview, painted, 0, 3) == ["liver", "spleen"]
    image = painted.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    assert image.GetOrigin() == origin
    found = mask_of(slicer, painted, "liver", other)
    assert abs(int(found[3].sum()) - int(LIVER[3].sum())) <= 10
    assert found[6].sum() == 4


def test_without_the_volume_nothing_can_be_copied(slicer: Any, volume: Any, preview: Any) -> None:
    from FewShotSegModule.scene.correcting import copySlice

    painted = add_segmentation(slicer, volume, {"liver": PAINTED})
    slicer.mrmlScene.RemoveNode(volume)
    with pytest.raises(ValueError, match="volume of the result is gone"):
        copySlice(preview, painted, 0, 3)


def _finer(volume: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    array = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    array[:3, 3] -= (array[:3, 0] + array[:3, 1]) / 4
    array[:3, :2] /= 2
    return array
