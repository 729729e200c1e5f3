"""Training: episodes from made-up volumes, losses by hand, a few steps, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from FewShotSegLib.evidence import EVIDENCE_CHANNELS, GEODESIC, POSITION, SHAPE
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.training import trainer
from FewShotSegLib.training.augment import IntensityChange, misdrawn, plane_grid, sample, slice_noise
from FewShotSegLib.training.curves import draw_curves
from FewShotSegLib.training.episodes import CROP, MAX_SEGMENTS, EpisodeGroup, EpisodeSampler
from FewShotSegLib.training.export import export
from FewShotSegLib.training.losses import soft_dice, with_background
from FewShotSegLib.training.mixture import volume_weights
from FewShotSegLib.training.plane import Plane
from FewShotSegLib.training.positions import Known, SimulatedPositions
from FewShotSegLib.training.sources import REAL_LABELS, TrainingVolume, save_volume
from FewShotSegLib.training.trainer import CHECKPOINT, LOG, Trainer, TrainingPlan
from FewShotSegLib.weights import load_network


def a_training_volume(name: str, modality: str = "MR", kind: str = "volume", shift: int = 0) -> TrainingVolume:
    """Two balls in a noisy box, with true labels and block-shaped regions."""
    shape = (28, 48, 52)
    k, j, i = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    labels[(k - 12) ** 2 + (j - 20 - shift) ** 2 + (i - 20) ** 2 < 90] = 1
    labels[(k - 15) ** 2 + (j - 34) ** 2 + (i - 36 + shift) ** 2 < 70] = 2
    image = np.array([100, 400, 700])[labels] + np.random.default_rng(shift).normal(0, 30, shape)
    regions = 1 + (k // 10) * 30 + (j // 10) * 6 + i // 10
    return TrainingVolume(
        name=name,
        set_name="made up",
        modality=modality,
        kind=kind,
        spacing_kji=(2.0, 1.0, 1.0),
        axes=[0, 1],
        image=image.astype(np.int16),
        labelings={REAL_LABELS: labels, "regions0": regions.astype(np.uint16)},
        label_names={1: "one", 2: "two"},
        label_group="balls",
        subject=name,
    )


def volumes() -> list[TrainingVolume]:
    return [
        a_training_volume("a"),
        a_training_volume("b", "CT", shift=3),
        a_training_volume("c", kind="slice2d", shift=1),
    ]


def drawn(seed: int, count: int, within: float = 0.6) -> list[EpisodeGroup]:
    torch.manual_seed(seed)
    sampler = EpisodeSampler(volumes(), [1, 1, 1], seed, within)
    return [sampler.draw() for _ in range(count)]


@pytest.fixture(scope="module")
def groups() -> list[EpisodeGroup]:
    return drawn(seed=3, count=24)


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
        assert 1 <= group.supports <= 4
        assert 1 <= count - group.supports <= 4
        assert 1 <= segments <= MAX_SEGMENTS
        assert group.episodes == (count - group.supports) * segments
        # Every segment is shown by the support, so that a query can be asked for it.
        assert group.labels[: group.supports].unique().tolist() in ([*range(segments + 1)], [*range(1, segments + 1)])
        assert group.labels.max() <= segments


def test_both_kinds_of_groups_are_drawn_each_with_its_evidence(groups: list[EpisodeGroup]) -> None:
    assert {g.within for g in groups} == {True, False}
    for group in groups:
        if group.evidence is None:
            assert not group.within
            continue
        queries = len(group.images) - group.supports
        assert group.evidence.shape == (queries, group.segments, EVIDENCE_CHANNELS, CROP // 2, CROP // 2)
        assert group.evidence.isfinite().all()
        assert group.evidence.abs().max() <= 1
        own = group.evidence[:, :, SHAPE.start : GEODESIC.stop]
        position = group.evidence[:, :, POSITION]
        assert bool(own.any()) == group.within
        assert bool(position.any()) != group.within


def test_the_shape_evidence_says_where_the_queries_segments_are() -> None:
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


def test_some_queries_are_empty_across_slices() -> None:
    groups = drawn(seed=7, count=20, within=0.0)
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


# Losses


def test_background_has_logit_zero() -> None:
    logits = torch.randn(2, 3, 4, 4)
    full = with_background(logits)
    assert full.shape == (2, 4, 4, 4)
    assert not full[:, 0].any()
    assert torch.equal(full[:, 1:], logits)


def test_soft_dice_by_hand() -> None:
    target = torch.zeros(1, 3, 2, 2)
    target[0, 0, 1], target[0, 1, 0] = 1, 1  # segment 1 fills the first row, segment 2 is nowhere
    probability = torch.zeros(1, 3, 2, 2)
    probability[0, 1] = torch.tensor([[1.0, 0.5], [0.5, 0.0]])
    probability[0, 2] = 0.25  # of no consequence
    probability[0, 0] = 1 - probability[0, 1] - probability[0, 2]
    assert float(soft_dice(probability, target)) == pytest.approx(1 - (2 * 1.5 + 1) / (2 + 2 + 1))
    assert float(soft_dice(target, target)) == pytest.approx(0)
    nothing = torch.zeros(1, 3, 2, 2)
    nothing[:, 0] = 1
    assert float(soft_dice(probability, nothing)) == 0


# Trainer


def random_imagenet() -> dict[str, Tensor]:
    """A state of EfficientNet-Lite0's shapes, with weights of He's scale and neutral batch normalisation."""
    generator = torch.Generator().manual_seed(0)
    encoder, state = LiteEncoder(), {}

    def add(conv: torch.nn.Conv2d, conv_key: str, norm_key: str) -> None:
        shape = list(conv.weight.shape)
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        if conv is encoder.stem:
            shape[1] = 3
        state[conv_key + ".weight"] = torch.randn(shape, generator=generator) * deviation
        for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            state[f"{norm_key}.{key}"] = torch.full((shape[0],), value)

    add(encoder.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(block for stage in encoder.stages for block in stage):  # type: ignore[attr-defined]
        if block.expand is not None:
            add(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        add(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        add(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    return state


def small(group: EpisodeGroup) -> EpisodeGroup:
    """The group at a third of its size, quick to learn from."""
    evidence = group.evidence
    return EpisodeGroup(
        torch.nn.functional.avg_pool2d(group.images, 3),
        group.labels[:, 1::3, 1::3],
        group.supports,
        group.segments,
        None if evidence is None else evidence[..., 1::3, 1::3],
        group.within,
    )


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingPlan:
    """A plan over two cached volumes, without ImageNet's weights."""
    monkeypatch.setattr(trainer, "_imagenet", random_imagenet)
    cache, run = tmp_path / "cache", tmp_path / "run"
    cache.mkdir()
    run.mkdir()
    for volume in volumes()[:2]:
        save_volume(volume, cache)
    return TrainingPlan(str(cache), str(run), episodes=40, processes=1)


