"""Where structures end beyond the outermost painted slices."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib import Volume
from FewShotSegLib.inference.extent import extent_penalty
from FewShotSegLib.inference.labelled_slices import LabelledSlices, reach_of
from FewShotSegLib.preprocessing.views import SliceView
from FewShotSegLib.priors import Knowledge


def a_view(count: int, gap: float = 2.0) -> SliceView:
    return SliceView(Volume.from_array(np.zeros((count, 30, 30), np.int16), spacing=(1.0, 1.0, gap)), 0)


def painted_on(
    positions: list[int], reach: float | None = None, ends: tuple[float, float] = (np.nan, np.nan)
) -> LabelledSlices:
    known = Knowledge.everything(len(positions), 1, reach)
    known.ends[0] = ends
    return LabelledSlices(positions, np.ones((len(positions), 30, 30), np.int32), known)


def lost(labelled: LabelledSlices, count: int, by_user: bool = True) -> np.ndarray:
    return np.asarray(extent_penalty(labelled, [1], a_view(count), by_user)[0])


def test_less_is_believed_beyond_the_painted_slices_and_the_sooner_the_fewer_slices_a_gap_has() -> None:
    short, tall = lost(painted_on([3, 7], 2.0), 11), lost(painted_on([30, 70], 20.0), 110)
    assert not short[3:8].any()
    assert not tall[30:71].any()
    assert short[2] > tall[29] > 0
    assert short[8] < short[9] < short[10]
    np.testing.assert_array_equal(short[:3][::-1], short[8:])
    by_passes = lost(painted_on([3, 7], 2.0), 11, by_user=False)
    assert by_passes[2] == 0 < by_passes[1] < short[1]


def test_where_nothing_tells_how_far_a_structure_goes_on_nothing_is_lost() -> None:
    assert not lost(painted_on([3, 7]), 11).any()


def test_where_a_slice_across_the_stack_shows_the_end_the_structure_ends_there() -> None:
    known = lost(painted_on([5], ends=(np.nan, 11.0)), 14)
    assert not known[:9].any()  # half-way to 11, where it is absent
    assert (np.diff(known[8:]) > 0).all()


def test_slices_that_do_not_show_a_segment_whole_do_not_count() -> None:
    labelled = painted_on([3, 7], 2.0)
    labelled.known.complete[:] = False
    assert not lost(labelled, 11).any()


@pytest.mark.parametrize(
    ("positions", "gap", "expected"), [([1, 5, 9], 5.0, 2.0), ([4, 5, 6], 1.0, None), ([5], 5.0, None)]
)
def test_slices_spread_over_the_structures_say_where_these_end_but_a_cluster_does_not(
    positions: list[int], gap: float, expected: float | None
) -> None:
    labels = np.zeros((len(positions), 30, 30), np.int32)
    labels[:, 5:25, 5:25] = 1
    complete = np.ones((len(positions), 2), bool)
    complete[:, 1] = False  # the second segment is whole nowhere
    reach = reach_of(positions, labels, complete, a_view(12, gap))
    np.testing.assert_equal(reach, [np.nan if expected is None else expected, np.nan])
