"""Examples: painted slices and what is refused as one."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib.errors import ExampleError, GeometryError, VolumeError
from FewShotSegLib.example import Example, check_examples
from FewShotSegLib.volume import Volume


@pytest.fixture
def an_image() -> Volume:
    return Volume.from_array(np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8), spacing=(1, 1, 3), name="ct")


@pytest.fixture
def labels() -> np.ndarray:
    array = np.zeros((6, 7, 8), np.uint8)
    array[2, 1:3, 4:6] = 1
    array[4, 1:3, 4] = 3
    return array


def test_all_painted_slices_are_taken_unless_told_otherwise(an_image: Volume, labels: np.ndarray) -> None:
    labelmap = an_image.with_array(labels, names={1: "liver"}, colors={1: (1, 0, 0)})
    examples = Example.from_labelmap(an_image, labelmap)
    assert [example.index for example in examples] == [2, 4]
    assert all(example.image is an_image for example in examples)
    assert np.array_equal(examples[0].mask, labels[2])
    assert np.array_equal(examples[0].image_slice, an_image.array[2])
    assert (examples[0].names, examples[0].colors) == ({1: "liver"}, {1: (1, 0, 0)})
    assert check_examples(examples) == [1, 3]


@pytest.mark.parametrize(("axis", "painted", "shape"), [(0, [2, 4], (7, 8)), (1, [1, 2], (6, 8)), (2, [4, 5], (6, 7))])
def test_slices_may_lie_along_any_axis(
    an_image: Volume, labels: np.ndarray, axis: int, painted: list[int], shape: tuple[int, int]
) -> None:
    examples = Example.from_labelmap(an_image, labels, axis=axis)
    assert [example.index for example in examples] == painted
    for example in examples:
        assert example.mask.shape == example.image_slice.shape == shape
        assert np.array_equal(example.mask, labels.take(example.index, axis))
        assert np.array_equal(example.image_slice, an_image.array.take(example.index, axis))


def test_a_listed_slice_without_labels_is_a_negative_example(an_image: Volume, labels: np.ndarray) -> None:
    examples = Example.from_labelmap(an_image, labels, slices=[4, 0, 4])
    assert [example.index for example in examples] == [4, 0]
    assert not examples[1].mask.any()
    with pytest.raises(ExampleError, match=r"None of the slices \[0, 1\].*painted are 2, 4"):
        Example.from_labelmap(an_image, labels, slices=[0, 1])
    with pytest.raises(ExampleError):
        Example.from_labelmap(an_image, labels, slices=[])


def test_given_names_replace_those_of_the_labelmap(an_image: Volume, labels: np.ndarray) -> None:
    labelmap = an_image.with_array(labels, names={1: "liver", 3: "spleen"})
    assert Example.from_labelmap(an_image, labelmap, names={3: "left kidney"})[0].names == {
        1: "liver",
        3: "left kidney",
    }
    with pytest.raises(ExampleError, match="whole numbers"):
        Example.from_labelmap(an_image, labelmap, names={"1": "liver"})  # type: ignore[dict-item]


def test_bools_and_whole_floats_are_labels(an_image: Volume, labels: np.ndarray) -> None:
    assert check_examples(Example.from_labelmap(an_image, labels > 0)) == [1]
    assert check_examples(Example.from_labelmap(an_image, labels.astype(float))) == [1, 3]
    assert check_examples([Example(an_image, 0, 2, labels[2] * 10922.0 + (labels[2] > 0) * 2)]) == [10924]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -1, 2**15 + 1])
def test_other_values_are_no_labels(an_image: Volume, labels: np.ndarray, value: float) -> None:
    wrong = labels.astype(np.float64)
    wrong[0, 0, 0] = value
    with pytest.raises(ExampleError, match="it holds"):
        Example.from_labelmap(an_image, wrong)
    with pytest.raises(ExampleError, match="holds no labels"):
        Example(an_image, 0, 0, wrong[0])


@pytest.mark.parametrize("index", [-1, 6, 100])
def test_a_slice_outside_the_volume_is_refused(an_image: Volume, labels: np.ndarray, index: int) -> None:
    with pytest.raises(ExampleError, match="expected 0 to 5"):
        Example.from_labelmap(an_image, labels, slices=[2, index])
    with pytest.raises(ExampleError, match="expected 0 to 5"):
        Example(an_image, 0, index, labels[0])


def test_wrong_axes_indices_and_shapes_are_refused(an_image: Volume, labels: np.ndarray) -> None:
    for axis in (3, -1, "k", 0.0):
        with pytest.raises(ExampleError, match="axis"):
            Example.from_labelmap(an_image, labels, axis=axis)  # type: ignore[arg-type]
    with pytest.raises(ExampleError, match="whole number"):
        Example.from_labelmap(an_image, labels, slices=[2.5])  # type: ignore[list-item]
    with pytest.raises(ExampleError, match="expected a list"):
        Example.from_labelmap(an_image, labels, slices=2)  # type: ignore[arg-type]
    with pytest.raises(ExampleError, match=r"shape \(8, 7\), expected that of the slice, \(7, 8\)"):
        Example(an_image, 0, 2, labels[2].T)
    with pytest.raises(ExampleError, match="expected a Volume"):
        Example(an_image.array, 0, 2, labels[2])  # type: ignore[arg-type]


def test_a_labelmap_on_another_grid_is_refused(an_image: Volume, labels: np.ndarray) -> None:
    with pytest.raises(GeometryError, match=r"shape \(5, 7, 8\)"):
        Example.from_labelmap(an_image, labels[1:])
    with pytest.raises(GeometryError, match="different grids: spacing"):
        Example.from_labelmap(an_image, Volume.from_array(labels, spacing=(1, 1, 2)))


def test_an_empty_labelmap_is_refused(an_image: Volume) -> None:
    with pytest.raises(ExampleError, match="all background"):
        Example.from_labelmap(an_image, np.zeros(an_image.shape, np.uint8))


def test_an_image_with_nan_is_refused(an_image: Volume, labels: np.ndarray) -> None:
    array = an_image.array.copy()
    array[2, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="NaN"):
        Example.from_labelmap(Volume.from_array(array), labels, slices=[4])
    with pytest.raises(VolumeError, match="Slice 2 along k"):
        Example(Volume.from_array(array), 0, 2, labels[2])


def test_a_mask_is_a_copy(an_image: Volume, labels: np.ndarray) -> None:
    mask = labels[2].astype(np.int32)
    example = Example(an_image, 0, 2, mask)
    mask[:] = 0
    assert example.mask.any()


def test_examples_must_exist_and_hold_a_label(an_image: Volume, labels: np.ndarray) -> None:
    with pytest.raises(ExampleError, match="no examples"):
        check_examples([])
    with pytest.raises(ExampleError, match="all masks are empty"):
        check_examples([Example(an_image, 0, 0, labels[0]), Example(an_image, 0, 1, labels[1])])
    with pytest.raises(ExampleError, match="expected Example"):
        check_examples([labels])  # type: ignore[list-item]


def test_examples_must_agree_on_names(an_image: Volume, labels: np.ndarray) -> None:
    liver = Example(an_image, 0, 2, labels[2], {1: "liver"})
    assert check_examples([liver, Example(an_image, 0, 4, labels[4])]) == [1, 3]
    with pytest.raises(ExampleError, match="'liver' in one example and 'spleen'"):
        check_examples([liver, Example(an_image, 0, 4, labels[4], {1: "spleen"})])


def test_one_slice_can_not_be_painted_in_two_ways(an_image: Volume, labels: np.ndarray) -> None:
    painted = Example(an_image, 0, 2, labels[2])
    assert check_examples([painted, Example(an_image, 0, 2, labels[2])]) == [1]
    with pytest.raises(ExampleError, match="given twice with different masks"):
        check_examples([painted, Example(an_image, 0, 2, labels[3])])


def test_what_is_complete_and_which_label_is_background_go_to_every_slice(an_image: Volume, labels: np.ndarray) -> None:
    plain = Example.from_labelmap(an_image, labels)
    assert [(e.complete, e.background) for e in plain] == [(None, None)] * 2
    told = Example.from_labelmap(an_image, labels, complete=[1, 1], background=3)
    assert [(e.complete, e.background) for e in told] == [({1}, 3)] * 2
    assert [e.values for e in told] == [[1], []]
    assert check_examples(told) == [1]
    assert Example.from_labelmap(an_image, labels, complete="all")[0].complete == "all"
    with pytest.raises(ExampleError, match="No example has a label"):
        check_examples(told[1:])