def test_a_few_steps_reduce_the_loss_of_a_fixed_group(plan: TrainingPlan) -> None:
    group = small(drawn(seed=3, count=1, within=1.0)[0])
    learner = Trainer(plan, 0)
    rng = np.random.default_rng(1)
    assert group.evidence is not None
    totals = []
    for _ in range(16):
        learner.step += 20  # past the warm-up
        record = learner._learn(group, rng)
        totals.append(record["cross_entropy"] + record["dice"])
        learner.episodes = 0
    assert np.isfinite(totals).all()
    assert np.mean(totals[-4:]) < 0.8 * np.mean(totals[:4])


def test_the_first_stages_of_the_encoder_stay_as_they_are(plan: TrainingPlan) -> None:
    learner = Trainer(plan, 0)
    before = {k: v.clone() for k, v in learner.network.state_dict().items()}
    learner._learn(small(drawn(seed=3, count=1)[0]), np.random.default_rng(1))
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, before[k])}
    frozen = ("features.encoder.stem.", "features.encoder.stages.0.", "features.encoder.stages.1.")
    assert changed
    assert not any(key.startswith(frozen) for key in changed)


def test_training_goes_on_where_it_stopped(plan: TrainingPlan) -> None:
    first = Trainer(plan, 0)
    for group in drawn(seed=3, count=2):
        first._learn(small(group), np.random.default_rng(1))
    first._save()
    again = Trainer(plan, 0)
    assert (again.step, again.episodes) == (first.step, first.episodes) == (2, first.episodes)
    for mine, theirs in ((again.network.state_dict(), first.network.state_dict()), (again.average, first.average)):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    group = small(drawn(seed=4, count=1)[0])
    for learner in (first, again):
        learner._learn(group, np.random.default_rng(2))
    theirs = first.network.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in again.network.state_dict().items())


