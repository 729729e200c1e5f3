"""Features of query slices are computed once, within a limit of memory, and never mixed up."""

from __future__ import annotations

import numpy as np
import torch
from kept_memory import kept_bytes

from FewShotSegLib.inference.encodings import Encodings
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.preprocessing.intensity import Window
from FewShotSegLib.priors import Motion

A_SLICE = 5 * 2 * 4 * 4 * 2
"""Bytes of a slice's features, as the encoder below gives them: five maps of two channels, in half precision."""


class AnEncoder:
    """Stands for the network: features that tell their slice, and a record of what was encoded."""

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def __call__(self, slices: list[int]) -> Features:
        self.encoded += slices
        x = torch.tensor(slices, dtype=torch.float32)[:, None, None, None].expand(-1, 2, 4, 4) + 1 / 3
        return Features(x, x + 1, x + 2, x + 3, x + 4)


def a_stack(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, (6, 8, 8))


def test_a_slice_is_encoded_once_however_often_it_is_looked_at() -> None:
    encodings, encoder = Encodings(), AnEncoder()
    encodings.begin(a_stack())
    first = encodings.features("look", [0, 1, 2], encoder)
    again = encodings.features("look", [2, 3, 0], encoder)
    assert encoder.encoded == [0, 1, 2, 3]
    assert torch.equal(again.high[0], first.high[2])
    assert torch.equal(again.high[2], first.high[0])


def test_another_look_at_a_slice_has_its_own_features() -> None:
    encodings, encoder = Encodings(), AnEncoder()
    encodings.begin(a_stack())
    encodings.features("look", [0], encoder)
    encodings.features("other look", [0], encoder)
    assert encoder.encoded == [0, 0]


def test_the_next_run_on_the_same_query_needs_no_encoding_and_another_query_does() -> None:
    encodings, encoder = Encodings(), AnEncoder()
    encodings.begin(a_stack())
    encodings.features("look", [0, 1], encoder)
    encodings.begin(a_stack().copy())
    encodings.features("look", [0, 1], encoder)
    assert encoder.encoded == [0, 1]
    encodings.begin(a_stack(seed=1))
    encodings.features("look", [0, 1], encoder)
    assert encoder.encoded == [0, 1, 0, 1]


