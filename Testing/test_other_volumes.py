"""Other patients' scans: what is found of them is kept, and those that are like the query serve."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import numpy as np
from two_balls import painted, two_balls

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.kept import KeptByVolume

SHAPE = (10, 40, 36)


@dataclass
class Sized:
    """Something that tells its size."""

    nbytes: int


def a_volume() -> Volume:
    return Volume.from_array(np.zeros((2, 2, 2), np.float32))


def of_patient(seed: int, invert: bool = False) -> list[Example]:
    """A painted slice of a patient; of an inverted one bright is dark, as in another contrast."""
    image, labels = two_balls(SHAPE, seed=seed)
    if invert:
        image = image.with_array(200 - image.array)
    return [painted(image, labels, 5, complete="all")]


def test_what_is_kept_is_found_once_and_goes_with_its_volume() -> None:
    kept, volume, calls = KeptByVolume(), a_volume(), []

    def find() -> Sized:
        calls.append(1)
        return Sized(10)

    assert kept.get(volume, "a", find) is kept.get(volume, "a", find)
    assert kept.get(volume, "b", find) is not kept.get(a_volume(), "a", find)
    assert len(calls) == 3
    del volume
    gc.collect()
    assert kept.nbytes == 0


def test_where_there_is_no_room_what_was_not_asked_for_longest_goes_first() -> None:
    kept, volume = KeptByVolume(limit=25), a_volume()
    first, second = (kept.get(volume, name, lambda: Sized(10)) for name in "ab")
    assert kept.get(volume, "a", lambda: Sized(10)) is first
    kept.get(volume, "c", lambda: Sized(10))
    assert kept.nbytes == 20
    assert kept.get(volume, "a", lambda: Sized(10)) is first
    assert kept.get(volume, "b", lambda: Sized(10)) is not second
    large = kept.get(volume, "large", lambda: Sized(100))
    assert large.nbytes == 100, "what is too large is found, and goes with the next"


def test_a_segmenter_that_has_served_others_gives_what_a_fresh_one_gives() -> None:
    examples = [*of_patient(1), *of_patient(2)]
    query = two_balls(SHAPE, seed=8)[0]
    used = Segmenter(device="cpu")
    used.segment(two_balls(SHAPE, seed=7)[0], examples)
    again, fresh = used.segment(query, examples), Segmenter(device="cpu").segment(query, examples)
    np.testing.assert_array_equal(again.labelmap.array, fresh.labelmap.array)
    np.testing.assert_array_equal(again.confidence.array, fresh.confidence.array)


def test_scans_of_the_same_contrast_are_likest() -> None:
    session = Segmenter(device="cpu").session(two_balls(SHAPE, seed=8)[0])
    noise = np.random.default_rng(0).normal(100, 30, SHAPE).astype(np.float32)
    image, labels = two_balls(SHAPE, seed=3)
    for example in (*of_patient(1), painted(image.with_array(noise), labels, 5), *of_patient(2, invert=True)):
        session.add(example)
    found = session.likeness()
    assert found[0][0].array[0, 5, 5] == of_patient(1)[0].image.array[0, 5, 5]
    values = [value for _, value in found]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[1] < values[0] - 0.1


def test_of_more_volumes_than_can_serve_the_likest_do() -> None:
    segmenter, query = Segmenter(device="cpu"), two_balls(SHAPE, seed=8)[0]
    good = [e for seed in range(1, 6) for e in of_patient(seed)]
    odd = of_patient(11, invert=True)
    mixed = segmenter.segment(query, [*odd, *good])
    alone = segmenter.segment(query, good)
    np.testing.assert_array_equal(mixed.labelmap.array, alone.labelmap.array)


def test_several_slices_of_a_patient_are_adapted_to_alike_for_every_query() -> None:
    """The head is adapted to the examples as they lie: it is the same for a query that lies another way."""
    image, labels = two_balls(SHAPE, seed=1)
    examples = [painted(image, labels, index, complete="all") for index in (4, 6)]
    segmenter = Segmenter(device="cpu")
    query, truth = two_balls(SHAPE, seed=8)
    flipped = Volume(query.array[::-1], query.spacing, query.origin, query.direction)
    one = segmenter.segment(query, examples).labelmap.array
    other = segmenter.segment(flipped, examples).labelmap.array[::-1]
    for found in (one, other):
        assert (found == truth.array).mean() > 0.97
