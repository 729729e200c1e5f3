"""A session: examples come, change and go, and every prediction is that of a fresh start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_memory import kept_bytes
from two_balls import BRIGHT, DARK, NAMES, dice, painted, two_balls

from FewShotSegLib import Cancelled, ExampleError, Segmenter, Volume
from FewShotSegLib.quality import QUALITIES
from FewShotSegLib.result import Result
from FewShotSegLib.session import Session

Near = tuple[list[int], np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def scan() -> tuple[Volume, Volume]:
    return two_balls((14, 34, 32))


def started(segmenter: Segmenter, scan: tuple[Volume, Volume], *slices: int) -> Session:
    session = segmenter.session(scan[0])
    for index in slices:
        session.add(painted(*scan, index))
    return session


def assert_same(one: Result, other: Result) -> None:
    """Labels differ in less than a thousandth of the structures' voxels."""
    a, b = one.labelmap.array, other.labelmap.array
    assert (a != b).sum() <= 0.001 * (b > 0).sum()
    assert one.notes == other.notes


# Examples come and go


def test_examples_are_known_by_their_keys(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    session = segmenter.session(scan[0])
    first, second, third = (painted(*scan, z) for z in (4, 6, 8))
    keys = [session.add(e) for e in (first, second)]
    assert len(set(keys)) == 2
    assert session.add(third, keys[0]) == keys[0]
    assert session.examples == {keys[0]: third, keys[1]: second}
    session.remove(keys[0])
    assert session.examples == {keys[1]: second}
    assert session.add(first) not in keys  # a key never stands for two examples
    session.examples.clear()
    assert len(session.examples) == 2


def test_what_is_no_example_and_keys_that_stand_for_none_are_refused(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = segmenter.session(scan[0])
    with pytest.raises(ExampleError, match="a ndarray, expected Example"):
        session.add(scan[1].array[4])
    with pytest.raises(ExampleError, match="no example with the key 7; there are none"):
        session.remove(7)
    key = session.add(painted(*scan, 4))
    with pytest.raises(ExampleError, match=f"no example with the key 'a'; there are {key}"):
        session.add(painted(*scan, 6), "a")  # type: ignore[arg-type]
    assert list(session.examples) == [key]


def test_a_session_without_examples_says_so_and_goes_on(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    session = segmenter.session(scan[0])
    with pytest.raises(ExampleError, match="no examples"):
        session.predict()
    session.add(painted(*scan, 6))
    assert session.predict().labelmap.array[6].any()


def test_examples_that_contradict_each_other_are_refused_until_one_is_gone(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 6)
    before = session.predict()
    key = session.add(painted(*scan, 6, values=[DARK]))
    with pytest.raises(ExampleError, match="given twice"):
        session.predict()
    session.remove(key)
    assert_same(session.predict(), before)


Change = tuple[str, int, int, frozenset[int]]


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(("add", "add", "replace", "remove")),
            st.integers(4, 9),
            st.sampled_from((0, 0, 0, 2)),
            st.sampled_from((frozenset(NAMES), frozenset(NAMES), frozenset([BRIGHT]))),
        ),
        min_size=3,
        max_size=7,
    ),
    quality=st.sampled_from((QUALITIES[0], *QUALITIES)),
)
def test_after_any_changes_a_prediction_is_that_of_a_fresh_run(
    segmenter: Segmenter, scan: tuple[Volume, Volume], changes: list[Change], quality: str
) -> None:
    session = started(segmenter, scan, 5)
    for number, (change, index, axis, values) in enumerate(changes):
        index = index if axis == 0 else 2 * index + 2
        places = {(e.axis, e.index): key for key, e in session.examples.items()}
        key = places.get((axis, index))
        example = painted(*scan, index, values=values, axis=axis)
        if change == "remove" and len(places) > 1:
            session.remove(list(session.examples)[index % len(places)])
        elif key is not None:
            session.add(example, key)
        elif change == "replace":
            session.add(example, list(session.examples)[index % len(places)])
        else:
            session.add(example)
        # not always: several changes may come at once, and other predictions in between
        if number % 2:
            session.predict(quality=QUALITIES[0])
    if any(e.values for e in session.examples.values()):
        fresh = segmenter.segment(scan[0], list(session.examples.values()), quality=quality)
        assert_same(session.predict(quality=quality), fresh)


