"""Painted slices are read from real segmentations: on other grids, under transforms, in layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras, matrix


@pytest.fixture
def scene(slicer: Any) -> Any:
    from FewShotSegModule.scene import crop, geometry, painted, painted_slices

    class Parts:
        Painted = painted.Painted
        paintedSlices = staticmethod(painted_slices.paintedSlices)

    Parts.geometry, Parts.crop, Parts.slicer = geometry, crop, slicer  # type: ignore[attr-defined]
    return Parts


def test_a_slice_comes_back_as_it_was_painted_along_each_axis(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    mask = np.random.default_rng(0).random(SHAPE) > 0.8
    painted = scene.Painted(volume, add_segmentation(scene.slicer, volume, {"liver": mask}))
    for axis, index in ((0, 3), (1, 17), (2, 9)):
        assert np.array_equal(painted.plane(axis, index), np.take(mask, index, axis))


def test_where_segments_overlap_the_later_one_counts(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    first, second = box(3, slice(4, 14), slice(4, 14)), box(3, slice(10, 18), slice(10, 18))
    segmentation = add_segmentation(scene.slicer, volume, {"liver": first, "tumour": second})
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 2, "the case needs overlap"
    plane = scene.Painted(volume, segmentation).plane(0, 3)
    assert np.array_equal(plane == 2, second[3])
    assert np.array_equal(plane == 1, first[3] & ~second[3])
    assert np.array_equal(scene.Painted(volume, segmentation).plane(0, 3, only=1) > 0, first[3])


def test_a_segmentation_on_a_finer_grid_is_resampled_to_the_nearest_voxel(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    to_ras = ijk_to_ras() @ np.diag([0.5, 0.5, 1, 1])
    to_ras[:3, 3] -= ijk_to_ras()[:3, :3] @ (0.25, 0.25, 0)  # two by two fine voxels fill a coarse one
    fine_shape = (SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2])
    fine = add_volume(scene.slicer, "fine", np.zeros(fine_shape, np.int16), to_ras)
    coarse = box(2, slice(5, 15), slice(3, 12))
    mask = coarse.repeat(2, axis=1).repeat(2, axis=2)
    painted = scene.Painted(volume, add_segmentation(scene.slicer, fine, {"liver": mask}))
    assert np.array_equal(painted.plane(0, 2), coarse[2])
    assert not painted.plane(0, 3).any()
    assert np.array_equal(np.unique(painted.points()[:, 0]), [2])


def test_a_segmentation_that_reaches_beyond_the_volume_is_cut(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    to_ras = ijk_to_ras()
    to_ras[:3, 3] = (ijk_to_ras() @ [-5, 7, -2, 1])[:3]
    other = add_volume(scene.slicer, "shifted", np.zeros(SHAPE, np.int16), to_ras)
    mask = np.ones(SHAPE, bool)
    painted = scene.Painted(volume, add_segmentation(scene.slicer, other, {"all": mask}))
    expected = box(slice(0, 6), slice(7, None), slice(0, 15))
    assert np.array_equal(painted.whole() > 0, expected)


def test_moving_volume_and_segmentation_together_changes_nothing(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    mask = box(3, slice(4, 14), slice(4, 14))
    segmentation = add_segmentation(scene.slicer, volume, {"liver": mask})
    for transform in (add_transform(scene.slicer, np.diag([0.0, 0, 0, 1]) + np.eye(4)[[1, 2, 0, 3]]), None):
        transform = transform or add_transform(scene.slicer, None)
        for node in (volume, segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
        assert np.array_equal(scene.Painted(volume, segmentation).plane(0, 3) > 0, mask[3])


def test_a_linear_transform_of_the_segmentation_alone_moves_what_is_painted(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    segmentation = add_segmentation(scene.slicer, volume, {"liver": box(3, slice(4, 14), slice(4, 14))})
    shift = np.eye(4)
    shift[:3, 3] = (3.0, -4.0, 8.0)  # in voxels: i -2, j +2, k +2
    segmentation.SetAndObserveTransformNodeID(add_transform(scene.slicer, shift).GetID())
    painted = scene.Painted(volume, segmentation)
    assert np.array_equal(painted.whole() > 0, box(5, slice(6, 16), slice(2, 12)))


def test_a_transform_that_bends_is_refused_with_advice(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    segmentation = add_segmentation(scene.slicer, volume, {"liver": box(3, slice(4, 14), slice(4, 14))})
    segmentation.SetAndObserveTransformNodeID(add_transform(scene.slicer, None).GetID())
    with pytest.raises(ValueError, match=r"not linear.*Harden"):
        scene.Painted(volume, segmentation)


@pytest.mark.parametrize("what", [None, "volume"])
def test_what_is_no_segmentation_is_refused(scene: Any, what: str | None) -> None:
    volume = add_volume(scene.slicer)
    with pytest.raises(ValueError, match="segmentation is needed"):
        scene.Painted(volume, volume if what else None)


def test_the_engine_gets_the_place_of_a_volume_in_its_own_coordinates(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    given = scene.geometry.volumeOf(volume)
    assert given.spacing == (1.5, 2.0, 4.0)
    assert given.origin == (-10, -20, -30)
    assert np.allclose(np.reshape(given.direction, (3, 3)), np.eye(3))
    turned = add_transform(scene.slicer, np.array([[0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float))
    volume.SetAndObserveTransformNodeID(turned.GetID())
    to_world = scene.slicer.util.arrayFromTransformMatrix(turned)
    expected = np.diag([-1, -1, 1, 1]) @ to_world @ ijk_to_ras() @ [3, 4, 5, 1]
    moved = scene.geometry.volumeOf(volume)
    place = np.reshape(moved.direction, (3, 3)) @ (np.array(moved.spacing) * (3, 4, 5)) + moved.origin
    assert np.allclose(place, expected[:3])
    part = moved.cropped((5, 4, 3), (8, 10, 10))
    assert np.allclose(part.origin, place)
    assert part.shape == (3, 6, 7)


def test_the_axis_painted_along_is_the_one_with_few_slices(scene: Any) -> None:
    for axis in range(3):
        mask = np.zeros(SHAPE, bool)
        index = [slice(5, 18), slice(5, 18), slice(5, 18)]
        index[0] = slice(1, 7)
        for number in (2, 6):
            here = list(index)
            here[axis] = number  # type: ignore[call-overload]
            mask[tuple(here)] = True
        assert scene.paintedSlices(np.argwhere(mask), (4.0, 2.0, 1.5)) == [(axis, 2), (axis, 6)]


def test_slices_painted_along_two_axes_are_told_apart(scene: Any) -> None:
    mask = np.zeros((40, 60, 60), bool)
    for number in (5, 20, 33):
        mask[number, 10:40, 10:40] = True
    mask[4:36, 12:38, 25] = True
    assert scene.paintedSlices(np.argwhere(mask), (3.0, 1.0, 1.0)) == [(0, 5), (0, 20), (0, 33), (2, 25)]


def test_a_structure_that_is_painted_throughout_gives_the_slices_of_one_axis(scene: Any) -> None:
    k, j, i = np.indices((30, 60, 60))
    mask = (k - 15) ** 2 * 9 + (j - 30) ** 2 + (i - 30) ** 2 < 25**2
    slices = scene.paintedSlices(np.argwhere(mask), (3.0, 1.0, 1.0))
    assert {axis for axis, _index in slices} == {0}
    assert [index for _axis, index in slices] == sorted(set(k[mask]))


def test_nothing_painted_gives_no_slices(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    assert not len(scene.Painted(volume, add_segmentation(scene.slicer, volume, {})).points())
    assert scene.paintedSlices(np.zeros((0, 3), int), (1.0, 1.0, 1.0)) == []


# Which part of a volume a run looks at


def test_a_region_counts_by_its_bounds_also_when_it_is_turned(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    roi = scene.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    roi.SetXYZ(*(ijk_to_ras() @ [9, 11, 4, 1])[:3])
    roi.SetSize(6 * 1.5, 8 * 2.0, 2 * 4.0)
    assert scene.crop.allowedBox(volume, 0, None, roi) == ((3, 7, 6), (6, 16, 13))
    turn = np.eye(4)
    angle = np.pi / 4
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    center = np.eye(4)
    center[:3, 3] = (ijk_to_ras() @ [9, 11, 4, 1])[:3]
    roi.SetAndObserveObjectToNodeMatrix(matrix(center @ turn))
    half = (9 + 16) / 2 / np.sqrt(2)  # of the bounds of the turned box, in mm
    start, stop = scene.crop.allowedBox(volume, 0, None, roi)
    assert start == (3, int(np.ceil(11 - half / 2)), int(np.ceil(9 - half / 1.5)))
    assert stop == (6, int(np.floor(11 + half / 2)) + 1, int(np.floor(9 + half / 1.5)) + 1)


def test_a_region_elsewhere_and_an_empty_one_are_refused(scene: Any) -> None:
    volume = add_volume(scene.slicer)
    roi = scene.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    with pytest.raises(ValueError, match="is empty"):
        scene.crop.allowedBox(volume, 0, None, roi)
    roi.SetXYZ(1000, 0, 0)
    roi.SetSize(5, 5, 5)
    with pytest.raises(ValueError, match="nothing in common"):
        scene.crop.allowedBox(volume, 0, None, roi)


def test_the_nearest_painted_slices_around_a_range_are_computed_too(scene: Any) -> None:
    painted = [(0, n, box(n, slice(5, 9), slice(2, 19))[n]) for n in (0, 1, 6, 7)]
    allowed = ((3, 6, 6), (5, 8, 8))
    assert scene.crop.computedBox(allowed, 0, painted) == ((1, 5, 2), (7, 9, 19))
    assert scene.crop.computedBox(allowed, 0, []) == allowed
    assert scene.crop.thickEnough(((3, 0, 0), (4, 24, 20)), SHAPE) == ((3, 0, 0), (5, 24, 20))
