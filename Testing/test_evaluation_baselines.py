"""The baselines: their mechanics worked out by hand, that they learn, and that they run inside the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from FewShotSegLib import Example
from FewShotSegLib.errors import WeightsError
from FewShotSegLib.evaluation import registry
from FewShotSegLib.evaluation.baselines import adnet, alpnet, ssp
from FewShotSegLib.evaluation.baselines.base import Baseline, BaselineSupport
from FewShotSegLib.evaluation.baselines.catalogue import BASELINES, load_baseline, save_baseline
from FewShotSegLib.evaluation.baselines.method import METHOD_NAMES, TRAINED
from FewShotSegLib.evaluation.baselines.trainer import WEIGHTS, BaselineTrainer, train_baseline
from FewShotSegLib.evaluation.baselines.universeg import CrossBlock
from FewShotSegLib.network.encoder import LiteEncoder
from FewShotSegLib.network.encoding_decoding import Features
from FewShotSegLib.network.model import class_fractions
from FewShotSegLib.training.episodes import EpisodeGroup, EpisodeSampler
from FewShotSegLib.training.sources import REAL_LABELS, TrainingVolume, save_volume
from FewShotSegLib.training.trainer import CHECKPOINT, Trainer, TrainingPlan

NAMES = sorted(BASELINES)


def maps_at_stride_8(values: Tensor) -> Features:
    """Features whose stride-8 map is given; the other maps are not looked at."""
    return Features(values, values, values, values, values)


class AsItIs(torch.nn.Module):
    """Stands in for the neck: the stride-8 map goes on as it is."""

    def forward(self, features: Features) -> Tensor:
        return features.mid


def without_neck(name: str) -> Baseline:
    network = BASELINES[name]()
    network.neck = AsItIs()
    return network


@pytest.fixture
def two_materials() -> tuple[Features, Tensor]:
    """One slice of 8 x 8 features, (1, 0) on the left half and (0, 1) on the right, and the mask of the left half."""
    values = torch.zeros(1, 2, 8, 8)
    values[:, 0, :, :4], values[:, 1, :, 4:] = 1, 1
    inside = values[:, :1].clone()
    return maps_at_stride_8(values), torch.cat([1 - inside, inside], dim=1)


def test_adnet_calls_inside_what_is_more_alike_than_its_threshold(two_materials: tuple[Features, Tensor]) -> None:
    features, masks = two_materials
    logits = without_neck("adnet").compare(features, BaselineSupport(features, masks))
    # Cosine 1 on the left and 0 on the right: scores -20 and 0 against the threshold of -10.
    assert logits.shape == (1, 1, 8, 8)
    torch.testing.assert_close(logits[0, 0, 0], torch.tensor([0.5 * (-10 + 20)] * 4 + [0.5 * (-10 - 0)] * 4))
    assert (adnet.SCALE, adnet.STEEPNESS, adnet.FIRST_THRESHOLD) == (20, 0.5, -10)


def test_alpnet_compares_with_local_prototypes_of_both_classes(two_materials: tuple[Features, Tensor]) -> None:
    features, masks = two_materials
    logits = without_neck("alpnet").compare(features, BaselineSupport(features, masks))
    # Windows of 4 x 4 lie wholly in one half, so all prototypes of a class are the same.
    torch.testing.assert_close(logits[0, 0, 0], torch.tensor([alpnet.SCALE] * 4 + [-alpnet.SCALE] * 4))


def test_alpnet_finds_a_background_that_an_average_would_hide() -> None:
    # The background is half (0, 1), half (0, -1): its mean is no direction, its windows are.
    values = torch.zeros(1, 2, 8, 8)
    values[:, 0, :, :4] = 1
    values[:, 1, :4, 4:], values[:, 1, 4:, 4:] = 1, -1
    inside = values[:, :1].clone()
    support = BaselineSupport(maps_at_stride_8(values), torch.cat([1 - inside, inside], dim=1))
    logits = without_neck("alpnet").compare(support.features, support)[0, 0]
    assert (logits[:, :4] > 15).all()
    assert (logits[:, 4:] < -15).all()


def test_ssp_moves_towards_what_the_query_itself_shows(two_materials: tuple[Features, Tensor]) -> None:
    features, masks = two_materials
    # The query's structure looks somewhat different: turned by 30 degrees towards the background.
    query = features.mid.clone()
    query[:, 0, :, :4], query[:, 1, :, :4] = np.cos(np.pi / 6), np.sin(np.pi / 6)
    logits = without_neck("ssp").compare(maps_at_stride_8(query), BaselineSupport(features, masks))
    # Foreground: half way between 0 and 30 degrees, so 15 off the pixel. Background: 90 degrees in both, so 60 off.
    expected = ssp.SCALE * (np.cos(np.pi / 12) - np.cos(np.pi / 3))
    assert float(logits[0, 0, 0, 0]) == pytest.approx(expected, abs=1e-4)
    assert float(logits[0, 0, 0, 7]) == pytest.approx(ssp.SCALE * (np.cos(np.pi * 75 / 180) - 1), abs=1e-4)


def test_a_cross_block_does_not_care_about_the_order_of_the_support() -> None:
    torch.manual_seed(0)
    block = CrossBlock(4)
    query, support = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 4, 6, 6)
    out, kept = block(query, support)
    again, turned = block(query, support[:, [2, 0, 1]])
    torch.testing.assert_close(again, out)
    torch.testing.assert_close(turned, kept[:, [2, 0, 1]])


def test_a_cross_block_is_the_convolution_of_each_joined_pair() -> None:
    conv2d, leaky_relu = torch.nn.functional.conv2d, torch.nn.functional.leaky_relu
    torch.manual_seed(0)
    block = CrossBlock(4)
    query, support = torch.randn(1, 4, 6, 6), torch.randn(1, 2, 4, 6, 6)
    weight = torch.cat([block.of_query.weight, block.of_support.weight], dim=1)
    joined = torch.cat([query.expand(2, -1, -1, -1), support[0]], dim=1)
    pairs = leaky_relu(conv2d(joined, weight, block.of_query.bias, padding=1))
    out, kept = block(query, support)
    torch.testing.assert_close(out, leaky_relu(block.next_query(pairs.mean(dim=0, keepdim=True))))
    assert block.next_support is not None
    torch.testing.assert_close(kept[0], leaky_relu(block.next_support(pairs)))


def test_the_cross_convolution_network_answers_what_is_painted() -> None:
    torch.manual_seed(0)
    network = BASELINES["universeg"]()
    with torch.no_grad():
        features = network.encode(torch.rand(2, 1, 64, 64) * 2 - 1)
        masks = torch.zeros(1, 2, 16, 16)
        masks[:, 0] = 1
        empty = network.compare(features[1:], network.build_support(features[:1], masks))
        masks[:, 1, 4:12, 4:12] = 1
        painted = network.compare(features[1:], network.build_support(features[:1], masks))
    # From the start what is painted changes the answer by a fair part, or it would never be learned from.
    assert float((painted - empty).abs().mean()) > 0.08 * float(empty.std())


@pytest.fixture(scope="module")
def encoded() -> tuple[Tensor, Tensor]:
    """Three slices of 64 x 64 and labels 0..2."""
    torch.manual_seed(0)
    labels = torch.zeros(3, 64, 64, dtype=torch.long)
    labels[:, 8:40, 8:32], labels[:, 24:56, 40:60] = 1, 2
    return torch.rand(3, 1, 64, 64) * 2 - 1, labels


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_answers_in_the_shapes_of_the_engines_network(name: str, encoded: tuple[Tensor, Tensor]) -> None:
    images, labels = encoded
    torch.manual_seed(1)
    network = BASELINES[name]().eval()
    with torch.inference_mode():
        features = network.encode(images)
        support = network.build_support(features[:1], class_fractions(labels[:1], 2, 4))
        match = network.match(features[1:], support)
        logits = network.decode(features[1:], match, network.look(match, None, 1, (2, 7, 0, 8))).logits
        whole = network(features[1:], support).logits
    assert match.coarse.shape == (2, 3, 8, 8)
    assert whole.shape == (2, 2, 32, 32)
    assert logits.shape == (2, 1, 20, 32)
    torch.testing.assert_close(logits, whole[:, 1:, 8:28])


@pytest.mark.parametrize("name", NAMES)
def test_a_segment_does_not_depend_on_what_else_is_asked_for(name: str, encoded: tuple[Tensor, Tensor]) -> None:
    images, labels = encoded
    torch.manual_seed(1)
    network = BASELINES[name]().eval()
    with torch.inference_mode():
        features = network.encode(images)
        both = network.build_support(features[:2], class_fractions(labels[:2], 2, 4))
        one = network.build_support(features[:2], class_fractions(torch.where(labels == 1, 1, 0)[:2], 1, 4))
        together, alone = network(features[2:], both).logits, network(features[2:], one).logits
    torch.testing.assert_close(together[:, :1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_baseline_learns(name: str, encoded: tuple[Tensor, Tensor]) -> None:
    images, labels = encoded
    torch.manual_seed(1)
    network = BASELINES[name]()
    features = network.encode(images)
    support = network.build_support(features[:1], class_fractions(labels[:1], 2, 4))
    fractions = class_fractions(labels, 2, 8)
    _, losses = network.losses(features[1:], support, labels[1:], fractions[1:])
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    unused = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


def a_lively_encoder() -> LiteEncoder:
    """An untrained encoder whose deepest maps still differ between pixels: weights of He's scale."""
    torch.manual_seed(4)
    encoder = LiteEncoder()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return encoder


