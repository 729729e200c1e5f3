"""Labelmaps on an image's lattice though not on its grid, uneven label values, and names in several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from FewShotSegLib.errors import ExampleError, GeometryError
from FewShotSegLib.example import Example, check_examples, match_labels_by_name
from FewShotSegLib.geometry import nearest_rotation, shear_of
from FewShotSegLib.labels import as_labels, label_problem
from FewShotSegLib.volume import Volume

SHAPE = (5, 6, 7)
OBLIQUE = (0.8, 0.0, 0.6, 0.36, 0.8, -0.48, -0.48, 0.6, 0.64)


@pytest.fixture
def image() -> Volume:
    return an_image()


def an_image() -> Volume:
    array = np.random.default_rng(1).normal(size=SHAPE)
    return Volume.from_array(array, spacing=(0.7, 0.8, 2.5), origin=(-80, 12, 300), direction=OBLIQUE, name="ct")


def labels() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[1:4, 2:5, 2:4] = 1
    array[2:4, 1:3, 4:6] = 2
    return array


def stored(
    image: Volume,
    array: np.ndarray,
    order: tuple[int, ...] = (0, 1, 2),
    reverse: tuple[int, ...] = (),
    offset: tuple[float, ...] = (0, 0, 0),
) -> Volume:
    """The same voxels in the same places as another program stores them.

    `array` starts at the image's voxel `offset` (k, j, i); `order` and `reverse` say how its axes are stored.
    """
    axes = np.reshape(image.direction, (3, 3)).T[::-1]  # by array axis
    spacing = np.array(image.spacing_kji)
    origin = np.array(image.origin) + sum(axes[a] * spacing[a] * offset[a] for a in range(3))
    steps = [axes[a] * (-1 if a in reverse else 1) for a in range(3)]
    for a in reverse:
        origin = origin + axes[a] * spacing[a] * (array.shape[a] - 1)
        array = np.flip(array, a)
    turned = np.ascontiguousarray(array.transpose(order))
    return Volume.from_array(
        turned,
        spacing=tuple(spacing[list(order)][::-1]),
        origin=tuple(origin),
        direction=tuple(np.array([steps[a] for a in order][::-1]).T.ravel()),
        name="mask",
    )


@settings(max_examples=60)
@given(
    order=st.permutations((0, 1, 2)).map(tuple),
    reverse=st.sets(st.integers(0, 2)).map(tuple),
    low=st.tuples(*[st.integers(-2, 2)] * 3),
    high=st.tuples(*[st.integers(-2, 2)] * 3),
)
def test_a_labelmap_is_used_wherever_its_voxels_are_voxels_of_the_image(
    order: tuple[int, ...], reverse: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]
) -> None:
    image, full = an_image(), labels()
    padded = np.pad(full, 2)
    window = tuple(slice(2 + a, 2 + n + b) for a, n, b in zip(low, SHAPE, high, strict=True))
    labelmap = stored(image, padded[window], order, reverse, low)
    expected = np.zeros_like(padded)
    expected[window] = padded[window]
    expected = expected[2:-2, 2:-2, 2:-2]
    examples = Example.from_labelmap(image, labelmap)
    assert [example.index for example in examples] == [k for k in range(SHAPE[0]) if expected[k].any()]
    for example in examples:
        assert np.array_equal(example.mask, expected[example.index])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_has_a_place_whatever_its_thickness(image: Volume, axis: int) -> None:
    array = labels().take([2], axis)
    slice_ = stored(image, array, offset=tuple(2 * (a == axis) for a in range(3)))
    spacing = [9.9 if 2 - a == axis else s for a, s in enumerate(slice_.spacing)]
    labelmap = Volume.from_array(array, spacing, slice_.origin, slice_.direction)
    (example,) = Example.from_labelmap(image, labelmap, axis=axis)
    assert example.index == 2
    assert np.array_equal(example.mask, labels().take(2, axis))


@pytest.mark.parametrize("shift", [(0.5, 0, 0), (0, -0.5, 0), (0, 0, 0.4), (20, 0, 0)])
def test_a_labelmap_between_the_voxels_or_elsewhere_is_refused(image: Volume, shift: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="different grids: origin"):
        Example.from_labelmap(image, stored(image, labels(), offset=shift))


def test_a_labelmap_of_another_spacing_or_tilt_is_refused(image: Volume) -> None:
    coarse = Volume.from_array(labels(), (0.7, 0.8, 5), image.origin, image.direction)
    with pytest.raises(GeometryError, match="different grids: spacing"):
        Example.from_labelmap(image, coarse)
    tilted = Volume.from_array(labels(), image.spacing, image.origin)
    with pytest.raises(GeometryError, match="different grids: direction"):
        Example.from_labelmap(image, tilted)


def test_a_labelmap_whose_geometry_was_written_with_three_decimals_fits() -> None:
    image = Volume.from_array(np.zeros((4, 256, 256), np.int16), (0.78125, 0.78125, 3), (-100, -120, 40), OBLIQUE)
    rounded = [nearest_rotation(np.round(OBLIQUE, 3)), tuple(np.round(np.array(OBLIQUE) + 0.0004, 3))]
    array = np.zeros(image.shape, np.uint8)
    array[1, 100:120, 30:50] = 1
    for direction in rounded:
        labelmap = Volume.from_array(array, tuple(np.round(image.spacing, 3)), image.origin, direction)
        assert np.array_equal(Example.from_labelmap(image, labelmap)[0].mask, array[1])


def test_what_a_larger_labelmap_holds_beyond_the_image_is_told(image: Volume, caplog: pytest.LogCaptureFixture) -> None:
    larger = np.pad(labels(), 2)
    larger[0, :2, 0] = 1
    Example.from_labelmap(image, stored(image, larger, offset=(-2, -2, -2)))
    assert "2 labelled voxels" in caplog.text


# Values


@settings(max_examples=60)
@given(st.integers(1, 20), st.sampled_from([1.00002, 0.996, 1.0, 1 - 1e-7]), st.sampled_from([np.float32, np.float64]))
def test_labels_that_a_scale_factor_moved_are_labels(largest: int, slope: float, dtype: type) -> None:
    array: np.ndarray = (np.arange(largest + 1) * slope).astype(dtype).reshape(1, 1, -1)
    assert label_problem(array) is None
    assert as_labels(array).ravel().tolist() == list(range(largest + 1))


@settings(max_examples=30)
@given(st.integers(1, 20), st.sampled_from([255, 32767, 65535]))
def test_labels_that_were_spread_over_a_whole_number_type_are_labels(largest: int, steps: int) -> None:
    stored_as = np.rint(np.arange(largest + 1) / largest * steps)
    assert as_labels((stored_as * (largest / steps)).astype(np.float32)).tolist() == list(range(largest + 1))


@pytest.mark.parametrize("value", [0.5, 0.9, 0.02, 7.3, np.nan, np.inf, -np.inf, -1.0])
def test_probabilities_and_intensities_are_no_labels(value: float) -> None:
    assert label_problem(np.array([[[0.0, 1.0, value]]])) is not None


def test_a_rounded_mask_is_taken_as_what_was_meant(image: Volume) -> None:
    uneven = np.where(labels() > 0, labels() * 0.996, 1e-5).astype(np.float32)
    examples = Example.from_labelmap(image, image.with_array(uneven))
    assert [example.index for example in examples] == [1, 2, 3], "background is no label, however uneven"
    assert all(np.array_equal(example.mask, labels()[example.index]) for example in examples)
    assert np.array_equal(Example(image, 0, 2, uneven[2]).mask, labels()[2])


def test_a_rounded_labelmap_is_written_as_what_was_meant(image: Volume, tmp_path: Path) -> None:
    image.with_array((labels() * 0.996).astype(np.float32)).write(tmp_path / "mask.seg.nrrd")
    assert np.array_equal(Volume.read(tmp_path / "mask.seg.nrrd").array, labels())


# Names


def example(image: Volume, value: int, names: dict[int, str], index: int = 2) -> Example:
    return Example(image, 0, index, np.where(labels()[2] == 1, value, 0), names)


def test_one_name_for_two_values_is_refused(image: Volume) -> None:
    with pytest.raises(ExampleError, match="'liver' is label 1 in one example and label 2 in another"):
        check_examples([example(image, 1, {1: "liver"}), example(an_image(), 2, {2: "liver"}, 3)])
    twice = {1: "lesion", 2: "lesion"}
    assert check_examples([example(image, 1, twice), example(image, 2, twice, 3)]) == [1, 2], "told apart by the user"


def test_structures_are_matched_by_name_as_programs_number_them_by_order(image: Volume) -> None:
    first = example(image, 1, {1: "liver", 2: "kidney"})
    second = example(an_image(), 2, {1: "kidney", 2: "liver", 3: "Liver"}, 3)
    matched = match_labels_by_name([first, second])
    assert matched[0] is first
    assert np.array_equal(matched[1].mask, first.mask)
    assert matched[1].names == {2: "kidney", 1: "liver", 3: "Liver"}, "names that differ by case are two names"
    assert check_examples(matched) == [1]


def test_a_new_name_never_takes_a_value_that_is_in_use(image: Volume) -> None:
    matched = match_labels_by_name(
        [example(image, 1, {1: "liver"}), example(image, 1, {1: "spleen"}, 1), example(image, 2, {}, 3)]
    )
    assert [item.names for item in matched] == [{1: "liver"}, {3: "spleen"}, {}]
    assert check_examples(matched) == [1, 2, 3]


def test_labels_that_would_become_one_are_refused(image: Volume) -> None:
    both = Example(image, 0, 2, labels()[2], {2: "liver"})  # 1 has no name
    with pytest.raises(ExampleError, match="'liver' is label 1 in one example and label 2 in another"):
        match_labels_by_name([example(image, 1, {1: "liver"}, 1), both])


def test_contradictory_masks_are_found_though_the_image_was_read_twice() -> None:
    with pytest.raises(ExampleError, match="given twice with different masks"):
        check_examples([example(an_image(), 1, {}), example(an_image(), 2, {})])
    other = an_image().with_array(an_image().array + 1)
    assert check_examples([example(an_image(), 1, {}), example(other, 2, {})]) == [1, 2]


def test_names_that_are_no_utf8_are_read_as_latin1(image: Volume) -> None:
    names = {1: "R\udcfcckenmark", 2: "Leber", 3: "\ud83d\ude00", 4: "\ud800"}
    assert image.with_array(labels(), names=names).names == {1: "Rückenmark", 2: "Leber", 3: "😀", 4: "\ufffd"}


def test_spacing_that_is_in_the_direction_comes_out_of_it() -> None:
    volume = Volume.from_array(np.zeros((2, 3, 4)), (1, 1.5, 2), direction=(0, -2, 0, 0.5, 0, 0, 0, 0, 1))
    assert volume.spacing == pytest.approx((0.5, 3, 2))
    assert volume.direction == pytest.approx((0, -1, 0, 1, 0, 0, 0, 0, 1))
    rounded = Volume.from_array(np.zeros((2, 3, 4)), direction=tuple(np.round(OBLIQUE, 3)))
    assert rounded.spacing == (1, 1, 1)


def test_shear_is_told_from_rounding() -> None:
    assert shear_of(OBLIQUE) < 1e-9
    assert 0 < shear_of(list(np.round(np.array(OBLIQUE) * 0.99999, 3))) < 0.003
    tilted = (1, 0, 0, 0, 1, 0.26, 0, 0, 0.966)
    assert shear_of(tilted) == pytest.approx(0.26, abs=0.001)
    assert shear_of(nearest_rotation(tilted)) < 1e-9
    volume = Volume.from_array(np.zeros((2, 2, 2)), (1, 1, 3), direction=tilted)
    assert volume.is_sheared
    assert volume.voxel_volume == pytest.approx(3 * 0.966)
