"""Which slices somebody has painted on, told from labelmaps as Slicer's segmentations have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras, mask_of, set_segment

LIVER = box(slice(1, 7), slice(4, 12), slice(4, 12))


@pytest.fixture
def volume(slicer: Any) -> Any:
    return add_volume(slicer)


def changes_of(slicer: Any, volume: Any, masks: dict[str, np.ndarray], **more: Any) -> tuple[Any, Any]:
    from FewShotSegModule.scene.painted_changes import PaintedChanges

    segmentation = add_segmentation(slicer, volume, masks)
    return segmentation, PaintedChanges(volume, segmentation, **more)


@pytest.mark.parametrize(
    ("stroke", "place"),
    [
        (box(3, slice(14, 18), slice(14, 18)), (0, 3)),
        (box(slice(2, 5), 15, slice(14, 18)), (1, 15)),
        (box(slice(2, 5), slice(14, 18), 13), (2, 13)),
        (box(3, slice(5, 8), slice(14, 18)), (0, 3)),
    ],
)
def test_a_stroke_in_a_view_of_any_direction_is_on_its_slice(
    slicer: Any, volume: Any, stroke: np.ndarray, place: tuple[int, int]
) -> None:
    segmentation, changes = changes_of(slicer, volume, {"liver": LIVER})
    assert not changes.any
    set_segment(slicer, segmentation, "liver", LIVER | stroke, volume)
    assert changes.any
    assert changes.take() == ([place], [])
    assert not changes.any
    assert changes.take() == ([], [])
    set_segment(slicer, segmentation, "liver", (LIVER | stroke) & ~stroke, volume)
    painted, emptied = changes.take()
    assert painted + emptied == [place], "so is one with the eraser"


def test_several_strokes_in_several_directions_are_told_apart(slicer: Any, volume: Any) -> None:
    segmentation, changes = changes_of(slicer, volume, {"liver": LIVER})
    strokes = box(2, slice(10, 20), slice(2, 18)) | box(slice(None), slice(1, 22), 9) | box(6, slice(3, 20), 3)
    set_segment(slicer, segmentation, "liver", LIVER ^ strokes, volume)
    painted, _emptied = changes.take()
    assert set(painted) >= {(0, 2), (2, 9)}
    covered = np.zeros(SHAPE, bool)
    for axis, index in painted:
        np.moveaxis(covered, axis, 0)[index] = True
    assert not (strokes & ~covered).any()


def test_a_stroke_in_another_segment_over_the_same_voxels_counts(slicer: Any, volume: Any) -> None:
    segmentation, changes = changes_of(slicer, volume, {"liver": LIVER, "vessel": box(1, 2, 2)})
    set_segment(slicer, segmentation, "vessel", box(1, 2, 2) | box(4, slice(5, 8), slice(5, 8)), volume)
    assert changes.take() == ([(0, 4)], [])
    set_segment(slicer, segmentation, "liver", LIVER & ~box(5, slice(None), slice(None)), volume)
    assert changes.take() == ([], [(0, 5)])


def test_segments_that_come_and_go_change_where_they_are(slicer: Any, volume: Any) -> None:
    segmentation, changes = changes_of(slicer, volume, {"liver": LIVER})
    content = segmentation.GetSegmentation()
    content.AddEmptySegment("new", "new")
    assert changes.take() == ([], [])
    set_segment(slicer, segmentation, "new", box(0, slice(2, 5), slice(2, 5)), volume)
    assert changes.take() == ([(0, 0)], [])
    content.RemoveSegment("new")
    assert changes.take() == ([], [(0, 0)])


def test_what_is_there_already_counts_where_that_is_wanted(slicer: Any, volume: Any) -> None:
    masks = {"liver": LIVER & box(2) | LIVER & box(5)}
    _segmentation, changes = changes_of(slicer, volume, masks, existing=True)
    assert changes.take() == ([(0, 2), (0, 5)], [])


def test_a_large_change_over_many_slices_is_on_all_of_the_axis_that_has_fewest(slicer: Any) -> None:
    shape = (30, 120, 110)
    volume = add_volume(slicer, "large", np.zeros(shape, np.int16))
    segmentation, changes = changes_of(slicer, volume, {"liver": box(0, 1, 1, shape=shape)})
    set_segment(slicer, segmentation, "liver", box(slice(3, 28), slice(10, 100), slice(5, 95), shape=shape), volume)
    assert changes.take() == ([(0, k) for k in range(3, 28)], [(0, 0)])


def test_a_cropped_labelmap_on_a_moved_volume_tells_the_volumes_slices(slicer: Any, volume: Any) -> None:
    # The segmentation has the grid of a part of the volume, and both lie under a transform.
    part = np.zeros((4, 10, 10), np.int16)
    to_ras = ijk_to_ras()
    to_ras[:3, 3] += to_ras[:3, :3] @ (5, 6, 2)
    small = add_volume(slicer, "part", part, to_ras)
    segmentation, changes = None, None
    from FewShotSegModule.scene.painted_changes import PaintedChanges

    segmentation = add_segmentation(slicer, small, {"liver": box(0, 1, 1, shape=part.shape)})
    moved = add_transform(slicer, np.array([[0, -1.0, 0, 5], [1, 0, 0, 7], [0, 0, 1, 3], [0, 0, 0, 1]]))
    for node in (volume, segmentation, small):
        node.SetAndObserveTransformNodeID(moved.GetID())
    changes = PaintedChanges(volume, segmentation)
    before = mask_of(slicer, segmentation, "liver", small)
    set_segment(slicer, segmentation, "liver", before | box(2, slice(4, 7), slice(4, 7), shape=part.shape), small)
    assert changes.take() == ([(0, 4)], [])


def test_a_voxel_that_changed_outside_of_the_volume_is_on_no_slice(slicer: Any, volume: Any) -> None:
    big = add_volume(slicer, "big", np.zeros((30, 24, 20), np.int16))
    segmentation, changes = changes_of(slicer, big, {"liver": box(0, 1, 1, shape=(30, 24, 20))})
    from FewShotSegModule.scene.painted_changes import PaintedChanges

    changes = PaintedChanges(volume, segmentation)
    set_segment(slicer, segmentation, "liver", box(20, 1, 1, shape=(30, 24, 20)), big)
    assert changes.take() == ([], [(0, 0)])


def test_many_slices_are_thinned_out_evenly_with_both_ends() -> None:
    from FewShotSegModule.scene.painted_slices import evenlySpread

    slices = [(0, n) for n in range(3, 40)]
    chosen = evenlySpread(slices, 5)
    assert chosen == [(0, 3), (0, 12), (0, 21), (0, 30), (0, 39)]
    assert evenlySpread(chosen, 5) == chosen
