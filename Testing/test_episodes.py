"""Episodes for training: what is drawn from made-up volumes, and how images and evidence are changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from training_volumes import a_training_volume, drawn

from FewShotSegLib.priors import GEODESIC, POSITION, PRIOR_CHANNELS, SHAPE
from FewShotSegLib.training import episodes
from FewShotSegLib.training.augment import IntensityChange, misdrawn, plane_grid, sample, seen_by_a_look, slice_noise
from FewShotSegLib.training.episodes import CROP, MAX_SEGMENTS, EpisodeGroup
from FewShotSegLib.training.painting import ACROSS, ONE_BY_ONE, STROKES, WHOLE
from FewShotSegLib.training.plane import Plane
from FewShotSegLib.training.positions import Known, SimulatedPositions
from FewShotSegLib.training.sources import REAL_LABELS


@pytest.fixture(scope="module")
def groups() -> list[EpisodeGroup]:
    return drawn(seed=3, count=24)


def paint_all_slices_in_one_way(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(episodes, "draw_way", lambda _: way)


# Episodes


def test_groups_have_the_promised_shapes_and_ranges(groups: list[EpisodeGroup]) -> None:
    for group in groups:
        count, segments = len(group.images), group.segments
        assert group.images.shape == (count, 1, CROP, CROP)
        assert group.labels.shape == (count, CROP, CROP)
        assert group.images.dtype == torch.float32
        assert group.labels.dtype == torch.int64
        assert group.images.min() >= -1
        assert group.images.max() <= 1
        assert 1 <= group.supports <= (8 if group.within else 4)
        assert 1 <= count - group.supports <= 24
        assert group.labels[group.supports :].min() >= 0
        assert 1 <= segments <= MAX_SEGMENTS
        assert group.episodes == (count - group.supports) * segments
        # Every segment is shown by the support, so that a query can be asked for it.
        assert set(range(1, segments + 1)) <= set(group.labels[: group.supports].unique().tolist())
        assert group.labels.max() <= segments


def test_both_kinds_of_groups_are_drawn_each_with_its_evidence(groups: list[EpisodeGroup]) -> None:
    assert {g.within for g in groups} == {True, False}
    for group in groups:
        if group.evidence is None:
            assert not group.within
            continue
        queries = len(group.images) - group.supports
        assert group.evidence.shape == (queries, group.segments, PRIOR_CHANNELS, CROP // 2, CROP // 2)
        assert group.evidence.isfinite().all()
        assert group.evidence.abs().max() <= 1
        own = group.evidence[:, :, SHAPE.start : GEODESIC.stop]
        position = group.evidence[:, :, POSITION]
        assert bool(own.any()) == group.within
        assert position.any() or group.within


@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_slices_that_a_look_saw_come_with_where_to_expect_the_segments_too(
    monkeypatch: pytest.MonkeyPatch, seen: float
) -> None:
    paint_all_slices_in_one_way(monkeypatch, WHOLE)
    monkeypatch.setattr(episodes, "_SEEN", seen)
    monkeypatch.setattr(episodes, "_EXPECTED", 1.0)
    overlaps = []
    for group in drawn(seed=5, count=12, within=1.0):
        if group.evidence is None or not group.within:
            continue
        expected = group.evidence[:, :, POSITION.start]
        assert bool(expected.any()) == bool(seen)
        for segment in range(group.segments):
            truth = group.labels[group.supports :, 1::2, 1::2] == segment + 1
            if truth.any() and not truth.all():
                overlaps.append(float(expected[:, segment][truth].mean() - expected[:, segment][~truth].mean()))
    assert overlaps
    assert np.mean(overlaps) > (0.2 if seen else -1e-6)


@pytest.mark.parametrize("way", [WHOLE, ONE_BY_ONE])
def test_the_shape_evidence_says_where_the_queries_segments_are(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    paint_all_slices_in_one_way(monkeypatch, way)
    scores = []
    for group in drawn(seed=5, count=12, within=1.0):
        if group.evidence is None or not group.within:
            continue
        truth = group.labels[group.supports :, 1::2, 1::2]
        for segment in range(group.segments):
            shape, mask = group.evidence[:, segment, SHAPE.start] > 0, truth == segment + 1
            if mask.any():
                scores.append(float(2 * (shape & mask).sum() / (shape.sum() + mask.sum())))
    assert np.mean(scores) > 0.5


def test_some_structures_are_painted_as_slivers_from_which_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    def painted_share(chance: float) -> float:
        """Largest painted cross-section of a structure, as part of its largest one; mean over groups."""
        paint_all_slices_in_one_way(monkeypatch, WHOLE)
        monkeypatch.setattr(episodes, "_AT_AN_END", chance)
        monkeypatch.setattr(episodes, "_SEEN", 0.0)
        shares = []
        for group in drawn(seed=9, count=16, within=1.0):
            if group.within:
                areas = (group.labels == 1).sum(dim=(1, 2))
                shares.append(float(areas[: group.supports].max() / areas.max()))
        return float(np.mean(shares))

    assert painted_share(1.0) < 0.9 * painted_share(0.0)


@pytest.mark.parametrize("in_stacks", [0.0, 1.0])
def test_some_queries_are_empty_across_slices(monkeypatch: pytest.MonkeyPatch, in_stacks: float) -> None:
    monkeypatch.setattr(episodes, "_IN_STACKS", in_stacks)
    groups = drawn(seed=7, count=20, within=0.0)
    assert any(group.stack for group in groups) == (in_stacks > 0)
    empty = [not plane.any() for group in groups for plane in group.labels[group.supports :]]
    assert 0 < np.mean(empty) < 0.6


def test_a_seed_decides_everything() -> None:
    for one, other in zip(drawn(11, 6), drawn(11, 6), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert (one.evidence is None) == (other.evidence is None)
        if one.evidence is not None and other.evidence is not None:
            assert torch.equal(one.evidence, other.evidence)
    assert not torch.equal(drawn(11, 1)[0].images, drawn(12, 1)[0].images)


def test_slices_with_strokes_are_queries_themselves_and_have_no_shape_until_they_are_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paint_all_slices_in_one_way(monkeypatch, STROKES)
    kinds = set()
    for group in drawn(seed=2, count=16, within=1.0):
        if not group.within or group.evidence is None:
            continue
        supports, shape = group.supports, group.evidence[:, :, SHAPE]
        kinds.add(group.stack)
        if group.stack:
            assert shape.any()
            continue
        assert torch.equal(group.images[:supports], group.images[supports:])
        assert not shape.any()
        assert group.evidence[:, :, GEODESIC].any()
        strokes, truth = group.labels[:supports], group.labels[supports:]
        painted = strokes > 0
        assert torch.equal(strokes[painted], truth[painted])
        assert 0 < int(painted.sum()) < int((truth > 0).sum())
    assert kinds == {False, True}


def test_slices_across_the_stack_are_shown_and_tell_the_shape_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    paint_all_slices_in_one_way(monkeypatch, ACROSS)
    scores, alone = [], 0
    for group in drawn(seed=4, count=16, within=1.0):
        if not group.within or group.evidence is None:
            continue
        alone += not group.stack
        truth = group.labels[group.supports :, 1::2, 1::2]
        shape = group.evidence[:, 0, SHAPE]
        near = shape[:, 2] > 0.7
        if (truth == 1)[near].any():
            scores.append(float((((shape[:, 0] > 0) == (truth == 1))[near]).float().mean()))
    assert 0 < alone < 16
    assert np.mean(scores) > 0.85


# Augmentation


def test_an_unchanged_grid_gives_back_the_plane() -> None:
    plane = np.random.default_rng(0).random((1, 32, 32))
    grid = plane_grid(np.random.default_rng(0), 32, 1.0, (15.5, 15.5), (1.0, 1.0), (32, 32), strength=0)
    np.testing.assert_allclose(sample(plane, grid, labels=False)[0], plane[0], atol=1e-4)
    flipped = plane_grid(np.random.default_rng(0), 32, 1.0, (15.5, 15.5), (1.0, 1.0), (32, 32), 0, (True, False, False))
    np.testing.assert_allclose(sample(plane, flipped, labels=False)[0], plane[0, ::-1], atol=1e-4)


def test_outside_the_source_lies_the_fill() -> None:
    grid = plane_grid(np.random.default_rng(0), 32, 1.0, (15.5, 60.0), (1.0, 1.0), (32, 32), strength=0)
    assert (sample(np.ones((1, 32, 32)), grid, labels=False, fill=-1000)[0, :, -1] == -1000).all()


def test_intensity_changes_stay_in_range_and_are_the_same_for_all_slices() -> None:
    x = torch.rand(1, 24, 24).expand(2, -1, -1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changed = IntensityChange(rng)(x)
        assert torch.equal(changed[0], changed[1])
        noisy = slice_noise(rng, changed)
        assert noisy.min() >= 0
        assert noisy.max() <= 1


def test_misdrawn_outlines_lose_no_structure_and_stay_near() -> None:
    labels = torch.zeros(12, 96, 96, dtype=torch.long)
    labels[:, 20:50, 30:60] = 1
    labels[:, 60:80, 10:40] = 2
    drawn_again = misdrawn(np.random.default_rng(0), labels)
    assert drawn_again.dtype == labels.dtype
    same = [torch.equal(a, b) for a, b in zip(drawn_again, labels, strict=True)]
    assert 0 < sum(same) < 12
    for plane in drawn_again:
        assert plane.unique().tolist() == [0, 1, 2]
        assert float(((plane == 1) & (labels[0] == 1)).sum()) > 0.6 * float((plane == 1).sum())


def test_thick_slices_average_their_neighbours() -> None:
    volume = a_training_volume("a")
    plane = Plane(volume, 0)
    thick = plane.thick(volume.image, [10], 3)[0]
    np.testing.assert_allclose(thick, volume.image[9:12].mean(axis=0), rtol=1e-5)
    assert np.array_equal(plane.thick(volume.image, [10], 1)[0], volume.image[10])


def a_crop(plane: Plane, center: tuple[float, float], side: int = 64, pixel: float = 0.75) -> Tensor:
    """Sampling points of an undisturbed crop, in [-1, 1]."""
    rows, columns = ((torch.arange(side) + 0.5 - side / 2) * pixel + c for c in center)
    scaled = [2 * p / d / (n - 1) - 1 for p, d, n in zip((rows, columns), plane.spacing, plane.shape, strict=True)]
    return torch.stack(torch.meshgrid(*scaled, indexing="ij")[::-1], dim=-1)


def mean_over_draws(way: str, chosen: list[int], draws: int = 60) -> Tensor:
    """Position channel of two balls' segments, (Q, L, 32, 32), and whether it is said to be present."""
    plane = Plane(a_training_volume("a"), 0)
    grid = a_crop(plane, (24.0, 26.0))
    planes = plane.take(plane.volume.labelings[REAL_LABELS], [12])
    painted = sample(planes, grid, labels=True)[:, 1::4, 1::4]
    positions = SimulatedPositions(np.random.default_rng(5))
    found = torch.zeros(len(chosen), 2, 32, 32)
    for _ in range(draws):
        if way == "carried":
            evidence = positions.carried(painted, plane, REAL_LABELS, [1, 2], chosen, grid, 3.0)
        else:
            evidence = positions.relative(Known(plane, planes, painted), plane, [1, 2], grid)[None].expand(
                len(chosen), -1, -1, -1, -1
            )
        assert evidence.shape == (len(chosen), 2, PRIOR_CHANNELS, 32, 32)
        assert not evidence[:, :, : POSITION.start].any()
        assert (evidence[:, :, POSITION.start + 1] == 1).all()
        values = evidence[:, :, POSITION.start]
        assert (values >= 0).all()
        assert (values <= 1.001).all()
        found += values / draws
    return found


