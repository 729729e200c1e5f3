"""Features of query slices are computed once, within a limit of memory, and never mixed up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from FewShotSegLib.evidence import Motion
from FewShotSegLib.inference import feature_store
from FewShotSegLib.inference.feature_store import FeatureStore
from FewShotSegLib.network.encoding_decoding import Features

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
    store, encoder = FeatureStore(), AnEncoder()
    store.begin(a_stack())
    first = store.features("look", [0, 1, 2], encoder)
    again = store.features("look", [2, 3, 0], encoder)
    assert encoder.encoded == [0, 1, 2, 3]
    assert torch.equal(again.high[0], first.high[2])
    assert torch.equal(again.high[2], first.high[0])


def test_another_look_at_a_slice_has_its_own_features() -> None:
    store, encoder = FeatureStore(), AnEncoder()
    store.begin(a_stack())
    store.features("look", [0], encoder)
    store.features("other look", [0], encoder)
    assert encoder.encoded == [0, 0]


def test_the_next_run_on_the_same_query_needs_no_encoding_and_another_query_does() -> None:
    store, encoder = FeatureStore(), AnEncoder()
    store.begin(a_stack())
    store.features("look", [0, 1], encoder)
    store.begin(a_stack().copy())
    store.features("look", [0, 1], encoder)
    assert encoder.encoded == [0, 1]
    store.begin(a_stack(seed=1))
    store.features("look", [0, 1], encoder)
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
    store, measure = FeatureStore(), AMeasurement(160)
    store.begin(a_stack())
    first = store.motion("look", measure)
    assert store.motion("look", measure) is first
    store.motion("other look", measure)
    store.begin(a_stack())
    assert store.motion("look", measure) is first
    assert measure.count == 2
    store.begin(a_stack(seed=1))
    store.motion("look", measure)
    assert measure.count == 3


def test_motion_takes_a_quarter_of_the_room_at_most_and_gives_it_back() -> None:
    store, encoder = FeatureStore(limit=4 * A_SLICE), AnEncoder()
    small, large = AMeasurement(A_SLICE), AMeasurement(A_SLICE + 16)
    store.begin(a_stack())
    for _ in range(2):
        store.motion("look", small)
        store.motion("tall look", large)
    assert (small.count, large.count) == (1, 2)
    for _ in range(2):
        store.features("look", [0, 1, 2], encoder)
    assert encoder.encoded == [0, 1, 2]
    for _ in range(2):
        store.features("other look", [0, 1, 2, 3], encoder)
    assert encoder.encoded == [0, 1, 2, 0, 1, 2, 3]
    store.motion("look", small)
    assert small.count == 2


def test_what_does_not_fit_is_encoded_again_and_is_the_same() -> None:
    roomy, tight = FeatureStore(), FeatureStore(limit=2 * A_SLICE)
    for store in (roomy, tight):
        store.begin(a_stack())
    encoder = AnEncoder()
    for _ in range(2):
        kept, new = roomy.features("look", [0, 1, 2], AnEncoder()), tight.features("look", [0, 1, 2], encoder)
        assert torch.equal(kept.mid, new.mid)
    assert encoder.encoded == [0, 1, 2, 2]


def test_room_is_made_by_forgetting_looks_of_earlier_runs_first() -> None:
    store, encoder = FeatureStore(limit=2 * A_SLICE), AnEncoder()
    store.begin(a_stack())
    store.features("first look", [0], encoder)
    store.features("second look", [1], encoder)
    store.begin(a_stack())
    store.features("first look", [0], encoder)
    store.features("third look", [2], encoder)  # takes the place of the second look's, which this run has not used
    store.features("first look", [0], encoder)
    assert encoder.encoded == [0, 1, 2]
    store.features("second look", [1], encoder)
    assert encoder.encoded == [0, 1, 2, 1]


def test_a_look_takes_the_place_of_the_one_before_and_the_first_stays_for_the_next_run() -> None:
    store, encoder = FeatureStore(limit=2 * A_SLICE), AnEncoder()
    store.begin(a_stack())
    for look in ("first look", "second look", "third look"):
        for _ in range(2):  # as a pass over all slices for their context, and one that decodes them
            store.features(look, [0], encoder)
    assert encoder.encoded == [0, 0, 0]
    store.begin(a_stack())
    store.features("first look", [0], encoder)
    assert encoder.encoded == [0, 0, 0]


def test_a_look_at_more_slices_than_fit_keeps_those_that_do() -> None:
    store, encoder = FeatureStore(limit=2 * A_SLICE), AnEncoder()
    store.begin(a_stack())
    for _ in range(2):
        for z in range(4):
            store.features("look", [z], encoder)
    assert encoder.encoded == [0, 1, 2, 3, 2, 3]


def test_a_small_volume_leaves_room_for_more_slices_than_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "_LEAST", A_SLICE)
    monkeypatch.setattr(feature_store, "_MOST", 5 * A_SLICE)
    monkeypatch.setattr(feature_store, "_LESS_FOR_A_VOXEL", A_SLICE / 10)

    def kept(voxels: int) -> int:
        store, encoder = FeatureStore(), AnEncoder()
        store.begin(np.zeros((1, 1, voxels), np.int16))
        for z in (*range(6), *range(6)):
            store.features("look", [z], encoder)
        return 12 - len(encoder.encoded)

    assert [kept(voxels) for voxels in (10, 20, 30, 1000)] == [4, 3, 2, 1]


def test_making_room_for_one_slice_loses_none_of_those_asked_for_with_it() -> None:
    store, encoder = FeatureStore(limit=2 * A_SLICE), AnEncoder()
    store.begin(a_stack())
    store.features("look", [1, 2], encoder)
    store.begin(a_stack())
    both = store.features("look", [0, 1], encoder)
    assert encoder.encoded == [1, 2, 0]
    assert both.mid[:, 0, 0, 0].round().tolist() == [0, 1]