def test_processes_that_share_a_step_use_the_mean_of_their_gradients(
    plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Trainer(plan, 0)
    learner.plan = replace(plan, processes=2)
    for number, parameter in enumerate(learner.parameters):
        parameter.grad = torch.full_like(parameter, float(number)) if number else None

    def add_another_process(flat: torch.Tensor) -> None:  # whose gradients are larger by 2, of 5 episodes
        flat[:-1] += flat[:-1] + 2
        flat[-1] += 5

    monkeypatch.setattr("torch.distributed.all_reduce", add_another_process)
    assert learner._average_gradients(7) == 12
    for number, parameter in enumerate(learner.parameters):
        assert parameter.grad is not None
        assert parameter.grad.unique().tolist() == [number + 1.0]


def test_a_run_ends_with_checkpoint_and_weights_that_load(
    plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = EpisodeSampler.draw
    monkeypatch.setattr(EpisodeSampler, "draw", lambda self: small(draw(self)))
    learner = Trainer(plan, 0)
    learner.plan = TrainingPlan(plan.cache, plan.run, episodes=6, processes=1)
    learner.run()
    assert learner.episodes >= 6
    assert sorted(p.name for p in Path(plan.run).iterdir()) == [CHECKPOINT, LOG]
    assert draw_curves(Path(plan.run)).exists()
    about = export(Path(plan.run), tmp_path / "made.safetensors", NetworkConfig())
    assert about["episodes"] == str(learner.episodes)
    loaded = load_network(tmp_path / "made.safetensors").state_dict()
    for key, value in learner.average.items():
        torch.testing.assert_close(loaded[key], value, rtol=1e-3, atol=1e-4)


def test_a_process_whose_command_has_died_stops_and_writes_nothing(
    plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DeadCommand:
        def is_alive(self) -> bool:
            return False

    monkeypatch.setattr(torch.multiprocessing, "parent_process", DeadCommand)
    learner = Trainer(plan, 0)
    learner.run()
    assert learner.step == 0
    assert not list(Path(plan.run).iterdir())


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
        known = Known(plane, planes, painted)
        if way == "carried":
            evidence = positions.carried(known, plane, REAL_LABELS, [1, 2], chosen, grid, 3.0)
        else:
            evidence = positions.relative(known, plane, [1, 2], grid)[None].expand(len(chosen), -1, -1, -1, -1)
        assert evidence.shape == (len(chosen), 2, EVIDENCE_CHANNELS, 32, 32)
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


def test_learning_curves_are_drawn_from_the_log(tmp_path: Path) -> None:
    lines = [
        {"step": s, "episodes": 12 * s, "seconds": s, "cross_entropy": 1 / s, "within": 0.5, "across": 0.4}
        for s in range(50, 500, 50)
    ]
    (tmp_path / LOG).write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    picture = draw_curves(tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_volume_has_a_positive_weight() -> None:
    assert all(weight > 0 for weight in volume_weights(volumes()))
