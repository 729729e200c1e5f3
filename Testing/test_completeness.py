"""What is not painted on a painted slice: absent, not painted yet, or unknown beside strokes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from two_balls import BRIGHT, DARK, NAMES, dice, painted, two_balls

from FewShotSegLib import Example, ExampleError, Segmenter, Volume
from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.inference.completeness import looks_like_strokes
from FewShotSegLib.inference.query import lay_out
from FewShotSegLib.quality import QUALITIES
from FewShotSegLib.result import Note, Result

BACKGROUND = 9


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def scan() -> tuple[Volume, Volume]:
    """The bright ball is on slices 5 to 12, the dark one on slices 8 to 13."""
    return two_balls((20, 48, 44))


def scores(result: Result, labels: Volume) -> list[float]:
    return [dice(result.labelmap.array, labels.array, label) for label in NAMES]


# Structure by structure


@pytest.mark.parametrize("quality", QUALITIES)
def test_structures_painted_on_slices_of_their_own_are_found_and_noted_on_each_others(
    segmenter: Segmenter, scan: tuple[Volume, Volume], quality: str
) -> None:
    image, labels = scan
    own = {8: BRIGHT, 9: DARK, 10: BRIGHT, 11: DARK}
    result = segmenter.segment(image, [painted(*scan, z, [value]) for z, value in own.items()], quality=quality)
    assert min(scores(result, labels)) > 0.9
    missing = {z: DARK if value == BRIGHT else BRIGHT for z, value in own.items()}
    assert set(result.notes) == {Note(0, z, value, NAMES[value]) for z, value in missing.items()}
    assert str(result.notes[0]) == "Slice 8 along k: dark was found and is not painted there yet."
    for z, value in missing.items():
        assert dice(result.labelmap.array[z], labels.array[z], value) > 0.8
        assert (result.confidence.array[z][result.labelmap.array[z] == own[z]] == 1).all()


def test_said_to_be_complete_the_same_slices_end_what_is_not_on_them(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, _ = scan
    examples = [painted(*scan, z, [v], complete="all") for z, v in ((8, BRIGHT), (9, DARK), (10, BRIGHT), (11, DARK))]
    result = segmenter.segment(image, examples)
    assert result.notes == ()
    for example in examples:
        np.testing.assert_array_equal(result.labelmap.array[example.index], example.mask)


def test_where_all_structures_are_painted_nothing_is_noted_and_what_is_absent_ends(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    asked, told = (
        segmenter.segment(image, [painted(*scan, z, complete=complete) for z in (5, 9, 14)])
        for complete in (None, "all")
    )
    assert asked.notes == told.notes == ()
    for z in (5, 9, 14):
        np.testing.assert_array_equal(asked.labelmap.array[z], labels.array[z])
        assert (asked.confidence.array[z] == 1).all()
    np.testing.assert_array_equal(asked.labelmap.array, told.labelmap.array)


def test_a_set_says_which_structures_are_complete_and_of_the_others_nothing_is_known_or_noted(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    part = painted(*scan, 9, [BRIGHT], complete={BRIGHT})
    result = segmenter.segment(image, [part, painted(*scan, 11, complete="all")])
    assert result.notes == ()
    found = result.labelmap.array[9]
    np.testing.assert_array_equal(found == BRIGHT, part.mask == BRIGHT)
    assert dice(found, labels.array[9], DARK) > 0.7


def test_a_structure_that_is_said_to_be_complete_and_is_not_painted_is_not_there(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    result = segmenter.segment(image, [painted(*scan, 9, [BRIGHT], complete={DARK}), painted(*scan, 11)])
    assert not (result.labelmap.array[9] == DARK).any()
    half = labels.array[9] * (np.arange(44) < 14)  # half of the bright ball, not said to be all of it
    examples = [Example(image, 0, 9, half, complete=set()), painted(*scan, 11)]
    found = segmenter.segment(image, examples).labelmap.array[9]
    assert (found[half > 0] == half[half > 0]).all()
    assert dice(found, labels.array[9], BRIGHT) > 0.8


def test_a_mapping_says_it_of_some_structures_and_leaves_the_others_to_the_engine(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    others = [painted(*scan, z) for z in (8, 12)]

    def segmented(complete: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        result = segmenter.segment(image, [painted(*scan, 10, [BRIGHT], complete=complete), *others])
        return result.labelmap.array[10], tuple(note.value for note in result.notes)

    asked, absent, unknown = (segmented(complete) for complete in (None, {DARK: True}, {DARK: False}))
    assert asked[1] in ((), (DARK,))
    assert absent[1] == unknown[1] == (), "nothing is noted of what somebody said"
    assert not (absent[0] == DARK).any()
    assert dice(unknown[0], labels.array[10], DARK) > 0.7
    np.testing.assert_array_equal(segmented({BRIGHT: True})[0], asked[0])
    np.testing.assert_array_equal(segmented({BRIGHT: True, DARK: True})[0], segmented("all")[0])
    np.testing.assert_array_equal(segmented({BRIGHT: True, DARK: False})[0], segmented({BRIGHT})[0])
    np.testing.assert_array_equal(segmented({})[0], asked[0])


def test_in_a_real_scan_structure_by_structure_is_about_as_good_as_all_at_once(
    segmenter: Segmenter, sample_scan: SampleScan
) -> None:
    part = (slice(56, 112, 2), slice(0, None, 2), slice(0, None, 2))
    image = Volume.from_array(sample_scan.image.array[part], [2 * s for s in sample_scan.image.spacing])
    names = {v: n for v, n in sample_scan.labels.names.items() if n in ("liver", "spleen", "right kidney")}
    labels = np.where(np.isin(sample_scan.labels.array[part], list(names)), sample_scan.labels.array[part], 0)
    whole = image.with_array(labels, names=names)

    def score(examples: list[Example]) -> tuple[float, Result]:
        result = segmenter.segment(image, examples)
        return float(np.mean([dice(result.labelmap.array, labels, v) for v in names])), result

    together, result = score(Example.from_labelmap(image, whole, [9, 14, 20]))
    assert not result.notes
    places = [(z + n, value) for z in (9, 14, 20) for n, value in enumerate(names)]
    apart, result = score([painted(image, whole, z, [value]) for z, value in places if (labels[z] == value).any()])
    assert together > 0.9
    assert apart > 0.85
    right = [bool((labels[note.index] == note.value).any()) for note in result.notes]
    assert len(right) > 8
    assert np.mean(right) > 0.8


# Wrong words


@pytest.mark.parametrize(
    ("complete", "message"),
    [
        ("some", "'some', expected 'all', a set"),
        (1, "1, expected 'all', a set"),
        ({"liver"}, "'liver', expected a whole number"),
        ({1.5}, r"1\.5, expected a whole number"),
        ({-1}, "hold the value -1, expected label values from 1"),
        ({0, 1}, "hold the value 0.*an empty set stands for strokes"),
        ({40000}, "hold the value 40000"),
        ({BRIGHT: 1, DARK: 2}, "expected True"),
        ({0: True}, "hold the value 0"),
    ],
)
def test_wrong_words_for_what_is_complete_are_refused(scan: tuple[Volume, Volume], complete: Any, message: str) -> None:
    with pytest.raises(ExampleError, match=message):
        painted(*scan, 9, complete=complete)


@pytest.mark.parametrize("background", [0, -3, 2.5, "air", 40000])
def test_wrong_labels_of_background_are_refused(scan: tuple[Volume, Volume], background: Any) -> None:
    with pytest.raises(ExampleError, match="background label"):
        painted(*scan, 9, background=background)


def test_completeness_may_be_named_in_any_collection(scan: tuple[Volume, Volume]) -> None:
    for complete in ([BRIGHT, DARK], (BRIGHT, DARK, DARK), np.array([BRIGHT, DARK]), {BRIGHT, DARK}):
        assert painted(*scan, 9, complete=complete).complete == {BRIGHT, DARK}
    assert painted(*scan, 9, complete=[]).complete == frozenset()


def test_background_is_no_structure(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    image, labels = scan
    mask = labels.array[9].astype(np.int32)
    mask[2:5, 4:40] = BACKGROUND
    example = Example(image, 0, 9, mask, names=NAMES | {BACKGROUND: "nothing"}, background=BACKGROUND)
    assert example.values == [BRIGHT, DARK]
    result = segmenter.segment(image, [example, painted(*scan, 11)])
    assert result.labelmap.names == NAMES
    assert not (result.labelmap.array == BACKGROUND).any()
    assert not result.labelmap.array[9][mask == BACKGROUND].any()
    only = Example(image, 0, 9, np.where(mask == BACKGROUND, mask, 0), background=BACKGROUND)
    with pytest.raises(ExampleError, match="No example has a label"):
        segmenter.segment(image, [only])


# Slices across the stack


@pytest.fixture(scope="module")
def tube() -> tuple[Volume, Volume]:
    """A tube through all slices, of which slices 7 to 15 are the structure: no image tells where it ends."""
    k, j, i = np.indices((24, 36, 36))
    inside = (j - 18) ** 2 + (i - 18) ** 2 <= 49
    labels = np.where(inside & (k >= 7) & (k <= 15), BRIGHT, 0).astype(np.uint8)
    image = np.where(inside, 180, 100) + np.random.default_rng(0).normal(0, 6, labels.shape)
    image[:, :2], image[:, -2:], image[..., :2], image[..., -2:] = 0, 0, 0, 0
    volume = Volume.from_array(image.astype(np.float32), (1.5, 1.5, 3.0))
    return volume, volume.with_array(labels)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("index", [9, 11])
def test_a_slice_across_the_stack_ends_a_structure_where_it_shows(
    segmenter: Segmenter, tube: tuple[Volume, Volume], axis: int, index: int
) -> None:
    image, labels = tube
    alone = segmenter.segment(image, [painted(*tube, index)])
    across = segmenter.segment(image, [painted(*tube, index), painted(*tube, 18, axis=axis)])
    slices = np.flatnonzero(across.labelmap.array.any(axis=(1, 2)))
    assert abs(slices[0] - 7) <= 1
    assert abs(slices[-1] - 15) <= 1
    assert dice(across.labelmap.array, labels.array, BRIGHT) > 0.88
    assert dice(alone.labelmap.array, labels.array, BRIGHT) < 0.7


def test_a_slice_across_the_stack_tells_how_complete_the_others_are(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    # The slice along i shows the dark ball where the one along k does not have it: it isn't painted there yet.
    examples = [painted(*scan, 10, [BRIGHT]), painted(*scan, 9), painted(*scan, 29, [DARK], axis=2)]
    found = segmenter.segment(image, examples).labelmap.array
    assert (labels.array[10, :, 29] == DARK).any()
    np.testing.assert_array_equal(found[..., 29] == DARK, labels.array[..., 29] == DARK)
    assert dice(found[10], labels.array[10], DARK) > 0.8
    assert (found[10] == BRIGHT)[labels.array[10] == BRIGHT].all()


def test_structures_that_only_slices_across_the_stack_show_are_found(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    examples = [painted(*scan, z, [BRIGHT]) for z in (8, 10)] + [painted(*scan, 29, [DARK], axis=2)]
    result = segmenter.segment(image, examples)
    np.testing.assert_array_equal(result.labelmap.array[..., 29] == DARK, labels.array[..., 29] == DARK)
    assert min(scores(result, labels)) > 0.6


# Strokes


def lines(scan: tuple[Volume, Volume], index: int, **how: Any) -> Example:
    """A slice with a line, 3 pixels wide, in each structure; and in the background if that has a label."""
    mask = scan[1].array[index]
    strokes = np.zeros(mask.shape, np.int32)
    for value in NAMES:
        rows, columns = np.nonzero(mask == value)
        if len(rows):
            middle = int(np.median(rows))
            strokes[middle - 1 : middle + 2, columns.min() + 3 : columns.max() - 2] = value
    if how.get("background"):
        around = binary_dilation(mask > 0, iterations=8)
        strokes[around & ~binary_dilation(mask > 0, iterations=5)] = how["background"]
    assert (mask[np.isin(strokes, list(NAMES))] == strokes[np.isin(strokes, list(NAMES))]).all()
    return Example(scan[0], 0, index, strokes, names=NAMES, **how)


@pytest.fixture(scope="module")
def large_scan() -> tuple[Volume, Volume]:
    return two_balls((16, 96, 88), (0.75, 0.75, 3.5))


@pytest.mark.parametrize(
    "how", [{"complete": set(), "background": BACKGROUND}, {"complete": set()}, {"background": BACKGROUND}, {}]
)
def test_strokes_come_out_as_areas(
    segmenter: Segmenter, large_scan: tuple[Volume, Volume], how: dict[str, Any]
) -> None:
    image, labels = large_scan
    examples = [lines(large_scan, z, **how) for z in (7, 9)]
    result = segmenter.segment(image, examples)
    assert min(scores(result, labels)) > 0.85
    for example in examples:
        found = result.labelmap.array[example.index]
        for label in NAMES:
            assert (example.mask == label).sum() < 0.3 * (labels.array[example.index] == label).sum()
            assert dice(found, labels.array[example.index], label) > 0.85
            assert (found[example.mask == label] == label).all()
        assert not found[example.mask == BACKGROUND].any()


def test_strokes_beside_areas_are_strokes_still(segmenter: Segmenter, large_scan: tuple[Volume, Volume]) -> None:
    image, labels = large_scan
    stroke = lines(large_scan, 9)
    found = segmenter.segment(image, [painted(*large_scan, 6), stroke]).labelmap.array
    np.testing.assert_array_equal(found[6], labels.array[6])
    assert min(dice(found[9], labels.array[9], label) for label in NAMES) > 0.85


def test_strokes_are_told_from_areas_by_their_shape_and_what_lies_beside_them(
    large_scan: tuple[Volume, Volume], sample_scan: SampleScan
) -> None:
    def looks(*examples: Example) -> list[bool]:
        values = sorted({v for e in examples for v in e.values})
        return [looks_like_strokes(s) for s in lay_out(examples[0].image, examples, values).own]

    assert looks(lines(large_scan, 7), lines(large_scan, 9)) == [True, True]
    assert looks(painted(*large_scan, 7), painted(*large_scan, 9, [])) == [False, False]
    # A vessel that lies along the slice is as thin as a stroke, but has edges.
    rows, columns = np.indices((96, 88))
    vessel = (abs(rows - columns - 3 * np.sin(columns / 9)) < 2) & (columns > 10) & (columns < 75)
    image = large_scan[0].with_array(np.where(vessel, 300, large_scan[0].array).astype(np.float32))
    assert looks(Example(image, 0, 7, vessel)) == [False]
    # Few thin areas of a real scan are mistaken.
    areas = Example.from_labelmap(sample_scan.image, sample_scan.labels, range(0, 112, 2))
    alone = [
        Example(e.image, 0, e.index, np.where(e.mask == value, value, 0)) for e in areas[::2] for value in e.values
    ]
    mistaken = [looks(e)[0] for e in alone if e.values]
    assert np.mean(mistaken) < 0.03


def test_areas_of_thick_voxels_are_no_strokes_and_lines_of_them_are() -> None:
    rng = np.random.default_rng(3)
    image = Volume.from_array(rng.normal(100, 20, (12, 80, 90)).astype(np.float32), spacing=(1.0, 1.0, 8.0))

    def looks(mask: np.ndarray) -> bool:
        return looks_like_strokes(lay_out(image, [Example(image, 1, 40, mask)], [1]).own[0])

    area, row, column = (np.zeros((12, 90), np.uint8) for _ in range(3))
    area[4:8, 20:60] = 1  # 32 x 40 mm, but four voxels thick
    row[5, 20:60] = 1
    column[1:11, 30:33] = 1
    assert [looks(area), looks(row), looks(column)] == [False, True, True]
