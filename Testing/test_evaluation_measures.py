"""The benchmark's arithmetic against cases worked out by hand."""

import numpy as np
import pytest

from FewShotSegLib.evaluation import measures
from FewShotSegLib.evaluation.runner import score_confidence, score_labels

SPACING = (1.0, 2.0, 5.0)
"""Millimetres along (i, j, k)."""


def box(shape, k, j, i):
    mask = np.zeros(shape, bool)
    mask[slice(*k), slice(*j), slice(*i)] = True
    return mask


def test_dice_counts_the_overlap_twice_over_both_sizes():
    prediction = np.array([1, 1, 1, 0, 0], bool)
    reference = np.array([0, 1, 1, 1, 1], bool)
    assert measures.dice(prediction, reference) == pytest.approx(2 * 2 / (3 + 4))


def test_dice_is_zero_where_only_one_is_empty_and_undefined_where_both_are():
    empty, full = np.zeros(3, bool), np.ones(3, bool)
    assert measures.dice(empty, full) == 0
    assert measures.dice(empty, empty) is None


@pytest.mark.parametrize(("axis", "expected_mm"), [(0, 10.0), (1, 4.0), (2, 2.0)])
def test_surface_distance_is_in_millimetres_along_each_axis(axis, expected_mm):
    pytest.importorskip("monai")
    one = np.zeros((9, 9, 9), bool)
    one[3, 3, 3] = True
    other = np.roll(one, 2, axis=axis)
    found = measures.surface_distances(one, other, SPACING)
    assert found is not None
    assert found.hd95 == pytest.approx(expected_mm)
    assert found.mean == pytest.approx(expected_mm)


def test_mean_surface_distance_is_taken_over_both_surfaces():
    pytest.importorskip("monai")
    # A bar of one voxel and one of four voxels that begins at the same place: distances 0 and 0, 1, 2, 3 mm.
    short = box((3, 3, 9), (1, 2), (1, 2), (2, 3))
    long = box((3, 3, 9), (1, 2), (1, 2), (2, 6))
    found = measures.surface_distances(long, short, SPACING)
    assert found is not None
    assert found.mean == pytest.approx((0 + 0 + 1 + 2 + 3) / 5)
    assert found.hd95 == pytest.approx(0.15 * 2 + 0.85 * 3)  # the 95th percentile of 0, 1, 2, 3, interpolated


def test_surface_distance_is_undefined_without_a_surface():
    mask = box((3, 3, 3), (1, 2), (1, 2), (1, 2))
    assert measures.surface_distances(mask, np.zeros_like(mask), SPACING) is None


def test_surface_dice_is_the_share_of_both_surfaces_within_the_tolerance():
    pytest.importorskip("monai")
    # Bars of one voxel's thickness, all of it surface. Distances: 0 for the short one; 0, 1, 2, 3 for the long one.
    short = box((3, 3, 9), (1, 2), (1, 2), (2, 3))
    long = box((3, 3, 9), (1, 2), (1, 2), (2, 6))
    assert measures.surface_dice(long, short, SPACING, tolerance=1.0) == pytest.approx((1 + 2) / 5)
    assert measures.surface_dice(long, short, SPACING, tolerance=2.5) == pytest.approx((1 + 3) / 5)
    assert measures.surface_dice(long, short, SPACING, tolerance=3.0) == 1.0


@pytest.mark.parametrize(("axis", "apart_mm"), [(0, 5.0), (1, 2.0), (2, 1.0)])
def test_surface_dice_measures_its_tolerance_in_millimetres_along_each_axis(axis, apart_mm):
    pytest.importorskip("monai")
    one = np.zeros((9, 9, 9), bool)
    one[3, 3, 3] = True
    other = np.roll(one, 1, axis=axis)
    assert measures.surface_dice(one, other, SPACING, tolerance=apart_mm) == 1.0
    assert measures.surface_dice(one, other, SPACING, tolerance=apart_mm - 0.1) == 0.0


