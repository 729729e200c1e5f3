"""How the protocols ask a method, and how names on the command line are read."""

import argparse

import numpy as np
import pytest

from FewShotSegLib import Example, Volume
from FewShotSegLib.evaluation import comparison, protocols, registry, selection
from FewShotSegLib.evaluation.manifests import Episode, Support
from FewShotSegLib.evaluation.methods import Scope
from FewShotSegLib.evaluation.published import EP1

DEPTH, SUPPORT_DEPTH = 12, 20


class Listener:
    """Answers every voxel of a slice with the number of its first support slice, and keeps what it was given."""

    name = "listener"
    scope: Scope = "both"
    is_network = False

    def __init__(self, takes_parts=True):
        self.takes_parts = takes_parts
        self.calls = []

    def prepare(self):
        pass

    def segment(self, query, examples):
        self.calls.append((query, [example.index for example in examples]))
        return np.full(query.shape, examples[0].index, np.int32), np.full(query.shape, 0.5, np.float32)


@pytest.fixture
def a_query():
    """Its intensities say the slice number; tilted and away from the origin."""
    k = np.broadcast_to(np.arange(DEPTH, dtype=np.int16)[:, None, None], (DEPTH, 4, 5)).copy()
    direction = (1.0, 0.0, 0.0, 0.0, 0.8, -0.6, 0.0, 0.6, 0.8)
    return Volume(k, spacing=(1.0, 1.0, 3.0), origin=(10.0, 20.0, 30.0), direction=direction)


def an_episode(first, last, slices=(3, 10, 16)):
    supports = (Support("other", slices),)
    return Episode("CHAOS_T2", "EP1", "x", "query", supports, (1,), tuple(range(first, last + 1)))


def examples(slices=(3, 10, 16)):
    image = Volume(np.zeros((SUPPORT_DEPTH, 4, 5), np.int16))
    return Example.from_labelmap(image, np.ones((SUPPORT_DEPTH, 4, 5), np.uint8), slices=slices)


@pytest.mark.parametrize(
    ("count", "sizes"), [(9, [3, 3, 3]), (10, [4, 3, 3]), (11, [4, 4, 3]), (2, [1, 1, 0]), (1, [1, 0, 0])]
)
def test_an_extent_is_cut_into_thirds(count, sizes):
    parts = protocols.thirds(range(5, 5 + count))
    assert [len(part) for part in parts] == sizes
    assert [index for part in parts for index in part] == list(range(5, 5 + count))


def test_with_the_hint_every_third_is_segmented_from_its_own_support_slice(a_query):
    listener = Listener()
    labels, confidence = protocols.ask(listener, "EP1", an_episode(2, 10), a_query, examples())
    assert [painted for _, painted in listener.calls] == [[3], [10], [16]]
    assert labels[:, 0, 0].tolist() == [0, 0, 3, 3, 3, 10, 10, 10, 16, 16, 16, 0]
    assert confidence is not None
    assert confidence[:, 0, 0].tolist() == [1, 1, *[0.5] * 9, 1]
    assert [stack.array[:, 0, 0].tolist() for stack, _ in listener.calls] == [[2, 3, 4], [5, 6, 7], [8, 9, 10]]


def test_a_stack_lies_where_its_slices_are_in_the_patient(a_query):
    stack = protocols.stack_of(a_query, 4, 6)
    shift = np.array([0.0, -0.6, 0.8]) * 3.0 * 4
    assert stack.origin == pytest.approx(tuple(np.array([10.0, 20.0, 30.0]) + shift))
    assert stack.spacing == a_query.spacing


@pytest.mark.parametrize(("first", "last"), [(0, 1), (11, 11), (5, 6)])
def test_short_thirds_are_shown_with_neighbours_that_are_not_used(a_query, first, last):
    listener = Listener()
    labels, _ = protocols.ask(listener, "EP1", an_episode(first, last), a_query, examples())
    assert all(stack.shape[0] == 3 for stack, _ in listener.calls)
    expected = [0] * DEPTH
    for index, painted in zip(range(first, last + 1), (3, 10), strict=False):
        expected[index] = painted
    assert labels[:, 0, 0].tolist() == expected