@pytest.mark.parametrize("way", ["carried", "relative"])
def test_simulated_positions_lie_on_the_structures_on_average(way: str) -> None:
    first, second = mean_over_draws(way, [13])[0]
    row, column = np.unravel_index(int(first.argmax()), first.shape)
    # the balls' centres, in cells of 1.5 mm of a crop around (24, 26)
    assert abs(row - (16 + (20 - 24) / 1.5)) < 3
    assert abs(column - (16 + (20 - 26) / 1.5)) < 3
    row, column = np.unravel_index(int(second.argmax()), second.shape)
    assert abs(row - (16 + (34 - 24) / 1.5)) < 3
    assert abs(column - (16 + (36 - 26) / 1.5)) < 3


def test_simulated_registration_knows_the_slices_but_positions_relative_to_the_body_do_not() -> None:
    inside, far = mean_over_draws("carried", [12, 27])
    assert float(far[0].max()) < 0.5 * float(inside[0].max())
    inside, far = mean_over_draws("relative", [12, 27])
    assert torch.equal(inside, far)


def test_simulated_registration_errs_in_every_draw_another_way() -> None:
    one, other = (mean_over_draws("carried", [13], draws) for draws in (1, 2))
    assert not torch.allclose(one, other, atol=0.01)


def test_what_a_look_is_certain_of_is_nearly_all_right_though_it_cuts_off_and_leaks() -> None:
    labels = torch.zeros(6, 96, 96, dtype=torch.long)
    labels[:, 20:50, 20:60], labels[:, 55:80, 30:70] = 1, 2
    found, certain = zip(
        *(seen_by_a_look(np.random.default_rng(seed), labels.clone()) for seed in range(12)), strict=True
    )
    seen, sure, truth = torch.cat(found), torch.cat(certain), labels.repeat(12, 1, 1)
    assert seen.shape == sure.shape == truth.shape
    assert set(seen.unique().tolist()) <= {0, 1, 2}
    sizes = (seen > 0).sum(dim=(1, 2)) / (truth > 0).sum(dim=(1, 2))
    assert float(sizes.min()) < 0.8
    assert float(sizes.max()) > 1.05
    wrong = seen != truth
    assert 0.2 < float(sure.float().mean()) < 0.95
    assert float(wrong[sure].float().mean()) < 0.35 * float(wrong[~sure].float().mean())
