"""The random walk that fits what was found by other volumes' examples to the query's own intensities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.segmentation import random_walker as solved_by_scikit_image

from FewShotSegLib import Volume
from FewShotSegLib.errors import Cancelled
from FewShotSegLib.inference import random_walk
from FewShotSegLib.inference.random_walk import RandomWalk, intensity_log_odds, random_walker
from FewShotSegLib.preprocessing.views import SliceView

SHAPE = (9, 40, 40)
SPACING = (2.0, 2.0, 4.0)


def a_ball(radius: float = 24.0, center: tuple[float, float, float] = (16.0, 40.0, 40.0)) -> np.ndarray:
    """Mask (Z, rows, columns) of a ball in mm."""
    places = np.indices(SHAPE).astype(float) * np.array(SPACING[::-1])[:, None, None, None]
    return ((places - np.array(center)[:, None, None, None]) ** 2).sum(axis=0) < radius**2


def an_image(mask: np.ndarray) -> Volume:
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    return Volume((100 + 80 * mask + noise).astype(np.float32), spacing=SPACING)


def probabilities(mask: np.ndarray, inside: float = 0.9) -> torch.Tensor:
    """(Z, 2, rows, columns): `inside` in the mask, 0.01 outside of it."""
    own = torch.from_numpy(np.where(mask, inside, 0.01)).float()
    return torch.stack([1 - own, own], dim=1)


def relabelled(
    image: Volume, probability: torch.Tensor, axis: int = 0, values: list[int] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels before, labels after, confidence after."""
    values = values or [5]
    walk = RandomWalk(SliceView(image, axis), len(values))
    for z, here in enumerate(probability):
        walk.note(z, here)
    before = np.array([0, *values], np.uint8)[probability.argmax(dim=1).numpy()]
    labels, confidence = before.copy(), probability.amax(dim=1).numpy().copy()
    walk.relabel(labels, confidence, values)
    return before, labels, confidence


def dice(found: np.ndarray, expected: np.ndarray) -> float:
    return float(2 * (found & expected).sum() / (found.sum() + expected.sum()))


def test_a_straight_cut_through_a_ball_of_one_brightness_is_mended() -> None:
    ball = a_ball()
    cut = ball.copy()
    cut[:, :, 25:] = False
    own = torch.from_numpy(np.where(cut, 0.9, np.where(ball, 0.3, 0.01))).float()
    before, labels, confidence = relabelled(an_image(ball), torch.stack([1 - own, own], dim=1))
    assert dice(before == 5, ball) < 0.9
    assert dice(labels == 5, ball) > 0.98
    changed = before != labels
    assert np.all((confidence[changed] >= 0.5) & (confidence[changed] < 0.8))
    assert np.array_equal(confidence[~changed], np.where(cut, 0.9, np.where(ball, 0.7, 0.99))[~changed].astype("f4"))


def test_a_leak_into_what_looks_otherwise_goes() -> None:
    ball = a_ball()
    beside = a_ball(12.0, (16.0, 40.0, 72.0)) & ~ball
    own = torch.from_numpy(np.where(ball, 0.9, np.where(beside, 0.6, 0.01))).float()
    before, labels, _ = relabelled(an_image(ball), torch.stack([1 - own, own], dim=1))
    assert (before[beside] == 5).all()
    assert (labels[beside] == 5).mean() < 0.05


def test_what_fits_its_intensities_stays_as_it_is() -> None:
    ball = a_ball()
    before, labels, _ = relabelled(an_image(ball), probabilities(ball))
    assert np.array_equal(before, labels)


def test_a_few_pixels_say_too_little_of_what_a_structure_looks_like_and_stay() -> None:
    few = np.zeros(SHAPE, bool)
    few[4, 10:14, 10:14] = True
    before, labels, _ = relabelled(an_image(a_ball()), probabilities(few))
    assert np.array_equal(labels, before)


def test_nothing_found_stays_nothing() -> None:
    before, labels, _ = relabelled(an_image(a_ball()), probabilities(np.zeros(SHAPE, bool)))
    assert not before.any()
    assert not labels.any()


def test_of_two_structures_each_keeps_its_own() -> None:
    one, other = a_ball(16.0, (16.0, 24.0, 40.0)), a_ball(16.0, (16.0, 57.0, 40.0))
    first, second = (torch.from_numpy(np.where(mask, 0.9, 0.01)).float() for mask in (one, other))
    image = an_image(one)
    image = image.with_array(image.array - 50 * other.astype(np.float32))
    probability = torch.stack([1 - torch.maximum(first, second), first, second], dim=1)
    _, labels, _ = relabelled(image, probability, values=[3, 200])
    assert dice(labels == 3, one) > 0.97
    assert dice(labels == 200, other) > 0.97
    assert set(np.unique(labels)) == {0, 3, 200}