class AMeasurement:
    """Stands for the optical flow: how often it was measured, and so many bytes of it."""

    def __init__(self, size: int) -> None:
        self.count, self._size = 0, size

    def __call__(self) -> Motion:
        self.count += 1
        flow = torch.zeros(1, 2, 1, self._size // 8, dtype=torch.float16)
        return Motion(flow, flow.clone())


def test_motion_is_measured_once_for_a_look_and_anew_for_another_query() -> None:
    encodings, measure = Encodings(), AMeasurement(160)
    encodings.begin(a_stack())
    first = encodings.motion("look", measure)
    assert encodings.motion("look", measure) is first
    encodings.motion("other look", measure)
    encodings.begin(a_stack())
    assert encodings.motion("look", measure) is first
    assert measure.count == 2
    encodings.begin(a_stack(seed=1))
    encodings.motion("look", measure)
    assert measure.count == 3


def test_motion_takes_a_quarter_of_the_room_at_most_and_gives_it_back() -> None:
    encodings, encoder = Encodings(limit=4 * A_SLICE), AnEncoder()
    small, large = AMeasurement(A_SLICE), AMeasurement(A_SLICE + 16)
    encodings.begin(a_stack())
    for _ in range(2):
        encodings.motion("look", small)
        encodings.motion("tall look", large)
    assert (small.count, large.count) == (1, 2)
    for _ in range(2):
        encodings.features("look", [0, 1, 2], encoder)
    assert encoder.encoded == [0, 1, 2]
    for _ in range(2):
        encodings.features("other look", [0, 1, 2, 3], encoder)
    assert encoder.encoded == [0, 1, 2, 0, 1, 2, 3]
    encodings.motion("look", small)
    assert small.count == 2


def test_what_does_not_fit_is_encoded_again_and_is_the_same() -> None:
    roomy, tight = Encodings(), Encodings(limit=2 * A_SLICE)
    for encodings in (roomy, tight):
        encodings.begin(a_stack())
    encoder = AnEncoder()
    for _ in range(2):
        kept, new = roomy.features("look", [0, 1, 2], AnEncoder()), tight.features("look", [0, 1, 2], encoder)
        assert torch.equal(kept.mid, new.mid)
    assert encoder.encoded == [0, 1, 2, 2]


def test_room_is_made_by_forgetting_looks_of_earlier_runs_first() -> None:
    encodings, encoder = Encodings(limit=2 * A_SLICE), AnEncoder()
    encodings.begin(a_stack())
    encodings.features("first look", [0], encoder)
    encodings.features("second look", [1], encoder)
    encodings.begin(a_stack())
    encodings.features("first look", [0], encoder)
    encodings.features("third look", [2], encoder)  # takes the place of the second look's, which this run has not used
    encodings.features("first look", [0], encoder)
    assert encoder.encoded == [0, 1, 2]
    encodings.features("second look", [1], encoder)
    assert encoder.encoded == [0, 1, 2, 1]


def test_a_look_takes_the_place_of_the_one_before_and_the_first_stays_for_the_next_run() -> None:
    encodings, encoder = Encodings(limit=2 * A_SLICE), AnEncoder()
    encodings.begin(a_stack())
    for look in ("first look", "second look", "third look"):
        for _ in range(2):  # as a pass over all slices for their context, and one that decodes them
            encodings.features(look, [0], encoder)
    assert encoder.encoded == [0, 0, 0]
    encodings.begin(a_stack())
    encodings.features("first look", [0], encoder)
    assert encoder.encoded == [0, 0, 0]


def test_a_look_at_more_slices_than_fit_keeps_those_that_do() -> None:
    encodings, encoder = Encodings(limit=2 * A_SLICE), AnEncoder()
    encodings.begin(a_stack())
    for _ in range(2):
        for z in range(4):
            encodings.features("look", [z], encoder)
    assert encoder.encoded == [0, 1, 2, 3, 2, 3]


def test_a_small_volume_leaves_room_for_more_slices_than_a_large_one() -> None:
    size = 6 * 2**20  # bytes of a slice's features

    def encode(slices: list[int]) -> Features:
        encoded.extend(slices)
        large, small = torch.zeros(len(slices), 1, 1, size // 2 - 4), torch.zeros(len(slices), 1, 1, 1)
        return Features(large, small, small, small, small)

    kept = []
    for side in (10, 250, 600):
        encodings, encoded = Encodings(), list[int]()
        encodings.begin(np.zeros((200, side, side), np.int8))
        for z in (*range(60), *range(60)):
            encodings.features("look", [z], encode)
        kept.append(120 - len(encoded))
    assert kept[0] > kept[1] > kept[2] > 0
    assert kept[0] * size < 400 * 2**20


def test_windows_are_measured_once_for_a_frame_and_anew_for_another_query() -> None:
    encodings, measured = Encodings(), list[int]()

    def measure() -> Window:
        measured.append(1)
        return Window(0.0, 1.0)

    for seed, times in ((0, 1), (0, 1), (1, 2)):
        encodings.begin(a_stack(seed))
        assert encodings.window("frame", measure) == encodings.window("frame", measure)
        assert len(measured) == times
    encodings.window("other frame", measure)
    assert len(measured) == 3


def test_however_many_runs_there_are_the_memory_stays_within_the_limit() -> None:
    encodings, stack = Encodings(limit=3 * A_SLICE), a_stack()
    for run in range(20):
        encodings.begin(stack)
        for look in (f"frame {run}", f"closer frame {run}"):
            encodings.features(look, list(range(6)), AnEncoder())
    assert kept_bytes(encodings) <= 3 * A_SLICE + stack.nbytes


def test_making_room_for_one_slice_loses_none_of_those_asked_for_with_it() -> None:
    encodings, encoder = Encodings(limit=2 * A_SLICE), AnEncoder()
    encodings.begin(a_stack())
    encodings.features("look", [1, 2], encoder)
    encodings.begin(a_stack())
    both = encodings.features("look", [0, 1], encoder)
    assert encoder.encoded == [1, 2, 0]
    assert both.mid[:, 0, 0, 0].round().tolist() == [0, 1]