def small(group: EpisodeGroup) -> EpisodeGroup:
    """The group at a third of its size, quick to learn from."""
    images = torch.nn.functional.avg_pool2d(group.images, 3)
    return replace(group, images=images, labels=group.labels[:, 1::3, 1::3], evidence=None)


@pytest.fixture
def a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two made-up training volumes, and an untrained encoder instead of ImageNet's."""
    state = a_lively_encoder().state_dict()
    monkeypatch.setattr("FewShotSegLib.training.trainer._imagenet", dict)
    monkeypatch.setattr(LiteEncoder, "load_imagenet", lambda self, _: self.load_state_dict(state))
    k, j, i = np.indices((28, 48, 52))
    for number in range(2):
        labels = np.zeros(k.shape, np.uint8)
        labels[(k - 12) ** 2 + (j - 20 - 3 * number) ** 2 + (i - 20) ** 2 < 90] = 1
        labels[(k - 15) ** 2 + (j - 34) ** 2 + (i - 36) ** 2 < 70] = 2
        image = np.array([100, 400, 700])[labels] + np.random.default_rng(number).normal(0, 30, k.shape)
        volume = TrainingVolume(
            name=f"v{number}", set_name="made up", modality="MR", kind="volume", spacing_kji=(2.0, 1.0, 1.0), axes=[0],
            image=image.astype(np.int16), labelings={REAL_LABELS: labels}, label_names={1: "one", 2: "two"},
            label_group="balls", subject=f"v{number}",
        )  # fmt: skip
        save_volume(volume, tmp_path / "cache")
    return tmp_path / "cache"


