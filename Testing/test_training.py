"""Training: losses by hand, a few steps, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_volumes import drawn, volumes

from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.matching import SupportSet
from FewShotSegLib.network.model import FewShotNetwork, Prediction
from FewShotSegLib.training import episodes, trainer
from FewShotSegLib.training.curves import draw_curves
from FewShotSegLib.training.episodes import EpisodeGroup, EpisodeSampler
from FewShotSegLib.training.export import export
from FewShotSegLib.training.losses import soft_dice, with_background
from FewShotSegLib.training.mixture import volume_weights
from FewShotSegLib.training.sources import save_volume
from FewShotSegLib.training.trainer import CHECKPOINT, LOG, Trainer, TrainingPlan
from FewShotSegLib.weights import load_network

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
        group.stack,
    )


def a_group_in_a_stack() -> EpisodeGroup:
    """Small, of neighbouring slices whose volume has painted ones."""
    return small(next(group for group in drawn(seed=3, count=8, within=1.0) if group.within and group.stack))


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


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_few_steps_reduce_the_loss_of_a_fixed_group(plan: TrainingPlan, bfloat16: bool) -> None:
    group = small(drawn(seed=3, count=1, within=1.0)[0])
    learner = Trainer(replace(plan, bfloat16=bfloat16), 0)
    rng = np.random.default_rng(1)
    assert group.evidence is not None
    totals = []
    for _ in range(16):
        learner.step += 20  # past the warm-up
        record = learner.learn(group, rng)
        totals.append(record["cross_entropy"] + record["dice"])
        learner.episodes = 0
    assert np.isfinite(totals).all()
    assert np.mean(totals[-4:]) < 0.8 * np.mean(totals[:4])
    assert {parameter.dtype for parameter in learner.parameters} == {torch.float32}


def test_the_first_stages_of_the_encoder_stay_as_they_are(plan: TrainingPlan) -> None:
    learner = Trainer(plan, 0)
    before = {k: v.clone() for k, v in learner.network.state_dict().items()}
    learner.learn(small(drawn(seed=3, count=1)[0]), np.random.default_rng(1))
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, before[k])}
    frozen = ("features.encoder.stem.", "features.encoder.stages.0.", "features.encoder.stages.1.")
    assert changed
    assert not any(key.startswith(frozen) for key in changed)


def test_a_frozen_encoder_stays_as_it_is_while_the_rest_learns(plan: TrainingPlan) -> None:
    learner = Trainer(replace(plan, frozen=True), 0)
    before = {k: v.clone() for k, v in learner.network.state_dict().items()}
    learner.learn(small(drawn(seed=3, count=1)[0]), np.random.default_rng(1))
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, before[k])}
    assert any(key.startswith("features.deep.") for key in changed)
    assert any(key.startswith("head.") for key in changed)
    assert not any(key.startswith("features.encoder.") for key in changed)


def test_the_head_alone_learns_where_only_it_is_asked_to(plan: TrainingPlan) -> None:
    learner = Trainer(replace(plan, frozen=True, only_head=True), 0)
    before = {k: v.clone() for k, v in learner.network.state_dict().items()}
    learner.learn(a_group_in_a_stack(), np.random.default_rng(1))
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, before[k])}
    assert "head.stack.widen.weight" in changed
    assert all(key.startswith("head.") for key in changed)


def test_what_is_unknown_on_a_support_slice_is_no_example_of_anything(
    plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, group, masks = Trainer(plan, 0), a_group_in_a_stack(), []
    build = FewShotNetwork.build_support

    def noted(self: FewShotNetwork, features: Features, given: Tensor) -> SupportSet:
        masks.append(given)
        return build(self, features, given)

    monkeypatch.setattr(FewShotNetwork, "build_support", noted)
    labels = group.labels.clone()
    labels[: group.supports] = labels[: group.supports].clamp(min=0)
    labels[: group.supports, :, :8] = -1
    _, losses, _ = learner._losses(replace(group, labels=labels), np.random.default_rng(1))
    known = masks[0].sum(dim=1)
    assert not known[..., :2].any()
    assert (known[..., 2:] == 1).all()
    assert all(torch.isfinite(value) for value in losses.values())


def test_neighbouring_queries_have_context_and_others_have_none(
    plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_ALONE", 0.0)
    learner = Trainer(plan, 0)
    with_context: list[bool] = []
    forward = FewShotNetwork.forward

    def noted(self: FewShotNetwork, *args: Any) -> Prediction:
        with_context.append(args[3])
        return forward(self, *args)

    monkeypatch.setattr(FewShotNetwork, "forward", noted)
    learner.learn(a_group_in_a_stack(), np.random.default_rng(1))
    for in_stacks in (1.0, 0.0):
        monkeypatch.setattr(episodes, "_IN_STACKS", in_stacks)
        learner.learn(small(drawn(seed=3, count=1, within=0.0)[0]), np.random.default_rng(1))
    assert with_context == [True, True, False]


def test_processes_of_their_own_draw_groups_that_differ_and_are_learned_from(plan: TrainingPlan) -> None:
    learner = Trainer(replace(plan, samplers=2), 0)
    groups = [learner.sampler.draw() for _ in range(4)]
    assert len({float(group.images.sum()) for group in groups}) == 4
    assert groups[0].labels.dtype == torch.int8
    record = learner.learn(small(groups[0]), np.random.default_rng(1))
    assert np.isfinite(record["cross_entropy"])


def test_training_goes_on_where_it_stopped(plan: TrainingPlan) -> None:
    first = Trainer(plan, 0)
    for group in drawn(seed=3, count=2):
        first.learn(small(group), np.random.default_rng(1))
    first.save()
    again = Trainer(plan, 0)
    assert (again.step, again.episodes) == (first.step, first.episodes) == (2, first.episodes)
    for mine, theirs in ((again.network.state_dict(), first.network.state_dict()), (again.average, first.average)):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    group = small(drawn(seed=4, count=1)[0])
    for learner in (first, again):
        learner.learn(group, np.random.default_rng(2))
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
    assert learner.average_gradients(7) == 12
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