def test_slices_along_another_axis_are_walked_through_alike() -> None:
    ball = a_ball()
    probability = probabilities(ball)
    probability[:, 1, :, 24:] *= 0.3
    probability[:, 0] = 1 - probability[:, 1]
    image = an_image(ball)
    turned = Volume(np.ascontiguousarray(np.moveaxis(image.array, 0, 2)), spacing=(SPACING[2], SPACING[0], SPACING[1]))
    assert np.array_equal(relabelled(image, probability)[1], relabelled(turned, probability, axis=2)[1])


def test_large_surroundings_are_walked_through_on_coarser_pixels_with_about_the_same_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ball = a_ball()
    probability = probabilities(ball)
    probability[:, 1, :, 24:] *= 0.3
    probability[:, 0] = 1 - probability[:, 1]
    _, fine, _ = relabelled(an_image(ball), probability)
    monkeypatch.setattr(random_walk, "_MOST_VOXELS", 4000)
    _, coarse, _ = relabelled(an_image(ball), probability)
    assert not np.array_equal(fine, coarse)
    assert dice(fine == 5, ball) > 0.98
    assert dice(coarse == 5, ball) > 0.93


def test_the_walk_can_be_cancelled() -> None:
    walk = RandomWalk(SliceView(an_image(a_ball()), 0), 1)
    for z, here in enumerate(probabilities(a_ball())):
        walk.note(z, here)

    def cancel(_: int) -> None:
        raise Cancelled("enough")

    labels = np.zeros(SHAPE, np.uint8)
    with pytest.raises(Cancelled):
        walk.relabel(labels, np.ones(SHAPE, np.float32), [1], cancel)
    assert not labels.any()


def test_the_walkers_equations_are_solved() -> None:
    generator = np.random.default_rng(1)
    image = torch.from_numpy(generator.uniform(0, 0.1, (4, 7, 6))).float()
    prior = torch.from_numpy(generator.uniform(0, 1, (4, 7, 6))).float()
    found = random_walker(prior, image, (3.0, 1.0, 1.5))
    edge, held = 400.0, 0.1  # how much an edge stops the walk, and how much the prior holds a voxel
    size = image.numel()
    matrix = np.zeros((size, size))
    number = np.arange(size).reshape(image.shape)
    for axis, spacing in enumerate((3.0, 1.0, 1.5)):
        before, after = (np.take(number, np.arange(i, image.shape[axis] - 1 + i), axis).ravel() for i in (0, 1))
        flat = image.numpy().ravel()
        weight = np.exp(-edge * (flat[before] - flat[after]) ** 2) / spacing
        np.add.at(matrix, (before, after), -weight)
        np.add.at(matrix, (after, before), -weight)
        np.add.at(matrix, (before, before), weight)
        np.add.at(matrix, (after, after), weight)
    expected = np.linalg.solve(matrix + held * np.eye(size), held * prior.numpy().ravel())
    assert np.allclose(found.numpy().ravel(), expected, atol=2e-3)


def test_sure_priors_give_what_a_walker_from_seeds_gives() -> None:
    image = np.zeros((3, 12, 12), np.float32)
    image[:, :, 6:] = 1
    prior = torch.full((3, 12, 12), 0.5)
    prior[:, :, :5], prior[:, :, 7:] = 0.0, 1.0
    seeds = np.zeros(image.shape, int)
    seeds[:, :, 0], seeds[:, :, -1] = 1, 2
    expected = solved_by_scikit_image(image, seeds, beta=400.0, mode="cg_j") == 2
    assert np.array_equal(random_walker(prior, torch.from_numpy(image), (1.0, 1.0, 1.0)).numpy() > 0.5, expected)


def test_intensities_that_are_frequent_in_a_structure_speak_for_it() -> None:
    ball = a_ball()
    image = torch.from_numpy(np.where(ball, 0.8, 0.2)).float()
    odds = intensity_log_odds(image, torch.from_numpy(ball).float(), torch.ones(SHAPE, dtype=torch.bool)).numpy()
    assert (odds[ball] > 2.5).all()
    assert (odds[~ball] < -2.5).all()
    assert np.abs(odds).max() <= 3
