"""Whatever is painted, of whichever volume and along whichever axis: what is known comes back as it was painted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_balls import BRIGHT, DARK, NAMES, dice, painted, two_balls

from FewShotSegLib import Example, ExampleError, Segmenter, Volume
from FewShotSegLib.quality import QUALITIES
from FewShotSegLib.stages import Stage

BACKGROUND = 9
KINDS = ("own", "other", "empty", "crossing", "strokes")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def scan() -> tuple[Volume, Volume]:
    return two_balls((12, 34, 32))


@pytest.fixture(scope="module")
def other_scan() -> tuple[Volume, Volume]:
    return two_balls((14, 32, 36), (1.4, 1.4, 2.5), seed=1)


def stroked(image: Volume, labels: Volume, axis: int, index: int) -> Example:
    """A slice with a line through each structure and one of background."""
    mask = labels.array.take(index, axis)
    strokes = np.zeros(mask.shape, np.int32)
    for value in NAMES:
        rows = np.flatnonzero((mask == value).any(axis=1))
        if len(rows):
            middle = rows[len(rows) // 2]
            strokes[middle] = np.where(mask[middle] == value, value, strokes[middle])
    strokes[1, 2:-2] = BACKGROUND
    return Example(image, axis, index, strokes, names=NAMES, complete=set(), background=BACKGROUND)


def slices_of(labels: Volume, axis: int) -> list[int]:
    """Four slices that show a structure, the outer ones both structures where there are such."""
    shown = [z for z, plane in enumerate(np.moveaxis(labels.array, axis, 0)) if plane.any()]
    return [shown[int(part * (len(shown) - 1))] for part in (0.35, 0.5, 0.65, 0.8)]


@settings(max_examples=14, deadline=None, derandomize=True)
@given(
    kinds=st.sets(st.sampled_from(KINDS), min_size=1).filter(lambda kinds: not kinds <= {"empty", "other"}),
    axis=st.sampled_from((0, 1, 2)),
    quality=st.sampled_from(QUALITIES),
    complete=st.sampled_from(("all", None)),
)
def test_any_examples_give_labels_on_the_querys_grid_and_what_is_painted_comes_back(
    segmenter: Segmenter,
    scan: tuple[Volume, Volume],
    other_scan: tuple[Volume, Volume],
    kinds: set[str],
    axis: int,
    quality: str,
    complete: str | None,
) -> None:
    image, labels = scan
    first, second, third, last = slices_of(labels, axis)
    of_query: list[Example] = []
    if "own" in kinds:
        of_query += [painted(image, labels, z, axis=axis, complete=complete) for z in (first, last)]
    if "empty" in kinds:
        of_query.append(painted(image, labels, 0, axis=axis, complete=complete))
    if "crossing" in kinds:
        across = (axis + 1) % 3
        of_query.append(painted(image, labels, slices_of(labels, across)[1], axis=across, complete=complete))
    if "strokes" in kinds:
        of_query += [stroked(image, labels, axis, z) for z in (second, third)]
    examples = list(of_query)
    if "other" in kinds:
        examples += [painted(*other_scan, z, axis=axis) for z in slices_of(other_scan[1], axis)[:2]]

    result = segmenter.segment(image, examples, quality=quality)

    found, confidence = result.labelmap.array, result.confidence.array
    assert found.shape == image.shape
    assert set(np.unique(found)) <= {0, *NAMES}
    assert np.isfinite(confidence).all()
    for example in of_query:
        plane, sureness = (np.take(array, example.index, example.axis) for array in (found, confidence))
        here = example.mask > 0
        np.testing.assert_array_equal(plane[here], np.where(example.mask == BACKGROUND, 0, example.mask)[here])
        assert (sureness[here] == 1).all()
        if example.complete == "all":
            np.testing.assert_array_equal(plane, example.mask)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    places=st.lists(st.tuples(st.sampled_from((0, 1, 2)), st.integers(8, 16)), min_size=2, max_size=4, unique=True),
    said=st.lists(st.sampled_from(("all", None, frozenset({BRIGHT}), frozenset())), min_size=4, max_size=4),
)
def test_slices_that_cross_anywhere_each_come_back_as_painted(
    segmenter: Segmenter, places: list[tuple[int, int]], said: list[str | frozenset[int] | None]
) -> None:
    image, labels = two_balls((24, 26, 25), (1.5, 1.5, 1.5))
    examples = [
        painted(image, labels, index, axis=axis, complete=complete)
        for (axis, index), complete in zip(places, said, strict=False)
    ]
    found = segmenter.segment(image, examples).labelmap.array
    for example in examples:
        plane = found.take(example.index, example.axis)
        np.testing.assert_array_equal(plane[example.mask > 0], example.mask[example.mask > 0])
        for value in NAMES if example.complete == "all" else example.complete or ():
            np.testing.assert_array_equal(plane == value, example.mask == value)


def test_slices_without_any_segment_are_no_examples(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    with pytest.raises(ExampleError, match="all masks are empty"):
        segmenter.segment(scan[0], [painted(*scan, 0), painted(*scan, 1)])


@pytest.mark.parametrize(("axis", "quality"), [(0, "best"), (1, "fast"), (2, "fast")])
def test_empty_slices_of_the_query_beside_another_volumes_keep_what_is_said_of_them(
    segmenter: Segmenter, scan: tuple[Volume, Volume], other_scan: tuple[Volume, Volume], axis: int, quality: str
) -> None:
    image, labels = scan
    negative, unknown, stroke = slices_of(labels, axis)[:3]
    nothing = image.with_array(np.zeros(image.shape, np.uint8))
    empty = [
        painted(image, labels, negative, [], axis),
        painted(image, labels, unknown, [], axis, complete=set()),
        stroked(image, nothing, axis, stroke),
    ]
    shown = [painted(*other_scan, z, axis=axis) for z in slices_of(other_scan[1], axis)]
    found = np.moveaxis(segmenter.segment(image, [*empty, *shown], quality=quality).labelmap.array, axis, 0)
    assert not found[negative].any()
    assert found[unknown].any()
    assert found[stroke].any()


def test_empty_slices_with_all_segments_on_one_across_them_are_no_error(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    across = slices_of(labels, 2)[1]
    examples = [painted(image, labels, z, complete="all") for z in (0, 11)] + [painted(image, labels, across, axis=2)]
    found = segmenter.segment(image, examples).labelmap.array
    np.testing.assert_array_equal(found[..., across], labels.array[..., across])
    assert not found[[0, 11]].any()
    assert dice(found, labels.array, BRIGHT) > 0.7


def test_a_copy_of_the_query_is_the_query_in_every_respect(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    image, labels = scan
    copy = image.with_array(image.array.copy())
    places = [(0, 4), (0, 7), (2, 11)]
    direct, by_copies = (
        segmenter.segment(image, [painted(v, labels, z, axis=a) for v, (a, z) in zip(volumes, places, strict=True)])
        for volumes in ([image] * 3, [copy, image, copy])
    )
    np.testing.assert_array_equal(direct.labelmap.array, by_copies.labelmap.array)
    np.testing.assert_array_equal(direct.confidence.array, by_copies.confidence.array)


def test_a_slice_painted_in_two_ways_through_two_copies_of_a_volume_is_refused(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    copy = image.with_array(image.array.copy())
    twice = [painted(image, labels, 5), painted(copy, labels, 5, values=[DARK])]
    with pytest.raises(ExampleError, match=r"lice 5 along k of .* is given twice with different masks"):
        segmenter.segment(image, twice)
    query = image.with_array(image.array + 1)
    with pytest.raises(ExampleError, match="given twice"):
        segmenter.segment(query, twice)
    once, again = (
        segmenter.segment(image, [painted(v, labels, 5) for v in volumes]).labelmap.array
        for volumes in ([image], [image, copy])
    )
    np.testing.assert_array_equal(once, again)


# Contradictions


def test_slices_that_contradict_each_other_where_they_cross_are_refused_with_place_and_labels(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    mask = labels.array[..., 11].copy()
    mask[mask == BRIGHT] = DARK
    wrong = Example(image, 2, 11, mask, names=NAMES)
    row = int(np.flatnonzero(labels.array[5, :, 11])[0])
    message = f"slice 11 along i .*slice 5 along k .*j = {row}: 'dark' on the former, 'bright' on the latter"
    with pytest.raises(ExampleError, match=message):
        segmenter.segment(image, [painted(image, labels, 5), painted(image, labels, 7), wrong])


@pytest.mark.parametrize("said", ["all", {BRIGHT}])
def test_a_complete_slice_contradicts_one_that_shows_more(
    segmenter: Segmenter, scan: tuple[Volume, Volume], said: str | set[int]
) -> None:
    image, labels = scan
    lacking = painted(image, labels, 5, values=[DARK], complete=said)
    across = painted(image, labels, 11, axis=2)
    with pytest.raises(ExampleError, match=r"'bright' on the .*, nothing on the |nothing on the .*, 'bright' on the"):
        segmenter.segment(image, [lacking, painted(image, labels, 7), across])
    open_ = painted(image, labels, 5, values=[DARK], complete={DARK})
    found = segmenter.segment(image, [open_, painted(image, labels, 7), across]).labelmap.array
    np.testing.assert_array_equal(found[5] == DARK, labels.array[5] == DARK)
    assert dice(found[5], labels.array[5], BRIGHT) > 0.8


def test_slices_of_another_volume_must_not_contradict_each_other_either(
    segmenter: Segmenter, scan: tuple[Volume, Volume], other_scan: tuple[Volume, Volume]
) -> None:
    other, labels = other_scan
    swapped = labels.with_array(np.where(labels.array == BRIGHT, DARK, 0))
    column = int(np.flatnonzero((labels.array[7] == BRIGHT).any(axis=0))[0])
    with pytest.raises(ExampleError, match="contradict each other"):
        segmenter.segment(scan[0], [painted(other, labels, 7), painted(other, swapped, column, axis=2)])


def test_everything_that_is_wrong_is_told_before_any_work(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    image, labels = scan
    stages: list[str] = []
    with pytest.raises(ExampleError):
        segmenter.segment(
            image,
            [painted(image, labels, 5, values=[DARK], complete="all"), painted(image, labels, 11, axis=2)],
            lambda stage, done, total: stages.append(stage),
        )
    assert set(stages) <= {Stage.PREPARING}
