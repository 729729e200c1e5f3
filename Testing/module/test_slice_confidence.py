"""How sure a result is on each slice, and the strip that shows it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_volume, box

LIVER, SPLEEN = box(slice(2, 6), slice(4, 14), slice(4, 14)), box(slice(4, 8), slice(16, 20), slice(2, 8))
INK, PAPER = (10, 20, 30), (240, 240, 240)


def of_each(slicer: Any, sureness: np.ndarray, masks: dict[str, np.ndarray]) -> Any:
    from FewShotSegModule.scene.slice_confidence import SliceConfidence

    volume = add_volume(slicer)
    found = SliceConfidence(volume, add_segmentation(slicer, volume, masks), add_volume(slicer, "sure", sureness))
    for _slice in found.steps():
        pass
    return found


def test_it_is_the_mean_over_what_is_shown_along_each_axis(slicer: Any) -> None:
    sureness = np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)
    found = of_each(slicer, sureness, {"liver": LIVER, "spleen": SPLEEN})
    for axis in range(3):
        for name, mask in (("liver", LIVER), ("spleen", SPLEEN), (None, LIVER | SPLEEN)):
            expected = np.full(SHAPE[axis], np.nan)
            for index, (plane, on) in enumerate(
                zip(np.moveaxis(sureness, axis, 0), np.moveaxis(mask, axis, 0), strict=True)
            ):
                if on.any():
                    expected[index] = plane[on].mean()
            np.testing.assert_allclose(found.of(axis, name), expected, rtol=1e-5)


def test_no_step_takes_long_in_a_large_volume(slicer: Any) -> None:
    from FewShotSegModule.scene.slice_confidence import SliceConfidence

    shape = (200, 512, 512)
    volume = add_volume(slicer, "large", np.zeros(shape, np.uint8))
    confidence = add_volume(slicer, "sure", np.ones(shape, np.uint8))
    mask = np.zeros(shape, bool)
    mask[40:160, 100:350, 100:350] = True
    steps, times = SliceConfidence(volume, add_segmentation(slicer, volume, {"a": mask}), confidence).steps(), []
    while True:
        start = time.perf_counter()
        if next(steps, 0) == 0:
            break
        times.append(time.perf_counter() - start)
    assert len(times) == shape[0]
    assert np.median(times) < 0.02


def test_a_confidence_of_another_shape_tells_nothing(slicer: Any) -> None:
    found = of_each(slicer, np.ones((2, 3, 4), np.float32), {"liver": LIVER})
    assert np.isnan(found.of(0)).all()


def strip(confidence: Any, painted: Any = (), current: int | None = None, width: int = 40) -> np.ndarray:
    from FewShotSegModule.panel.strip_picture import drawStrip

    return drawStrip(np.array(confidence, float), painted, current, (20, width), INK, PAPER)


def test_colours_go_from_unsure_to_sure_and_nothing_is_faint(slicer: Any) -> None:
    from FewShotSegModule.scene.confidence import colorsOf

    picture = strip([0.0, 0.5, 1.0, np.nan])
    assert picture.shape == (20, 40, 3)
    for place, value in enumerate((0.0, 0.5, 1.0)):
        np.testing.assert_allclose(picture[5, 10 * place + 5], 255 * colorsOf(np.array(value)), atol=0.6)
    assert colorsOf(np.array(0.0))[0] > colorsOf(np.array(0.0))[1], "red"
    assert colorsOf(np.array(1.0))[1] > colorsOf(np.array(1.0))[0], "green"
    assert set(picture[5, 35].tolist()) <= set(range(200, 240))
    assert (picture[19] == PAPER).all()


def test_of_many_slices_in_a_pixel_the_least_sure_is_seen(slicer: Any) -> None:
    sure, unsure = strip([0.9] * 400), strip([0.9] * 201 + [0.1] + [0.9] * 198)
    different = (sure != unsure).any(axis=(0, 2))
    assert np.flatnonzero(different).tolist() == [20]


def test_painted_slices_and_the_current_one_are_marked(slicer: Any) -> None:
    picture = strip([0.9] * 4, painted={1}, current=3)
    assert np.flatnonzero((picture[18] == INK).all(axis=1)).tolist() == [14, 15, 16]
    assert np.flatnonzero((picture[5] == INK).all(axis=1)).tolist() == [34, 35, 36]
    assert (picture[5, 33] == PAPER).all(), "an edge, so that it is seen on any colour"
    assert (strip([], width=0).shape) == (20, 0, 3)


@pytest.mark.parametrize(("x", "place"), [(-3, 0), (0, 0), (10, 1), (39, 3), (99, 3)])
def test_a_click_means_the_slice_that_is_drawn_there(slicer: Any, x: int, place: int) -> None:
    from FewShotSegModule.panel.strip_picture import sliceAt

    assert sliceAt(x, 40, 4) == place