def test_other_volumes_examples_may_come_later_than_the_querys(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 5, 8)
    alone = session.predict()
    key = session.add(painted(*two_balls((12, 32, 32), seed=1), 5))
    together = session.predict()
    assert_same(together, segmenter.segment(scan[0], list(session.examples.values())))
    session.remove(key)
    assert_same(session.predict(), alone)


# Memory


def test_memory_does_not_grow_however_often_examples_change(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    session = started(segmenter, scan, 4)
    key = session.add(painted(*scan, 8))
    sizes = []
    for index in 4 * (6, 7, 8):
        session.add(painted(*scan, index), key)
        session.predict(near=lambda *_: None)
        sizes.append(kept_bytes(session))
    assert max(sizes[3:]) <= max(sizes[:3])


# Cancelling


class Stop:
    """Progress that cancels at one of its calls, counted from 0."""

    def __init__(self, call: int | None = None) -> None:
        self._call, self.calls = call, 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.calls == self._call:
            raise Cancelled("enough")
        self.calls += 1


@pytest.mark.parametrize("quality", QUALITIES)
def test_cancelling_at_any_moment_leaves_a_session_as_good_as_new(
    segmenter: Segmenter, scan: tuple[Volume, Volume], quality: str
) -> None:
    examples = [painted(*scan, 4, values=[BRIGHT]), painted(*scan, 9), painted(*scan, 12, axis=2)]
    counted = Stop()
    fresh = segmenter.segment(scan[0], examples, counted, quality=quality)
    parts = (0.0, 0.2, 0.4, 0.6, 0.8) if quality == QUALITIES[0] else (0.3, 0.7)
    session = segmenter.session(scan[0])
    session.add(examples[0])
    session.predict()
    for example in examples[1:]:
        session.add(example)
    for part in parts:
        with pytest.raises(Cancelled, match="enough"):
            session.predict(Stop(int(part * (counted.calls - 1))), quality)
    assert list(session.examples.values()) == examples
    assert_same(session.predict(quality=quality), fresh)


def test_what_changed_before_a_cancelled_prediction_is_still_new_for_the_next(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 4, 9)
    session.predict()
    session.add(painted(*scan, 6))
    with pytest.raises(Cancelled):
        session.predict(Stop(5))
    assert [slices for slices, _, _ in noted(session)] == [[4, 5, 6, 7, 8, 9]]


# Slices near what changed


def noted(session: Session, quality: str = QUALITIES[0]) -> list[Near]:
    calls: list[Near] = []
    session.predict(near=lambda *call: calls.append(call), quality=quality)
    return calls


def test_the_gap_that_a_new_slice_splits_is_shown_first(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    image, labels = scan
    session = started(segmenter, scan, 3, 9)
    assert noted(session) == []  # everything is new
    session.add(painted(*scan, 6))
    order: list[str] = []
    calls: list[Near] = []

    def near(*call: list[int] | np.ndarray) -> None:
        order.append("near")
        calls.append(call)  # type: ignore[arg-type]

    result = session.predict(lambda stage, done, total: order.append(stage), near=near)
    ((slices, found, confidence),) = calls
    assert order.index("near") < order.index("segmenting")
    assert slices == [3, 4, 5, 6, 7, 8, 9]
    assert found.shape == confidence.shape == (7, *image.shape[1:])
    assert set(np.unique(found)) <= {0, *NAMES}
    assert 0 <= confidence.min() <= confidence.max() <= 1
    for place in (3, 6, 9):
        np.testing.assert_array_equal(found[slices.index(place)], labels.array[place])
    for label in NAMES:
        assert dice(found, labels.array[slices], label) > 0.85
        assert dice(found, result.labelmap.array[slices], label) > 0.85


@pytest.mark.parametrize(
    ("index", "how", "expected"),
    [
        (10, {}, [8, 9, 10, 11, 12]),  # beyond the last one
        (2, {}, [0, 1, 2, 3, 4, 5]),  # before the first one
        (6, {"values": [DARK]}, [5, 6, 7, 8]),
        (12, {"axis": 2}, None),  # across the stack: everything may change
    ],
)
def test_which_slices_are_near_a_change(
    segmenter: Segmenter, scan: tuple[Volume, Volume], index: int, how: dict[str, Any], expected: list[int] | None
) -> None:
    session = started(segmenter, scan, 5, 8)
    session.predict()
    session.add(painted(*scan, index, **how))
    assert [slices for slices, _, _ in noted(session)] == ([] if expected is None else [expected])
    assert noted(session) == []  # nothing changed since


def test_nothing_is_near_a_slice_of_another_volume_and_a_copy_of_the_query_is_none(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    image, labels = scan
    session = started(segmenter, scan, 5, 8)
    session.predict()
    session.add(painted(*two_balls(scan[0].shape, seed=1), 8))
    assert noted(session) == []
    session.add(painted(image.with_array(image.array.copy()), labels, 6))
    assert [slices for slices, _, _ in noted(session)] == [[5, 6, 7, 8]]


def test_what_the_receiver_of_near_slices_raises_stops_the_prediction_and_they_stay_new(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 5, 8)
    session.predict()
    session.add(painted(*scan, 6))

    def stop(*_: object) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        session.predict(near=stop)
    assert [slices for slices, _, _ in noted(session)] == [[5, 6, 7, 8]]


def test_a_replaced_slice_is_a_change_and_a_removed_one_has_nothing_near(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 3, 9)
    key = session.add(painted(*scan, 6, values=[BRIGHT]))
    session.predict()
    session.add(painted(*scan, 6), key)
    ((slices, found, _),) = noted(session)
    assert slices == [3, 4, 5, 6, 7, 8, 9]
    assert (found[slices.index(6)] == DARK).any()
    session.remove(key)
    assert noted(session) == []


def test_a_gap_on_whose_slices_no_segment_is_painted_is_not_shown(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 0, 6)
    session.predict()
    session.add(painted(*scan, 0), next(iter(session.examples)))
    assert [slices[0] for slices, _, _ in noted(session)] == [0]


def test_where_no_slice_of_the_query_shows_a_segment_there_is_no_gap_to_show_and_painting_one_is_suggested(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = segmenter.session(scan[0])
    session.add(painted(*two_balls((12, 32, 32), seed=1), 5))
    session.predict()
    (suggestion,) = session.suggest(count=1)
    assert "is painted on no slice here" in suggestion.reason
    assert scan[1].array[suggestion.index].any()
    session.add(painted(*scan, 0))
    calls: list[Near] = []
    with pytest.raises(Cancelled):  # once nothing was shown
        session.predict(Stop(2), near=lambda *call: calls.append(call))
    assert calls == []


# Suggestions


def test_suggestions_need_a_prediction(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    with pytest.raises(ExampleError, match="call predict first"):
        started(segmenter, scan, 5).suggest()


def test_suggestions_say_what_to_paint_next_and_why(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    session = started(segmenter, scan, 6)
    session.predict()
    suggestions = session.suggest(count=3)
    assert len(suggestions) == 3
    assert len({(s.axis, s.index) for s in suggestions} | {(0, 6)}) == 4
    for suggestion in suggestions:
        assert 0 <= suggestion.index < scan[0].shape[suggestion.axis]
        assert suggestion.segments
        assert set(suggestion.segments) <= set(NAMES)
        assert NAMES[suggestion.segments[0]] in suggestion.reason
        assert 0 < suggestion.gain <= 1
        along = "kji"[suggestion.axis]
        assert str(suggestion) == f"Slice {suggestion.index} along {along}: {suggestion.reason}."
    assert sum(s.gain for s in suggestions) <= 1
    assert session.suggest(count=1) == suggestions[:1]


def test_a_structure_that_is_painted_on_one_slice_is_suggested_at_its_ends(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = started(segmenter, scan, 6)
    session.predict()
    assert "ends of" in session.suggest(count=1)[0].reason


def test_slices_along_the_axis_that_is_painted_along_are_suggested(
    segmenter: Segmenter, scan: tuple[Volume, Volume]
) -> None:
    session = segmenter.session(scan[0])
    session.add(painted(*scan, 12, axis=2))
    session.predict()
    assert 2 in {s.axis for s in session.suggest()}


def test_where_everything_is_painted_nothing_is_suggested(segmenter: Segmenter) -> None:
    small = two_balls((8, 32, 32))
    session = started(segmenter, small, *range(8))
    session.predict()
    assert session.suggest() == []


def test_painting_what_is_suggested_mends_the_result(segmenter: Segmenter, scan: tuple[Volume, Volume]) -> None:
    session = started(segmenter, scan, 4)

    def errors() -> int:
        return int((session.predict().labelmap.array != scan[1].array).sum())

    before = errors()
    for suggestion in session.suggest(count=2):
        session.add(painted(*scan, suggestion.index, axis=suggestion.axis))
    assert errors() < before