def test_without_the_hint_a_method_gets_the_whole_query_once(a_query):
    listener = Listener()
    protocols.ask(listener, "EP1-blind", an_episode(2, 10), a_query, examples())
    ((query, painted),) = listener.calls
    assert query is a_query
    assert painted == [3, 10, 16]


def test_a_method_that_needs_whole_volumes_gets_them_under_the_hint_too(a_query):
    listener = Listener(takes_parts=False)
    protocols.ask(listener, "EP1", an_episode(2, 10), a_query, examples())
    assert [query is a_query for query, _ in listener.calls] == [True]


def test_names_are_read_in_any_case_and_some_stand_for_several():
    parse = selection.names(protocols.PROTOCOLS, protocols.PROTOCOL_GROUPS)
    assert parse("ep1, EP1-Blind,w-3") == ["EP1", "EP1-blind", "W-3"]
    assert parse("a,A-1") == ["A-1", "A-3", "A-5"]
    with pytest.raises(argparse.ArgumentTypeError, match="unknown EP2"):
        parse("W-3,EP2")
    with pytest.raises(argparse.ArgumentTypeError, match="empty list"):
        parse(" ,")


def test_methods_are_asked_only_where_they_can_answer():
    assert registry.serves("walker", "W-3")
    assert not registry.serves("walker", "A-1")
    assert registry.serves("register", "EP1")
    assert not registry.serves("register", "W-3")
    assert registry.serves("model", "W-3")
    assert registry.serves("model-without-adapt", "A-1")


@pytest.mark.parametrize("part", ["position", "walk"])
def test_what_is_used_only_across_patients_is_not_ablated_within_a_volume(part: str) -> None:
    assert registry.serves(f"model-without-{part}", "A-1")
    assert not registry.serves(f"model-without-{part}", "W-3")
    assert not registry.serves(f"model-without-{part}", "S-3")


def a_record(protocol, method, query, value, dataset="CHAOS_T2"):
    labels = {"1": {"name": "liver", "dice": value, "hd95_mm": 1.0, "mean_distance_mm": 1.0}}
    fixed = {"dataset": dataset, "options": {}, "weights": "", "seconds": 1.0, "confidence": None}
    return fixed | {"protocol": protocol, "method": method, "query": query, "labels": labels, "episode": query}


def test_measured_figures_stand_beside_the_published_ones_of_the_same_set():
    records = [a_record("EP1", "model", "a", 0.75), a_record("EP1", "model", "b", 0.85)]
    section = comparison.published_section(records)
    assert "| **model** | EP1, measured | 80.0 (2) |" in section
    assert "| ALPNet (2020) | S1, published | 78.8 |" in section
    assert "CMR" not in section.splitlines()[-len(EP1)]
    assert comparison.published_section([a_record("W-3", "model", "a", 0.75)]) == ""


def test_the_difference_table_compares_one_method_with_each_other():
    records = [
        a_record("W-3", method, case, value)
        for method, values in (("model", (0.8, 0.9)), ("grow", (0.7, 0.7)))
        for case, value in zip("ab", values, strict=True)
    ]
    section = comparison.difference_section(records, "model")
    assert "| CHAOS_T2 | W-3 | model | grow | 2 | +0.150 | 0.100 to 0.200 | 0.500 |" in section
    assert comparison.difference_section(records, "nearest") == ""


def test_ways_of_painting_are_compared_on_the_labels_that_both_score():
    def record(protocol, query, dice, episode=None):
        labels = {str(value): {"name": "x", "dice": d, "hd95_mm": 10 * d} for value, d in dice.items()}
        return a_record(protocol, "grow", query, 0.0) | {"labels": labels, "episode": episode or query}

    apart = [record("S-3-apart", "a", {value: 0.9}, f"a_label{value}") for value in (1, 2)]
    records = [record("S-3", "a", {1: 0.5, 2: 0.7, 3: 0.0}), record("S-3", "b", {1: 1.0}), *apart]
    section = comparison.painting_section(records)
    assert "| CHAOS_T2 | S-3 | S-3-apart | grow | 1 | -0.300 | – | – | 6.0 | 9.0 |" in section
    assert comparison.painting_section(records[:2]) == ""
    assert set(protocols.PAINTED_OTHERWISE) | set(protocols.PAINTED_OTHERWISE.values()) <= set(protocols.PROTOCOLS)