def a_plan(cache: Path, name: str, episodes: int) -> TrainingPlan:
    return TrainingPlan(str(cache), str(cache.parent / name), episodes, processes=1)


def test_a_baseline_is_trained_on_the_same_episodes_as_the_engines_network(a_cache: Path) -> None:
    plan = a_plan(a_cache, "same", 100)
    ours, theirs = Trainer(plan, 0), BaselineTrainer(plan, 0, "adnet")
    for _ in range(2):
        a, b = ours.sampler.draw(), theirs.sampler.draw()
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
    assert [group["scale"] for group in theirs.optimizer.param_groups] == [
        group["scale"] for group in ours.optimizer.param_groups
    ]
    trained = {id(p) for group in theirs.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in theirs.network.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", NAMES)
def test_a_baselines_loss_falls_on_a_group_it_sees_again(name: str, a_cache: Path) -> None:
    trainer = BaselineTrainer(a_plan(a_cache, name, 10_000), 0, name)
    group = small(trainer.sampler.draw())
    rng = np.random.default_rng(0)
    trainer.step = 200  # past the slow start of the rate
    sums = []
    for _ in range(30):
        record = trainer.learn(group, rng)
        sums.append(record["cross_entropy"] + record["dice"])
    assert np.mean(sums[-5:]) < 0.85 * np.mean(sums[:5]), sums


def test_training_writes_weights_that_load_and_goes_on_from_its_checkpoint(
    a_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = EpisodeSampler.draw
    monkeypatch.setattr(EpisodeSampler, "draw", lambda self: small(draw(self)))
    about = train_baseline(a_plan(a_cache, "ssp", 8), "ssp")
    first = int(about["episodes"])
    assert first >= 8
    loaded = load_baseline("ssp", a_cache.parent / "ssp" / WEIGHTS)
    state = torch.load(a_cache.parent / "ssp" / CHECKPOINT, weights_only=True)
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(value, state["average"][key])
    again = train_baseline(a_plan(a_cache, "ssp", 8), "ssp")
    assert int(again["episodes"]) == first, "what is finished is not trained on"
    assert int(train_baseline(a_plan(a_cache, "ssp", first + 8), "ssp")["episodes"]) >= first + 8


def test_weights_of_another_method_are_refused(tmp_path: Path) -> None:
    save_baseline("adnet", BASELINES["adnet"]().state_dict(), tmp_path / "w.safetensors", {})
    with pytest.raises(WeightsError, match="holds 'adnet'"):
        load_baseline("ssp", tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="No weights of the baseline"):
        load_baseline("ssp", tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="can't be read"):
        load_baseline("ssp", tmp_path / "broken.safetensors")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("within", [True, False])
def test_a_baseline_segments_volumes_inside_the_engine(name, within, tmp_path, a_volume_with_two_spheres):
    torch.manual_seed(2)
    (tmp_path / name).mkdir()
    save_baseline(name, BASELINES[name]().state_dict(), tmp_path / name / WEIGHTS, {})
    ingredients = registry.Ingredients(options={"refine": False}, baselines=tmp_path)
    method = registry.make_method(f"baseline-{name}", ingredients)
    query = a_volume_with_two_spheres.image
    support = query if within else query.with_array(query.array * 1.1)
    labelmap = a_volume_with_two_spheres.labels
    examples = Example.from_labelmap(support, labelmap, slices=[9, 14], complete="all")
    labels, confidence = method.segment(query, examples)
    assert labels.shape == query.shape
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert confidence is not None
    assert confidence.min() > 0
    if within:
        assert (labels[9] == a_volume_with_two_spheres.labels.array[9]).all()
    assert len(registry.weights_checksum(f"baseline-{name}", ingredients)) == 64


def test_a_baseline_that_was_not_trained_says_how_to(tmp_path: Path) -> None:
    ingredients = registry.Ingredients(baselines=tmp_path)
    for name in METHOD_NAMES:
        assert registry.weights_checksum(name, ingredients) == ""
    with pytest.raises(WeightsError, match=r"evaluation\.baselines trains it"):
        registry.make_method("baseline-ssp", ingredients).prepare()
    assert set(TRAINED) == {"ipl-sl", *BASELINES}
