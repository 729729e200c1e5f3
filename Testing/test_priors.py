"""Evidence of the painted slices: interpolated shape, geodesic distances, position in the body."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from FewShotSegLib.priors import (
    GEODESIC,
    POSITION,
    PRIOR_CHANNELS,
    SHAPE,
    CrossingSlice,
    Knowledge,
    beyond_reach,
    position_map,
    prior_of_other_volumes,
    priors_of_painted_slices,
    usual_reach,
)
from FewShotSegLib.priors.geodesic import denoised_slices, geodesic_channels, geodesic_distances
from FewShotSegLib.priors.motion import Motion
from FewShotSegLib.priors.shape import ShapeInterpolation, signed_distance

STEP_PRICE = 0.0005
WHOLE = Knowledge.everything(2, 1)
"""Two painted slices show one segment whole."""


def disc(row: float, column: float, radius: float, size: int = 64) -> np.ndarray:
    rows, columns = np.indices((size, size))
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def painted(*masks: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(masks).astype(np.int64))


def drift(slices: int, rows: float = 0.0, columns: float = 0.0, size: int = 64) -> Motion:
    """Everything moves by so many pixels from each slice to the next."""
    up = torch.tensor([rows, columns])[None, :, None, None].expand(slices - 1, 2, size, size)
    return Motion(up, -up)


def interpolated(
    masks: Tensor,
    positions: list[int],
    segments: int,
    motion: Motion,
    known: Knowledge | None = None,
    crossing: Sequence[CrossingSlice] = (),
) -> ShapeInterpolation:
    """Between slices that lie two pixels apart; all of them show all segments whole if nothing else is known."""
    known = known or Knowledge.everything(len(positions), segments)
    return ShapeInterpolation(masks, positions, segments, 2.0, motion, known, crossing)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


# Shape


def test_signed_distances_are_in_pixels_and_positive_inside() -> None:
    distance = signed_distance(disc(32, 32, 10))
    assert distance[32, 32] == pytest.approx(10, abs=1)
    assert distance[32, 52] == pytest.approx(-10, abs=1)
    assert ((distance > 0) == disc(32, 32, 10)).all()
    assert (signed_distance(np.zeros((5, 5), bool)) == -64).all()
    assert (signed_distance(np.ones((5, 5), bool)) > 0).all()


@pytest.mark.parametrize("move", [(0, 0), (12, -8)])
def test_a_disc_that_shrinks_and_moves_is_followed(move: tuple[int, int]) -> None:
    masks = painted(disc(26, 36, 16), disc(26 + move[0], 36 + move[1], 6))
    interpolation = interpolated(masks, [2, 12], 1, drift(15, move[0] / 10, move[1] / 10))
    for position in (2, 4, 7, 10, 12):
        t = (position - 2) / 10
        expected = disc(26 + t * move[0], 36 + t * move[1], 16 - 10 * t)
        found = interpolation([position])[0, 0, 0].numpy() > 0
        assert dice(found, expected) > 0.94


def test_beyond_the_last_painted_slice_a_shape_goes_on_with_the_motion() -> None:
    shape = interpolated(painted(disc(30, 30, 8)), [5], 1, drift(11, 1.0, -2.0))([1, 5, 9])[:, 0, 0] > 0
    for found, (row, column) in zip(shape.numpy(), ((26, 38), (30, 30), (34, 22)), strict=True):
        assert dice(found, disc(row, column, 8)) > 0.97


def test_a_tube_that_bends_is_followed_through_its_image() -> None:
    rows = [20 + 12 * np.sin(np.pi * z / 10) for z in range(11)]
    truth = np.stack([disc(row, 20 + 2 * z, 5) for z, row in enumerate(rows)])
    image = torch.from_numpy(gaussian_filter(0.2 + 0.6 * truth, (0, 1, 1))).float()
    evidence = priors_of_painted_slices(image, painted(truth[0], truth[10]), [0, 10], 1, 2.0, WHOLE)(range(11))
    found = evidence[:, 0, 0].numpy() > 0
    assert all(dice(f, t) > 0.75 for f, t in zip(found, truth, strict=True))
    # Painted shapes by themselves do not know of the bend.
    straight = interpolated(painted(truth[0], truth[10]), [0, 10], 1, drift(11, 0, 2))([5])[0, 0, 0] > 0
    assert dice(straight.numpy(), truth[5]) < 0.1


def test_painted_slices_come_back_and_say_how_near_and_between_they_are() -> None:
    masks = painted(disc(26, 36, 16), disc(30, 30, 6))
    evidence = interpolated(masks, [2, 12], 1, drift(15))([0, 2, 7, 12, 14])
    assert evidence.shape == (5, 1, 4, 64, 64)
    assert torch.equal(evidence[1, 0, 0] > 0, masks[0] > 0)
    assert torch.equal(evidence[3, 0, 0] > 0, masks[1] > 0)
    nearness, between = evidence[:, 0, 2, 0, 0], evidence[:, 0, 3, 0, 0]
    assert nearness[1] == nearness[3] == 1
    assert nearness[2] < nearness[0] == nearness[4] < 1
    assert between.tolist() == [0.5, 1, 1, 1, 0.5]
    # Beyond the last painted slice its shape goes on, and there is nothing to disagree with.
    assert torch.equal(evidence[0, 0, 0] > 0, masks[0] > 0)
    assert not evidence[0, 0, 1].any()
    assert evidence[2, 0, 1].max() > 0.3


def test_half_a_gap_is_the_usual_reach_beyond_painted_slices_and_one_slice_has_none() -> None:
    assert usual_reach([4, 10, 14]) == 2.5
    assert usual_reach([4]) is None
    assert usual_reach([]) is None
    assert beyond_reach([4, 10, 14], 20, 2.0).tolist() == [2, 1.5, 1, 0.5] + [0] * 11 + [0.5, 1, 1.5, 2, 2.5]


def test_evidence_beyond_the_usual_reach_fades_and_without_one_it_does_not() -> None:
    masks = painted(disc(26, 36, 16), disc(30, 30, 6))
    known = interpolated(masks, [4, 12], 1, drift(21), Knowledge.everything(2, 1, reach=4.0))([0, 4, 8, 12, 16, 20])
    assert known[:, 0, 3, 0, 0].tolist() == [0.25, 1, 1, 1, 0.25, 0.125]
    unknown = interpolated(masks, [4, 12], 1, drift(21))([0, 16, 20])[:, 0, 3, 0, 0]
    assert unknown.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("first", [True, False])
def test_a_structure_that_its_neighbour_lacks_ends_half_way(first: bool) -> None:
    empty, full = np.zeros((64, 64), bool), disc(30, 34, 12)
    masks = painted(full, empty) if first else painted(empty, full)
    interpolation = interpolated(masks, [0, 10], 1, drift(11))
    areas = [(interpolation([q])[0, 0, 0] > 0).sum().item() for q in range(11)]
    if not first:
        areas = areas[::-1]
    assert areas[0] == full.sum()
    assert areas == sorted(areas, reverse=True)
    assert areas[4] > 0
    assert areas[6] == areas[10] == 0


def test_segments_are_interpolated_each_for_itself() -> None:
    masks = painted(disc(20, 20, 9) + 2 * disc(45, 45, 9), disc(20, 20, 9).astype(int))
    found = interpolated(masks, [0, 4], 2, drift(5))([2, 4])[:, :, 0] > 0
    assert torch.equal(found[0, 0], masks[1] == 1)
    assert not found[1, 1].any()


def test_a_slice_that_does_not_show_a_segment_whole_says_nothing_of_where_it_ends() -> None:
    both, one = disc(20, 20, 9) + 2 * disc(45, 45, 9), disc(20, 20, 9).astype(int)
    known = Knowledge.everything(3, 2)
    known.complete[1, 1] = False  # the second segment is not painted yet on the slice in the middle
    found = interpolated(painted(both, one, both), [0, 4, 8], 2, drift(9), known)(list(range(9)))[:, :, 0] > 0
    assert all(torch.equal(shape, torch.from_numpy(disc(45, 45, 9))) for shape in found[:, 1])
    ended = interpolated(painted(both, one, both), [0, 4, 8], 2, drift(9))(list(range(9)))[:, :, 0] > 0
    assert not ended[3:6, 1].any()
    assert torch.equal(found[:, 0], ended[:, 0])


def test_of_a_segment_that_no_slice_shows_whole_there_is_no_shape() -> None:
    known = Knowledge.everything(2, 2)
    known.complete[:, 1] = False
    masks = painted(disc(20, 20, 9) + 2 * disc(45, 45, 9), disc(20, 20, 9) + 2 * disc(45, 45, 9))
    evidence = interpolated(masks, [0, 4], 2, drift(5), known)([0, 2, 4])
    assert not evidence[:, 1].any()
    assert evidence[:, 0].any()


def test_a_structure_ends_half_way_to_where_it_is_known_to_be_absent() -> None:
    known = Knowledge.everything(1, 1)
    known.ends[0] = [np.nan, 12]
    shape = interpolated(painted(disc(32, 32, 10)), [4], 1, drift(15), known)(list(range(15)))[:, 0, 0] > 0
    areas = shape.sum(dim=(1, 2))
    assert (areas[:5] == areas[4]).all()
    assert areas[6] > 0
    assert not areas[9:].any()


def a_ball_with_a_cut(dim: int) -> tuple[np.ndarray, CrossingSlice]:
    """(17, 64, 64) a ball with slices 2 pixels apart, and the slice through its middle across the stack."""
    z, row, column = np.indices((17, 64, 64))
    ball = (2 * (z - 8)) ** 2 + (row - 32) ** 2 + (column - 32) ** 2 <= 144
    cut = torch.from_numpy(ball.take(32, dim).astype(np.int64))
    return ball, CrossingSlice(dim, [32], cut, np.array([True]))


@pytest.mark.parametrize("dim", [1, 2])
def test_a_slice_across_the_stack_gives_the_shape_its_ends(dim: int) -> None:
    ball, cut = a_ball_with_a_cut(dim)
    alone, corrected = (
        (interpolated(painted(ball[8]), [8], 1, drift(17), crossing=crossing)(list(range(17)))[:, 0, 0] > 0).numpy()
        for crossing in ((), [cut])
    )
    assert alone.any(axis=(1, 2)).all()  # one slice does not say where the structure ends
    np.testing.assert_array_equal(corrected.take(32, dim), ball.take(32, dim))
    assert dice(corrected, ball) > dice(alone, ball) + 0.1


def test_a_slice_across_the_stack_that_is_not_complete_corrects_nothing_but_distances_start_there() -> None:
    ball, cut = a_ball_with_a_cut(2)
    part = CrossingSlice(2, [32], torch.where(cut.labels == 1, 1, -1), np.array([False]))
    image = torch.from_numpy(np.where(ball, 0.8, 0.2)).float()
    known = Knowledge.everything(1, 1)
    alone, across = (
        priors_of_painted_slices(image, painted(ball[8]), [8], 1, 2.0, known, crossing=crossing)(range(17))
        for crossing in ((), [part])
    )
    torch.testing.assert_close(across[:, :, SHAPE], alone[:, :, SHAPE])
    closeness = across[:, 0, GEODESIC.start + 1].numpy()
    assert (closeness[:, :, 32][ball[:, :, 32]] == 1).all()
    assert closeness[ball].mean() > alone[:, 0, GEODESIC.start + 1].numpy()[ball].mean()


# Geodesic distances


def swept_graph_distances(image: np.ndarray, sources: np.ndarray, step: float) -> np.ndarray:
    """Dijkstra's shortest paths on the graph that the sweeps run over.

    A step costs the difference of intensities and a price. Within a slice it goes to the eight neighbours; from slice
    to slice to the 3 x 3 nearest voxels, at a price that grows with the slices' distance.
    """
    moves = [m for m in product((-1, 0, 1), repeat=3) if any(m) and not (m[0] and any(m[1:]))]
    distance = np.full(image.shape, np.inf)
    queue: list[tuple[float, tuple[int, ...]]] = []
    for voxel in map(tuple, np.argwhere(sources)):
        distance[voxel] = 0
        heapq.heappush(queue, (0.0, voxel))
    while queue:
        length, voxel = heapq.heappop(queue)
        if length > distance[voxel]:
            continue
        for move in moves:
            other = tuple(np.add(voxel, move))
            if min(other) < 0 or any(a >= b for a, b in zip(other, image.shape, strict=True)):
                continue
            price = STEP_PRICE * (min(step, 4) if move[0] else 1)
            new = length + abs(float(image[voxel]) - float(image[other])) + price
            if new < distance[other] - 1e-12:
                distance[other] = new
                heapq.heappush(queue, (new, other))
    return distance


@pytest.mark.parametrize("step", [1.0, 2.5])
def test_sweeps_come_near_the_shortest_paths(step: float) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((5, 9, 10))
    image = (image + np.roll(image, 1, 1) + np.roll(image, 1, 2) + np.roll(image, 1, 0)) / 4
    mask = np.zeros((9, 10), int)
    mask[2:5, 3:6] = 1
    found = geodesic_distances(torch.from_numpy(image).float(), painted(mask, mask * 0), [1, 4], 2, step).numpy()
    for label in range(2):
        sources = np.zeros(image.shape, bool)
        sources[1], sources[4] = mask == label, label == 0
        exact = swept_graph_distances(image, sources, step)
        assert (found[label] >= exact - 1e-5).all()
        assert (found[label][sources] == 0).all()
        assert np.mean(found[label] - exact) < 0.05 * exact.mean() + 1e-6
        assert np.max(found[label] - exact) < 0.15


def test_denoising_takes_specks_away_and_keeps_edges_and_slices_apart() -> None:
    clean = torch.zeros(3, 12, 12)
    clean[1, :, 6:] = 0.5
    noisy = clean.clone()
    noisy[1, 4, 2], noisy[1, 8, 9] = 1.0, 0.0
    torch.testing.assert_close(denoised_slices(noisy), clean)


def test_more_rounds_reach_the_shortest_paths() -> None:
    image = np.random.default_rng(1).random((4, 7, 8))
    sources = np.zeros(image.shape, bool)
    sources[0, 3, 3] = True
    found = geodesic_distances(torch.from_numpy(image).float(), painted(sources[0]), [0], 2, 1.0, rounds=8)[1]
    np.testing.assert_allclose(found.numpy(), swept_graph_distances(image, sources, 1.0), atol=1e-4)


def test_distances_are_zero_where_painted_and_far_where_nothing_is() -> None:
    mask = disc(8, 8, 4, 16).astype(int)
    distances = geodesic_distances(torch.rand(3, 16, 16), painted(mask), [1], 3, 2.0)
    assert distances.shape == (3, 3, 16, 16)
    for label in (0, 1):
        assert (distances[label, 1][torch.from_numpy(mask == label)] == 0).all()
    assert (distances[2] >= 100).all()  # label 2 is painted nowhere


def test_the_side_of_an_edge_that_was_painted_is_preferred() -> None:
    image = torch.zeros(5, 24, 24)
    image[:, :, :10] = 1  # the edge moves in no slice
    image[4, :, :] = 0  # and the structure has ended in the last
    mask = torch.zeros(1, 24, 24, dtype=torch.long)
    mask[:, :, :10] = 1
    preference = geodesic_channels(geodesic_distances(image, mask, [0], 2, 2.0))[:, 0, 0]
    for z in (1, 2, 3):
        assert (preference[z, :, :10] > 0.5).all()
        assert (preference[z, :, 10:] < -0.5).all()
    assert (preference[4] < 0).all()


def test_preference_and_closeness_stay_in_their_ranges() -> None:
    distances = torch.rand(4, 2, 5, 5) * 3
    distances[2] = 100
    channels = geodesic_channels(distances)
    assert channels.shape == (2, 3, 3, 5, 5)
    assert channels[:, :, 0].abs().max() <= 1
    assert (channels[:, :, 1] >= 0).all()
    assert (channels[:, :, 1] <= 1).all()
    assert (channels[:, :, 2] == 1).all()
    others = torch.stack([distances[0], distances[1], distances[2]]).amin(dim=0)
    expected = (others - distances[3]) / (others + distances[3] + 0.02)
    torch.testing.assert_close(channels[:, 2, 0], expected)


def test_painted_slices_give_shape_and_geodesic_evidence_only() -> None:
    masks = painted(disc(20, 20, 9, 40), disc(22, 22, 6, 40))
    evidence = priors_of_painted_slices(torch.rand(6, 40, 40), masks, [1, 4], 1, 2.0, WHOLE)([0, 2, 3])
    assert evidence.shape == (3, 1, PRIOR_CHANNELS, 40, 40)
    assert evidence.dtype == torch.float32
    assert evidence[:, :, SHAPE].any()
    assert (evidence[:, :, GEODESIC.stop - 1] == 1).all()
    assert not evidence[:, :, POSITION].any()


def test_distances_start_only_where_painted_slices_are_certain_but_shapes_do_everywhere() -> None:
    image = torch.rand(5, 40, 40)
    masks = painted(disc(20, 20, 9, 40), disc(20, 20, 9, 40))
    certain = torch.ones_like(masks, dtype=torch.bool)
    certain[1] = False
    everywhere = priors_of_painted_slices(image, masks, [1, 3], 1, 2.0, WHOLE)([3])
    evidence = priors_of_painted_slices(image, masks, [1, 3], 1, 2.0, WHOLE, certain)([3])
    alone = priors_of_painted_slices(image, masks[:1], [1], 1, 2.0, Knowledge.everything(1, 1))([3])
    torch.testing.assert_close(evidence[:, :, GEODESIC], alone[:, :, GEODESIC])
    torch.testing.assert_close(evidence[:, :, SHAPE], everywhere[:, :, SHAPE])
    assert not torch.equal(evidence, everywhere)


# Position


def sampled(position: np.ndarray, size: int = 40) -> Tensor:
    at = (torch.arange(size) + 0.5) / size
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    return prior_of_other_volumes(position, rows, columns)


def test_the_position_map_peaks_where_the_mask_was() -> None:
    mask = disc(30, 50, 6, 80).astype(int)
    evidence = sampled(position_map([mask], [(0, 80, 0, 80)], 1))
    assert evidence.shape == (1, PRIOR_CHANNELS, 40, 40)
    peak = np.unravel_index(int(evidence[0, POSITION.start].argmax()), (40, 40))
    assert np.abs(np.subtract(peak, (15, 25))).max() <= 1
    assert evidence[0, POSITION.start].max() == pytest.approx(1, abs=0.02)
    assert evidence[0, POSITION.start, 35, 5] < 0.01
    assert (evidence[0, POSITION.start + 1] == 1).all()
    assert not evidence[:, : POSITION.start].any()


def test_the_position_is_relative_to_the_body() -> None:
    mask = disc(30, 50, 6, 80).astype(int)
    larger = np.zeros((120, 140), int)
    larger[25:105, 40:120] = mask
    alone = position_map([mask], [(0, 80, 0, 80)], 1)
    surrounded = position_map([larger], [(25, 105, 40, 120)], 1)
    np.testing.assert_allclose(surrounded, alone, atol=1e-6)


def test_slices_without_a_segment_do_not_count_for_its_position() -> None:
    mask = disc(30, 50, 6, 80).astype(int)
    whole = (0, 80, 0, 80)
    np.testing.assert_array_equal(
        position_map([mask, np.zeros_like(mask)], [whole, whole], 1), position_map([mask], [whole], 1)
    )
    assert not position_map([mask], [whole], 2)[1].any()
    assert sampled(position_map([mask], [whole], 2)).isfinite().all()


def test_points_outside_the_body_have_no_position_evidence_but_say_it_is_there() -> None:
    position = position_map([np.ones((20, 20), int)], [(0, 20, 0, 20)], 1)
    outside = prior_of_other_volumes(position, torch.full((2, 2), 1.5), torch.full((2, 2), 0.5))
    assert not outside[0, POSITION.start].any()
    assert (outside[0, POSITION.start + 1] == 1).all()