def test_surface_dice_is_zero_where_only_one_is_there_and_undefined_where_both_are_empty():
    mask = box((3, 3, 3), (1, 2), (1, 2), (1, 2))
    assert measures.surface_dice(mask, np.zeros_like(mask), SPACING) == 0
    assert measures.surface_dice(np.zeros_like(mask), mask, SPACING) == 0
    assert measures.surface_dice(np.zeros_like(mask), np.zeros_like(mask), SPACING) is None


def test_calibration_error_weighs_the_gap_of_each_bin():
    # Bin of .9: confidence .9, accuracy 3/4; bin of .3: confidence .3, accuracy 1/2.
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])
    correct = np.array([1, 1, 1, 0, 1, 0], bool)
    expected = 4 / 6 * (0.9 - 0.75) + 2 / 6 * (0.5 - 0.3)
    assert measures.calibration_error(confidence, correct) == pytest.approx(expected)


def test_calibration_error_has_a_bin_for_full_confidence():
    assert measures.calibration_error(np.ones(4), np.array([1, 1, 0, 0], bool)) == pytest.approx(0.5)


def test_auroc_counts_ties_as_half():
    score = np.array([0.8, 0.5, 0.5, 0.1])
    positive = np.array([1, 1, 0, 0], bool)
    # Pairs positive-negative: .8 > .5, .8 > .1, .5 = .5, .5 > .1
    assert measures.auroc(score, positive) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_auroc_is_undefined_without_errors():
    assert measures.auroc(np.array([0.1, 0.2]), np.zeros(2, bool)) is None


def test_confidence_finds_errors_by_being_low():
    found = measures.confidence_measures(np.array([0.9, 0.8, 0.2]), np.array([1, 1, 0], bool))
    assert found is not None
    assert found.auroc == 1.0
    assert found.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_confidence_outside_its_range_is_an_error(bad):
    with pytest.raises(ValueError, match="finite and within"):
        measures.confidence_measures(np.array([0.5, bad]), np.ones(2, bool))


def test_region_around_the_structures_reaches_ten_millimetres_in_each_direction():
    prediction = np.zeros((11, 21, 41), np.int32)
    reference = prediction.copy()
    prediction[5, 10, 20], reference[5, 10, 22] = 1, 2
    region = measures.region_around(prediction, reference, SPACING)
    assert (region == box(region.shape, (3, 8), (5, 16), (10, 33))).all()


def test_dice_of_an_episode_ignores_slices_that_are_not_scored():
    pytest.importorskip("monai")
    reference = np.zeros((4, 4, 4), np.int32)
    reference[:, 1:3, 1:3] = 7
    prediction = np.zeros_like(
        reference
    )  # empty on the painted slices 0 and 3, half right on slice 1, right on slice 2
    prediction[1, 1:3, 1] = 7
    prediction[2, 1:3, 1:3] = 7
    figures = score_labels(prediction, reference, [7], [1, 2], SPACING)[7]
    assert figures["dice"] == pytest.approx(2 * 6 / (6 + 8))
    assert (figures["reference_voxels"], figures["predicted_voxels"]) == (8, 6)
    # Slices that are not scored count as right, so the surfaces differ by one column of 1 mm at most.
    assert figures["hd95_mm"] <= 1.0


def test_confidence_of_an_episode_is_measured_on_scored_slices_near_the_structures_and_everywhere():
    reference = np.zeros((3, 30, 60), np.int32)
    reference[1, 15, 30] = 1
    confidence = np.ones(reference.shape)
    confidence[0] = 0.0  # not scored
    found = score_confidence(reference, reference, confidence, [1, 2], SPACING)
    assert found["all"] is not None
    assert found["box"] is not None
    assert found["all"]["voxels"] == 2 * 30 * 60
    assert found["box"]["voxels"] == 2 * 11 * 21
    assert found["all"]["ece"] == 0
