"""Results become segmentation nodes, and are written as the Segment Editor writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vtk
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras, mask_of, names_of, set_segment
from vtk.util.numpy_support import vtk_to_numpy

LIVER = box(slice(2, 6), slice(4, 14), slice(4, 14))
SPLEEN = box(slice(2, 6), slice(16, 20), slice(2, 8))
TAG = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~SCT^10200004"
WHOLE = ((0, 0, 0), SHAPE)


@pytest.fixture
def logic(slicer: Any) -> Iterator[Any]:
    from FewShotSegModule.logic import FewShotSegLogic

    made = FewShotSegLogic()
    yield made
    made.removeObservers()
    made.shutdown()


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


def result_of(allowed: Any = WHOLE) -> Any:
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult

    labels = (1 * LIVER + 2 * SPLEEN).astype(np.uint8)[tuple(slice(a, b) for a, b in zip(*allowed, strict=True))]
    structures = [Structure(1, "liver", (0.8, 0.4, 0.2), TAG), Structure(2, "spleen", (0.2, 0.4, 0.8))]
    return RunResult(labels, np.full(labels.shape, 0.5, np.float32), allowed, SHAPE, structures, "cpu")


def preview_of(volume: Any, allowed: Any = WHOLE) -> Any:
    from FewShotSegModule.scene.preview import makePreview

    return makePreview(volume, result_of(allowed))


def editor(slicer: Any, target: Any, volume: Any, **settings: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", "editor")
    node.SetAndObserveSegmentationNode(target)
    node.SetAndObserveSourceVolumeNode(volume)
    for name, value in settings.items():
        getattr(node, f"Set{name}")(*(value if isinstance(value, tuple) else (value,)))
    return node


# The preview


def test_a_preview_has_names_colours_terminology_status_grid_and_place(slicer: Any, volume: Any) -> None:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "patient")
    tree.CreateItem(folder, volume)
    shift = np.eye(4)
    shift[:3, 3] = (7, 8, 9)
    volume.SetAndObserveTransformNodeID(add_transform(slicer, shift).GetID())
    preview = preview_of(volume)
    assert names_of(preview) == ["liver", "spleen"]
    liver = preview.GetSegmentation().GetNthSegment(0)
    assert liver.GetColor() == (0.8, 0.4, 0.2)
    tag = vtk.reference("")
    assert liver.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
    assert str(tag) == TAG
    status = slicer.vtkSlicerSegmentationsModuleLogic
    assert status.GetSegmentStatus(liver) == status.InProgress
    assert np.array_equal(mask_of(slicer, preview, "liver", volume), LIVER)
    assert np.array_equal(mask_of(slicer, preview, "spleen", volume), SPLEEN)
    assert tree.GetItemParent(tree.GetItemByDataNode(preview)) == folder
    role = preview.GetReferenceImageGeometryReferenceRole()
    assert preview.GetNodeReference(role) is volume
    assert preview.GetParentTransformNode() is volume.GetParentTransformNode()
    bounds, expected = [0.0] * 6, [0.0] * 6
    preview.GetRASBounds(bounds)
    volume.GetRASBounds(expected)
    assert bounds == pytest.approx(expected)
    display = preview.GetDisplayNode()
    assert display.GetVisibility()
    assert not display.GetVisibility3D(), "no 3D view is open"
    assert not preview.GetSegmentation().ContainsRepresentation("Closed surface"), "the result is shown first"


def test_confidence_becomes_a_volume_on_the_same_grid_in_colours_that_let_sure_voxels_through(
    slicer: Any, volume: Any
) -> None:
    from FewShotSegModule.scene.confidence import writeConfidence

    allowed = ((2, 0, 0), (6, 24, 20))
    node = writeConfidence(volume, result_of(allowed))
    array = slicer.util.arrayFromVolume(node)
    assert array.shape == SHAPE
    assert (array[2:6] == 0.5).all()
    assert (array[:2] == 1).all()
    colors = node.GetDisplayNode().GetColorNode()
    color = [0.0] * 4
    colors.GetColor(0, color)
    assert color[0] > 2 * color[1]
    producer = node.GetDisplayNode().GetImageDataConnection().GetProducer()
    producer.Update()
    opacity = vtk_to_numpy(producer.GetOutputDataObject(0).GetPointData().GetScalars())[:, 3].reshape(SHAPE)
    assert (opacity[2:6] == 255).all()
    assert (opacity[:2] == 0).all(), "slice views take a colour's opacity as on or off"
    assert writeConfidence(volume, result_of(), node) is node
    assert (slicer.util.arrayFromVolume(node) == 0.5).all()
    assert writeConfidence(volume, result_of()).GetDisplayNode().GetColorNode() is colors


# Accepting


def test_accepting_without_a_target_makes_a_new_segmentation(slicer: Any, logic: Any, volume: Any) -> None:
    preview = preview_of(volume)
    target = logic.accept(preview)
    assert target is not preview
    assert not slicer.mrmlScene.IsNodePresent(preview)
    assert names_of(target) == ["liver", "spleen"]
    assert np.array_equal(mask_of(slicer, target, "liver", volume), LIVER)
    assert np.array_equal(mask_of(slicer, target, "spleen", volume), SPLEEN)
    liver = target.GetSegmentation().GetNthSegment(0)
    assert liver.GetColor() == (0.8, 0.4, 0.2)
    assert liver.HasTag(slicer.vtkSegment.GetTerminologyEntryTagName())
    assert target.GetDisplayNode().GetVisibility()


def test_a_segment_of_the_same_name_becomes_the_result_and_others_stay(slicer: Any, logic: Any, volume: Any) -> None:
    old = box(slice(0, 4), slice(0, 10), slice(0, 10))
    kidney = box(slice(0, 8), slice(12, 18), slice(4, 14))
    target = add_segmentation(slicer, volume, {"kidney": kidney, "liver": old}, "target")
    assert logic.accept(preview_of(volume), target) is target
    assert names_of(target) == ["kidney", "liver", "spleen"]
    assert np.array_equal(mask_of(slicer, target, "liver", volume), LIVER)
    assert np.array_equal(mask_of(slicer, target, "kidney", volume), kidney), "no neighbour is erased"
    assert np.array_equal(mask_of(slicer, target, "spleen", volume), SPLEEN)


def test_accepting_can_be_undone_in_one_step(slicer: Any, logic: Any, volume: Any) -> None:
    old = box(slice(0, 4), slice(0, 10), slice(0, 10))
    target = add_segmentation(slicer, volume, {"liver": old}, "target")
    logic.accept(preview_of(volume), target)
    logic.undoAccept()
    assert names_of(target) == ["liver"]
    assert np.array_equal(mask_of(slicer, target, "liver", volume), old)


def test_the_state_can_be_saved_where_the_user_undoes(slicer: Any, logic: Any, volume: Any) -> None:
    target = add_segmentation(slicer, volume, {"liver": LIVER & False}, "target")
    seen = []
    logic.accept(preview_of(volume), target, saveState=lambda: seen.append(names_of(target)))
    assert seen == [["liver"]], "once, before anything was written"
    logic.undoAccept()
    assert np.array_equal(mask_of(slicer, target, "liver", volume), LIVER)


def test_overwrite_mode_counts(slicer: Any, logic: Any, volume: Any) -> None:
    kidney = box(slice(0, 8), slice(0, 18), slice(4, 14))
    modes = slicer.vtkMRMLSegmentEditorNode
    for mode, expected in ((modes.OverwriteAllSegments, kidney & ~LIVER & ~SPLEEN), (modes.OverwriteNone, kidney)):
        target = add_segmentation(slicer, volume, {"kidney": kidney}, "target")
        logic.accept(preview_of(volume), target, editor(slicer, target, volume, OverwriteMode=mode))
        assert np.array_equal(mask_of(slicer, target, "kidney", volume), expected)
        assert np.array_equal(mask_of(slicer, target, "liver", volume), LIVER)


def test_a_mask_of_other_segments_counts(slicer: Any, logic: Any, volume: Any) -> None:
    modes = slicer.vtkMRMLSegmentationNode
    kidney = box(slice(0, 8), slice(0, 9), slice(0, 20))
    old = box(slice(0, 8), slice(8, 24), slice(0, 2))
    settings = slicer.vtkMRMLSegmentEditorNode
    for mode, changeable in (
        (modes.EditAllowedInsideSingleSegment, kidney),
        (modes.EditAllowedOutsideAllSegments, ~(kidney | old)),
    ):
        target = add_segmentation(slicer, volume, {"kidney": kidney, "liver": old}, "target")
        node = editor(slicer, target, volume, MaskMode=mode, MaskSegmentID="kidney")
        node.SetOverwriteMode(settings.OverwriteNone)
        logic.accept(preview_of(volume), target, node)
        liver = mask_of(slicer, target, "liver", volume)
        if mode == modes.EditAllowedInsideSingleSegment:
            assert np.array_equal(liver, np.where(changeable, LIVER, old))
        assert np.array_equal(liver & ~old & ~changeable, LIVER & False)
        assert np.array_equal(liver & changeable, LIVER & changeable)
        assert np.array_equal(mask_of(slicer, target, "kidney", volume), kidney)
        assert node.GetMaskMode() == mode
        assert node.GetSegmentationNode() is target, "the user's editor stays as it was"


def test_an_intensity_mask_counts(slicer: Any, logic: Any, volume: Any) -> None:
    array = slicer.util.arrayFromVolume(volume)
    bright = array > 0
    target = add_segmentation(slicer, volume, {"liver": box(slice(0, 8), slice(4, 6), slice(0, 20))}, "target")
    old = mask_of(slicer, target, "liver", volume)
    node = editor(slicer, target, volume, SourceVolumeIntensityMask=True, SourceVolumeIntensityMaskRange=(1.0, 10000.0))
    logic.accept(preview_of(volume), target, node)
    assert np.array_equal(mask_of(slicer, target, "liver", volume), np.where(bright, LIVER, old))
    assert np.array_equal(mask_of(slicer, target, "spleen", volume), SPLEEN & bright)


def test_completed_segments_are_locked(slicer: Any, logic: Any, volume: Any, caplog: Any) -> None:
    status = slicer.vtkSlicerSegmentationsModuleLogic
    old = box(slice(0, 8), slice(0, 18), slice(0, 6))
    target = add_segmentation(slicer, volume, {"liver": old}, "target")
    status.SetSegmentStatus(target.GetSegmentation().GetSegment("liver"), status.Completed)
    mode = slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments
    logic.accept(preview_of(volume), target, editor(slicer, target, volume, OverwriteMode=mode))
    assert np.array_equal(mask_of(slicer, target, "liver", volume), old)
    assert np.array_equal(mask_of(slicer, target, "spleen", volume), SPLEEN & ~old)
    assert "liver" in caplog.text
    status.SetSegmentStatus(target.GetSegmentation().GetSegment("spleen"), status.Completed)
    preview = preview_of(volume)
    with pytest.raises(ValueError, match="marked as completed"):
        logic.accept(preview, target)
    assert slicer.mrmlScene.IsNodePresent(preview), "nothing is lost"


def test_outside_of_the_range_nothing_changes(slicer: Any, logic: Any, volume: Any) -> None:
    old = box(slice(0, 8), slice(0, 10), slice(0, 10))
    target = add_segmentation(slicer, volume, {"liver": old}, "target")
    allowed = ((3, 0, 0), (5, 24, 9))
    logic.accept(preview_of(volume, allowed), target)
    inside = box(slice(3, 5), slice(0, 24), slice(0, 9))
    assert np.array_equal(mask_of(slicer, target, "liver", volume), np.where(inside, LIVER, old))


def test_a_target_on_another_grid_and_under_another_transform_gets_the_result_in_its_place(
    slicer: Any, logic: Any, volume: Any
) -> None:
    shift = np.eye(4)
    shift[:3, 3] = (3.0, -4.0, 8.0)  # in voxels: i -2, j +2, k +2
    other = add_volume(slicer, "other", np.zeros((12, 30, 28), np.int16), ijk_to_ras())
    target = add_segmentation(slicer, other, {"liver": np.zeros((12, 30, 28), bool)}, "target")
    volume.SetAndObserveTransformNodeID(add_transform(slicer, shift).GetID())
    logic.accept(preview_of(volume), target)
    assert np.array_equal(
        mask_of(slicer, target, "liver", other), box(slice(4, 8), slice(6, 16), slice(2, 12), shape=(12, 30, 28))
    )


def test_a_preview_can_be_accepted_after_its_volume_is_gone(slicer: Any, logic: Any, volume: Any) -> None:
    preview = preview_of(volume)
    slicer.mrmlScene.RemoveNode(volume)
    target = logic.accept(preview)
    assert np.array_equal(mask_of(slicer, target, "liver", add_volume(slicer)), LIVER)


def test_discarding_removes_the_preview_with_its_display(slicer: Any, logic: Any, volume: Any) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    preview = preview_of(volume)
    assert slicer.mrmlScene.GetNumberOfNodes() > before
    logic.discard(preview)
    logic.discard(preview)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_discarding_removes_what_saving_added(slicer: Any, logic: Any, volume: Any) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    preview = preview_of(volume)
    preview.AddDefaultStorageNode()
    logic.discard(preview)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_undoing_an_acceptance_into_a_new_segmentation_removes_it(slicer: Any, logic: Any, volume: Any) -> None:
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")}
    logic.accept(preview_of(volume))
    logic.undoAccept()
    logic.undoAccept()
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")} == before


def test_a_segmentation_without_a_display_node_shows_what_is_accepted_into_it(
    slicer: Any, logic: Any, volume: Any
) -> None:
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "made by a script")
    logic.accept(preview_of(volume), target)
    assert target.GetDisplayNode().GetVisibility()


def test_one_that_is_hidden_stays_hidden(slicer: Any, logic: Any, volume: Any) -> None:
    target = add_segmentation(slicer, volume, {"liver": LIVER}, "target")
    target.CreateDefaultDisplayNodes()
    target.GetDisplayNode().SetVisibility(False)
    logic.accept(preview_of(volume), target)
    assert not target.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("order", [("Vein", "vein"), ("vein", "Vein")])
def test_names_that_differ_in_case_are_two_segments(
    slicer: Any, logic: Any, volume: Any, order: tuple[str, str]
) -> None:
    from FewShotSegModule.scene.preview import makePreview

    found = result_of()
    structures = [replace(structure, name=name) for structure, name in zip(found.structures, order, strict=True)]
    target = logic.accept(makePreview(volume, replace(found, structures=structures)))
    other = add_segmentation(slicer, volume, {"VEIN": SPLEEN}, "another")
    logic.accept(makePreview(volume, replace(found, structures=structures)), other)
    for node in (target, other):
        names = names_of(node)
        assert names[-2:] == list(order)
        for name, expected in zip(order, (LIVER, SPLEEN), strict=True):
            identifier = node.GetSegmentation().GetNthSegmentID(names.index(name))
            assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume) > 0, expected), (
                name
            )
    assert np.array_equal(mask_of(slicer, other, "VEIN", volume), SPLEEN)


TURN = np.array([[0.8, -0.6, 0, 12], [0.6, 0.8, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("volume_is_gone", [False, True])
@pytest.mark.parametrize("place", ["new", "empty", "under the transform"])
def test_under_a_linear_transform_the_whole_result_is_written(
    slicer: Any, logic: Any, volume: Any, place: str, volume_is_gone: bool
) -> None:
    registration = add_transform(slicer, TURN)
    volume.SetAndObserveTransformNodeID(registration.GetID())
    target: Any = None
    if place != "new":
        target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "target")
    if place == "under the transform":
        target.SetAndObserveTransformNodeID(registration.GetID())
    preview = preview_of(volume, ((1, 0, 0), (7, 24, 20)))
    if volume_is_gone:
        slicer.mrmlScene.RemoveNode(volume)
    accepted = logic.accept(preview, target)
    if volume_is_gone:
        volume = add_volume(slicer)
        volume.SetAndObserveTransformNodeID(registration.GetID())
    for name, expected in (("liver", LIVER), ("spleen", SPLEEN)):
        assert np.array_equal(mask_of(slicer, accepted, name, volume), expected), name


def test_a_volume_that_is_moved_after_the_run_takes_its_preview_along(slicer: Any, logic: Any, volume: Any) -> None:
    registration = add_transform(slicer, TURN)
    volume.SetAndObserveTransformNodeID(registration.GetID())
    preview = preview_of(volume)
    for node in (volume, preview):
        node.HardenTransform()
    accepted = logic.accept(preview)
    assert np.array_equal(mask_of(slicer, accepted, "liver", volume), LIVER)


def test_what_is_missing_is_said_in_words(slicer: Any, logic: Any, volume: Any) -> None:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.example_slice import ExampleSlice

    target = add_segmentation(slicer, volume, {"liver": LIVER})
    row = ExampleSlice(volume, target, 0, 3)
    missing = logic.whatIsMissing
    assert missing(volume, [row], RunSettings()) == ""
    assert "volume" in missing(None, [row], RunSettings())
    assert "becomes an example" in missing(volume, [], RunSettings())
    assert "50" in missing(volume, [row] * 51, RunSettings())
    assert "segment" in missing(volume, [row], RunSettings(segmentNames=[]))
    assert "slices" in missing(volume, [row], RunSettings(sliceRange=(3, 8)))
    assert "Nothing is painted" in missing(volume, [ExampleSlice(volume, target, 0, 7)], RunSettings())
    assert "Nothing is painted" in missing(volume, [row], RunSettings(segmentNames=["spleen"]))
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    assert "no image" in missing(empty, [row], RunSettings())


class OldRun:
    result = None


def test_a_run_that_was_replaced_has_no_result_to_show(logic: Any) -> None:
    with pytest.raises(ValueError, match="no result"):
        logic.previewOf(OldRun())


def test_set_segment_of_the_tests_paints(slicer: Any, volume: Any) -> None:
    node = add_segmentation(slicer, volume, {"liver": LIVER})
    set_segment(slicer, node, "liver", SPLEEN, volume)
    assert np.array_equal(mask_of(slicer, node, "liver", volume), SPLEEN)


def test_a_preview_survives_an_mrb_and_can_be_accepted_then(
    slicer: Any, logic: Any, volume: Any, tmp_path: Path
) -> None:
    scene = slicer.mrmlScene
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(tmp_path))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    logic.getParameterNode().preview = preview_of(volume, ((3, 0, 0), (5, 24, 20)))
    file = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(file))
    scene.Clear(1)
    scene.SetURL(str(file))
    assert scene.ReadFromMRB(str(file), False)
    preview = logic.getParameterNode().preview
    assert names_of(preview) == ["liver", "spleen"]
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    target = add_segmentation(slicer, volume, {"liver": SPLEEN}, "target")
    logic.accept(preview, target)
    inside = box(slice(3, 5), slice(0, 24), slice(0, 20))
    assert np.array_equal(mask_of(slicer, target, "liver", volume), np.where(inside, LIVER, SPLEEN))
    scene.SetCacheManager(None)
    scene.SetDataIOManager(None)


def test_a_structure_that_was_not_found_is_an_empty_segment(slicer: Any, logic: Any, volume: Any) -> None:
    from FewShotSegModule.scene.preview import makePreview

    found = result_of()
    preview = makePreview(volume, replace(found, labels=np.zeros_like(found.labels)))
    assert names_of(preview) == ["liver", "spleen"]
    target = add_segmentation(slicer, volume, {"liver": LIVER}, "target")
    logic.accept(preview, target)
    assert names_of(target) == ["liver", "spleen"]
    assert not mask_of(slicer, target, "liver", volume).any()


def test_slices_that_are_to_be_kept_stay_as_they_are_along_any_axis(slicer: Any, logic: Any, volume: Any) -> None:
    painted = LIVER.copy()
    painted[3] = False
    painted[3, 2:4, 2:4] = True
    target = add_segmentation(slicer, volume, {"liver": painted})
    logic.accept(preview_of(volume), target, keep=[(0, 3), (2, 12)])
    found, expected = mask_of(slicer, target, "liver", volume), LIVER.copy()
    expected[3], expected[:, :, 12] = painted[3], painted[:, :, 12]
    np.testing.assert_array_equal(found, expected)
    spleen = SPLEEN.copy()
    spleen[3], spleen[:, :, 12] = False, False
    np.testing.assert_array_equal(mask_of(slicer, target, "spleen", volume), spleen)
