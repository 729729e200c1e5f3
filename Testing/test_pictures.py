"""Pictures of slices show the structure, its outline in its colour, and undistorted."""

from __future__ import annotations

import io

import numpy as np
import pytest

from FewShotSegLib.pictures.png import png_of
from FewShotSegLib.pictures.slice_picture import draw_slice as draw

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def square(size: int, rows: slice, columns: slice, value: int = 1) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    labels[rows, columns] = value
    return labels


def pixels_of(picture: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    return np.all(picture == np.round(np.array(color) * 255), axis=-1)


def test_a_picture_has_the_size_asked_for_whatever_the_slice() -> None:
    for shape, pixel_mm in (
        ((10, 200), (1.0, 1.0)),
        ((200, 10), (1.0, 1.0)),
        ((30, 30), (5.0, 0.5)),
        ((1, 1), (1.0, 1.0)),
    ):
        picture = draw(np.zeros(shape), np.zeros(shape, int), pixel_mm, [], (56, 72))
        assert picture.shape == (56, 72, 3)
        assert picture.dtype == np.uint8


def test_a_segment_is_outlined_in_its_colour_and_its_inside_shows_the_image() -> None:
    labels = square(50, slice(15, 35), slice(15, 35))
    picture = draw(np.full((50, 50), 7.0), labels, (1.0, 1.0), [RED], (100, 100), (0.0, 14.0))
    outlined = pixels_of(picture, RED)
    assert outlined.any()
    rows, columns = np.nonzero(outlined)
    middle = picture[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
    assert tuple(middle) == (128, 128, 128)


def test_each_segment_has_its_own_colour() -> None:
    labels = square(40, slice(5, 15), slice(5, 15)) + square(40, slice(25, 35), slice(25, 35), 2)
    picture = draw(np.zeros((40, 40)), labels, (1.0, 1.0), [RED, BLUE], (80, 80))
    red, blue = np.argwhere(pixels_of(picture, RED)), np.argwhere(pixels_of(picture, BLUE))
    assert red.max(axis=0).tolist() < blue.min(axis=0).tolist()


def test_a_round_structure_stays_round_where_pixels_are_not_square() -> None:
    j, i = np.indices((20, 80))
    disc = ((j - 10) * 4) ** 2 + (i - 40) ** 2 < 24**2
    outlined = pixels_of(draw(np.zeros(disc.shape), disc.astype(int), (4.0, 1.0), [RED], (90, 90)), RED)
    rows, columns = np.nonzero(outlined)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert abs(height - width) <= 0.2 * width


def test_a_small_structure_is_shown_larger_than_in_the_whole_slice() -> None:
    labels = square(500, slice(100, 120), slice(300, 320))
    rows, _columns = np.nonzero(pixels_of(draw(np.zeros((500, 500)), labels, (1.0, 1.0), [RED], (60, 60)), RED))
    assert np.ptp(rows) + 1 >= 2 * 20 * 60 / 500


def test_the_window_of_the_views_is_the_pictures() -> None:
    image = np.array([[-100.0, 0.0], [100.0, np.nan]])
    picture = draw(image, np.zeros((2, 2), int), (1.0, 1.0), [], (2, 2), (-50.0, 50.0))
    assert picture[..., 0].tolist() == [[0, 128], [255, 0]]


def test_nothing_painted_shows_the_whole_slice() -> None:
    image = np.zeros((30, 30))
    image[0, 0] = image[-1, -1] = 100
    picture = draw(image, np.zeros((30, 30), int), (1.0, 1.0), [], (30, 30), (0.0, 100.0))
    assert picture[0, 0, 0] == picture[-1, -1, 0] == 255


def test_a_segment_in_focus_decides_what_is_shown_and_has_the_thicker_outline() -> None:
    labels = square(500, slice(100, 120), slice(300, 320)) + square(500, slice(0, 90), slice(0, 500), 2)
    red = pixels_of(draw(np.zeros((500, 500)), labels, (1.0, 1.0), [RED, BLUE], (60, 60), focus=1), RED)
    alone = pixels_of(draw(np.zeros((500, 500)), labels == 1, (1.0, 1.0), [RED], (60, 60)), RED)
    assert np.ptp(np.nonzero(red)[0]) == np.ptp(np.nonzero(alone)[0])
    assert red.sum() > 1.5 * alone.sum()


def test_a_png_holds_the_picture() -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (17, 31, 3), np.uint8)
    assert np.array_equal(np.asarray(image.open(io.BytesIO(png_of(picture)))), picture)
