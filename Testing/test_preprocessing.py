"""What the network sees of a volume: frames, turned slices, bodies, intensity scales."""

from __future__ import annotations

import numpy as np
import pytest

from FewShotSegLib import Volume
from FewShotSegLib.preprocessing.frame import body_bounds, frame_around, is_whole
from FewShotSegLib.preprocessing.intensity import in_hounsfield_units
from FewShotSegLib.preprocessing.views import SliceView, matching_axis, turn_between


def a_disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


@pytest.mark.parametrize("spacing", [(0.4, 0.4), (1.5, 1.5), (3.0, 0.8)])
def test_frames_have_isotropic_pixels_and_sides_the_network_takes(spacing: tuple[float, float]) -> None:
    frame = frame_around((10, 60, 20, 90), spacing)
    assert frame.height % 32 == frame.width % 32 == 0
    assert max(frame.height, frame.width) <= 256
    assert frame.rows * spacing[0] / frame.height == pytest.approx(frame.columns * spacing[1] / frame.width, rel=0.1)
    assert frame.top <= 10 + 2
    assert frame.top + frame.rows >= 60 - 2


@pytest.mark.parametrize("place", [(40, 30), (6, 72)])
def test_what_is_cut_from_a_frame_and_pasted_back_lies_where_it_was(place: tuple[int, int]) -> None:
    row, column = place
    plane = a_disc(80, row, column, 12).astype(np.float32)
    frame = frame_around((row - 20, row + 20, column - 20, column + 20), (1.0, 1.0))
    there, (rows, columns) = frame.paste(frame.cut(plane[None]), (80, 80))
    back = np.zeros_like(plane)
    back[rows, columns] = there[0]
    assert there.shape[1:] == back[rows, columns].shape
    assert ((back > 0.5) != (plane > 0.5)).sum() < 0.02 * plane.sum()


def test_slices_of_a_turned_copy_are_laid_as_the_originals() -> None:
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    original = Volume.from_array(array)
    mirrored = Volume.from_array(array[:, ::-1, :].copy(), direction=(1, 0, 0, 0, -1, 0, 0, 0, 1))
    turned = Volume.from_array(array.transpose(0, 2, 1).copy(), direction=(0, 1, 0, 1, 0, 0, 0, 0, 1))
    view = SliceView(original, 0)
    for other in (mirrored, turned):
        source = SliceView(other, matching_axis(other, view))
        turn = turn_between(source, view)
        assert (turn(source.array[2]) == view.array[2]).all()


def test_bodies_are_found_and_known_to_be_whole_or_cut() -> None:
    stack = np.full((3, 64, 64), -1000, np.int16)
    stack[:, a_disc(64, 32, 30, 20)] = 40
    bounds = body_bounds(stack)
    assert bounds == pytest.approx((13, 52, 11, 50), abs=2)
    assert is_whole(bounds, (64, 64))
    assert not is_whole((0, 64, 0, 64), (64, 64))


def test_hounsfield_units_are_told_from_other_scales() -> None:
    assert in_hounsfield_units(np.array([-1024, 40, 900]))
    assert not in_hounsfield_units(np.array([0, 255]))
    assert not in_hounsfield_units(np.array([-32768, 40]))
