"""Structures that a first look is unsure of are looked for once more, as they may look in another patient."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.inference import pipeline
from FewShotSegLib.inference.course import Course
from FewShotSegLib.inference.layers import Layer
from FewShotSegLib.inference.outlook import Outlook
from FewShotSegLib.inference.pipeline import Pipeline
from FewShotSegLib.inference.request import Request, lay_out
from FewShotSegLib.inference.self_painted import sureness
from FewShotSegLib.inference.support import support_slices
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.intensity import Window
from FewShotSegLib.stages import Stage

WINDOW = Window(0.0, 1000.0)


def a_scan(seed: int = 0) -> tuple[Volume, Volume]:
    """Two balls in a dim body; image and labels."""
    z, y, x = np.ogrid[:16, :64, :64]
    first = (z - 8) ** 2 * 4 + (y - 24) ** 2 + (x - 24) ** 2 < 100
    second = (z - 8) ** 2 * 4 + (y - 42) ** 2 + (x - 42) ** 2 < 64
    image = np.where((y - 32) ** 2 + (x - 32) ** 2 + 0 * z < 900, 300, 0)
    image = np.where(first, 600, np.where(second, 900, image))
    image = image + np.random.default_rng(seed).normal(0, 20, image.shape).round()
    labels = np.where(first, 1, np.where(second, 2, 0)).astype(np.uint8)
    spacing = (2.0, 2.0, 4.0)
    return Volume.from_array(image.astype(np.int16), spacing), Volume.from_array(labels, spacing)


def a_request() -> Request:
    other, labels = a_scan(seed=1)
    return lay_out(a_scan()[0], Example.from_labelmap(other, labels, [6, 8]), [1, 2])


def test_varied_segments_are_shown_darker_and_brighter_too() -> None:
    request = a_request()
    frame = Frame(0, 0, 64, 64, 64, 64)
    plain = support_slices(request, frame, WINDOW, [1, 2])
    assert len(plain) == 2
    shown = support_slices(replace(request, varied=frozenset([1])), frame, WINDOW, [1, 2])
    assert len(shown) == 6
    as_painted, darker, brighter = shown[:3]
    assert torch.equal(as_painted.image, plain[0].image)
    assert torch.equal(darker.labels, as_painted.labels)
    assert darker.volume == as_painted.volume
    inside = -torch.nn.functional.max_pool2d(-(as_painted.labels == 1).float()[None], 3, 1, 1)[0] > 0
    assert torch.allclose((darker.image - as_painted.image)[inside], torch.tensor(-0.2), atol=1e-6)
    changed = (brighter.image - as_painted.image).abs() > 1e-6
    assert not changed[as_painted.labels == 2].any()
    assert changed[inside].any()


def test_a_slice_without_a_varied_segment_is_shown_once() -> None:
    request = replace(a_request(), varied=frozenset([2]))
    empty = [replace(f, mask=np.where(f.mask == 2, 0, f.mask)) for f in request.foreign]
    assert len(support_slices(replace(request, foreign=empty), Frame(0, 0, 64, 64, 64, 64), WINDOW, [1, 2])) == 2


def test_sureness_is_the_mean_confidence_in_what_was_found() -> None:
    labels = np.array([[[0, 1, 1, 3]]])
    confidence = np.array([[[0.9, 0.5, 0.75, 0.25]]], np.float16)
    assert sureness(labels, confidence, [1, 2, 3]) == {1: 0.625, 3: 0.25}


def test_of_two_looks_the_surer_one_counts_for_each_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    request, frame = a_request(), Frame(0, 0, 64, 64, 64, 64)
    first = Layer(frame, [1, 2], torch.zeros(2, 16, 32, 32).half())
    second = Layer(frame, [1, 2], torch.ones(2, 16, 32, 32).half())
    labels = np.zeros((16, 64, 64), np.uint8)
    labels[8, :8], labels[8, 8:] = 1, 2
    confidence = np.where(labels == 1, 0.75, 0.5)  # surer of the first segment, not of the second
    asked = []

    def layer(_: Pipeline, request: Request, *rest: object) -> Layer:
        asked.append(request.varied)
        return second

    monkeypatch.setattr(Pipeline, "_layer", layer)
    monkeypatch.setattr(Pipeline, "_seen", lambda *_: (labels, confidence))
    run = Pipeline(None, torch.device("cpu"), Course())  # type: ignore[arg-type]
    run._outlook = Outlook(request, torch.device("cpu"))
    result = run._searched_again(request, first, {1: 0.625, 2: 0.625})
    assert asked == [frozenset([1, 2])]
    assert result.varied == frozenset([1])
    assert (first.logits[0] == 1).all()
    assert (first.logits[1] == 0).all()


@pytest.mark.parametrize("unsure", [0.0, 1.1])
def test_only_what_a_look_is_unsure_of_is_searched_again(monkeypatch: pytest.MonkeyPatch, unsure: float) -> None:
    monkeypatch.setattr(pipeline, "_UNSURE", unsure)
    image, labels = a_scan()
    other, _ = a_scan(seed=1)
    told: list[tuple[str, int, int]] = []
    parts: list[float] = []
    result = Segmenter("cpu").segment(
        image,
        Example.from_labelmap(other, labels, [6, 8]),
        lambda *call: told.append(call),
        overall=parts.append,
        quality="best",
    )
    begun = sum(a[0] != Stage.SEARCHING and b[0] == Stage.SEARCHING for a, b in pairwise(told))
    assert begun == (2 if unsure else 1)
    assert parts[-1] == pytest.approx(1)
    assert all(before <= after for before, after in pairwise(parts))
    found, truth = result.labelmap.array == 1, labels.array == 1
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7
