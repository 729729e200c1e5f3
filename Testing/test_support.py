"""Painted slices of other volumes, as the network is shown them."""

from __future__ import annotations

import numpy as np
import torch

from FewShotSegLib import Example, Volume
from FewShotSegLib.inference.query import Query, lay_out
from FewShotSegLib.inference.support import choose_support, support_images
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.intensity import Window

SIDE = 32


def a_volume(seed: int = 0) -> Volume:
    return Volume.from_array(np.random.default_rng(seed).normal(100, 10, (60, SIDE, SIDE)).astype(np.float32))


def a_mask(area: int, label: int = 1) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.int32)
    mask[8 : 8 + area, 8:16] = label
    return mask


def asked(examples: list[Example]) -> Query:
    return lay_out(a_volume(seed=9), examples, sorted({v for e in examples for v in e.values}))


def test_many_examples_are_thinned_without_losing_a_segment_or_a_volume() -> None:
    volumes = [a_volume(seed) for seed in range(4)]
    examples = [Example(volumes[i % 4], 0, i, a_mask(1 + i % 5)) for i in range(60)]
    both = examples[37].mask.copy()
    both[30, 30] = 2
    examples[37] = Example(volumes[1], 0, 37, both)
    foreign = asked(examples).foreign
    chosen = choose_support(foreign, [1, 2])
    assert len(chosen) <= 27
    assert any(2 in s.segments for s in chosen)
    assert {id(s.view.volume) for s in chosen} == {id(v) for v in volumes}
    assert choose_support(foreign[:5], [1, 2]) == foreign[:5]


def test_of_a_slice_that_does_not_show_everything_whole_only_what_is_painted_is_shown_as_known() -> None:
    volume = a_volume()
    frame = Frame(0, 0, SIDE, SIDE, SIDE, SIDE)

    def shown(complete: set[int] | None) -> torch.Tensor:
        examples = [Example(volume, 0, 10, a_mask(9, 1), complete=complete), Example(volume, 0, 20, a_mask(9, 2))]
        (first, _) = support_images(asked(examples), frame, Window(0, 200), [1, 2])
        return first.labels

    assert set(shown({1, 2}).unique().tolist()) == {0, 1}
    assert set(shown({1}).unique().tolist()) == {-1, 1}
    assert set(shown(set()).unique().tolist()) == {-1, 1}
    assert set(shown(None).unique().tolist()) == {0, 1}


def test_slices_of_one_volume_go_together_however_often_it_was_read() -> None:
    volume = a_volume()
    copy = volume.with_array(volume.array.copy())
    other = a_volume(seed=1)
    examples = [Example(v, 0, 10 + n, a_mask(9)) for n, v in enumerate((volume, copy, other))]
    images = support_images(asked(examples), Frame(0, 0, SIDE, SIDE, SIDE, SIDE), Window(0, 200), [1])
    assert images[0].volume == images[1].volume != images[2].volume
