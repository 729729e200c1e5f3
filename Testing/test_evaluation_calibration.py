"""The temperature of the confidence: what it does to a result, how it is fitted, and on which stacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from FewShotSegLib import Segmenter
from FewShotSegLib.evaluation import calibration
from FewShotSegLib.evaluation.calibration import fitted_temperature, tempered
from FewShotSegLib.evaluation.measures import calibration_error
from FewShotSegLib.inference import finish
from FewShotSegLib.inference.finish import CONFIDENCE_TEMPERATURE, Layer, merge
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.training.sources import REAL_LABELS, TrainingVolume, save_volume
from FewShotSegLib.training.stack_episodes import StackEpisode, choose_volume, draw_stack


def merged(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    logits = torch.linspace(-6, 6, 2 * 16 * 16).reshape(2, 1, 16, 16)
    logits[1] = logits[1].flip(1)
    labels, confidence = np.zeros((1, 32, 32), np.uint8), np.zeros((1, 32, 32), np.float32)
    frame = Frame(0, 0, 32, 32, 32, 32)
    merge([Layer(frame, [1, 2], logits)], labels, confidence, [1, 2], temperature=temperature)
    return labels, confidence


def test_a_temperature_changes_how_sure_a_result_is_but_neither_its_labels_nor_the_order_of_its_voxels() -> None:
    labels, sure = merged(1.0)
    same, less_sure = merged(2.0)
    np.testing.assert_array_equal(labels, same)
    order = np.argsort(sure, axis=None, kind="stable")
    assert (np.diff(less_sure.ravel()[order]) >= -1e-6).all()
    likely = sure > 0.6
    assert (less_sure[likely] < sure[likely]).all()
    # Odds of 9 to 1 become 3 to 1.
    np.testing.assert_allclose(tempered(np.array([0.9]), 2.0), [0.75])
    np.testing.assert_allclose(less_sure, tempered(sure, 2.0), atol=1e-3)


def test_the_temperature_that_outcomes_were_drawn_with_is_found_again() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.3, 0.999, 40_000)
    right = rng.random(40_000) < truth
    too_sure = tempered(truth, 1 / 1.7)
    assert fitted_temperature(too_sure, right) == pytest.approx(1.7, rel=0.05)
    assert fitted_temperature(truth, right) == pytest.approx(1.0, rel=0.05)
    assert calibration_error(truth, right) < 0.01 < calibration_error(too_sure, right)


def a_volume(modality: str, set_name: str, name: str = "a") -> TrainingVolume:
    """Two tubes along the stack in a noisy box."""
    k, j, i = np.indices((30, 40, 44))
    labels = np.zeros(k.shape, np.uint8)
    labels[(abs(k - 13) < 11) & ((j - 14) ** 2 + (i - 15 - k / 5) ** 2 < 30)] = 3
    labels[(abs(k - 17) < 9) & ((j - 27) ** 2 + (i - 29) ** 2 < 40)] = 5
    image = np.array([0, 0, 0, 400, 0, 800])[labels] + np.random.default_rng(0).normal(100, 30, k.shape)
    return TrainingVolume(
        name=name,
        set_name=set_name,
        modality=modality,
        kind="volume",
        spacing_kji=(2.0, 1.0, 1.0),
        axes=[0, 1],
        image=image.astype(np.int16),
        labelings={REAL_LABELS: labels},
        label_names={3: "liver", 5: "spleen"},
        subject=name,
    )


def drawn(volume: TrainingVolume, count: int = 40) -> Iterator[StackEpisode]:
    for number in range(count):
        episode = draw_stack(np.random.default_rng([7, number]), volume)
        if episode is not None:
            yield episode


@pytest.mark.parametrize(
    ("modality", "set_name"), [("MR", "Colin27"), ("CT", "LIDC_CT"), ("synthetic", "synthetic_labelmaps")]
)
def test_stacks_hold_only_structures_that_are_painted_on_slices_of_theirs(modality: str, set_name: str) -> None:
    episodes = list(drawn(a_volume(modality, set_name)))
    assert len(episodes) >= 20
    for episode in episodes:
        shown = set(np.unique(episode.labels)) - {0}
        assert shown
        assert shown == set(np.unique(episode.labels[episode.painted])) - {0}
        assert episode.image.shape == episode.labels.shape
        assert episode.painted == sorted(set(episode.painted))
        assert np.isfinite(episode.image).all()
    assert {len(e.painted) for e in episodes} >= {1, 2, 3}
    assert len({e.spacing for e in episodes}) > 1, "slices of several thicknesses"
    assert any(len(set(np.unique(e.labels))) == 3 for e in episodes), "two structures at once"


def test_the_same_seed_draws_the_same_stack() -> None:
    first, second = (draw_stack(np.random.default_rng(5), a_volume("MR", "Colin27")) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.image, second.image)
    assert first.painted == second.painted


def test_volumes_without_labels_to_draw_from_are_refused() -> None:
    with pytest.raises(ValueError, match="prepare the open data sets"):
        choose_volume(np.random.default_rng(0), [a_volume("MR", "an unknown set")])


def test_the_command_writes_figures_of_a_small_run(tmp_path: Path) -> None:
    save_volume(a_volume("MR", "Colin27"), tmp_path / "cache")
    output = tmp_path / "calibration.json"
    arguments = ["--cache", str(tmp_path / "cache"), "--output", str(output), "--stacks", "3", "--threads", "1"]
    assert calibration.main(arguments) == 0
    figures = json.loads(output.read_text())
    assert 1 <= figures["all"]["stacks"] <= 3
    assert 0.2 <= figures["all"]["temperature"] <= 10
    assert set(figures["all"]) == {"stacks", "temperature", "error_without", "error_with_it", "error_in_use"}
    assert not list(tmp_path.glob("*.part"))


def test_a_segmenter_gives_the_tempered_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    episode = next(drawn(a_volume("MR", "Colin27")))
    rng = np.random.default_rng
    engine = Segmenter(device="cpu")
    less_sure, right = calibration.confidence_and_outcome(rng(0), engine, episode)
    monkeypatch.setattr(finish, "CONFIDENCE_TEMPERATURE", 1.0)
    sure, right_as_before = calibration.confidence_and_outcome(rng(0), engine, episode)
    np.testing.assert_array_equal(right, right_as_before)
    ordinary = sure < 0.999
    np.testing.assert_allclose(less_sure[ordinary], tempered(sure[ordinary], CONFIDENCE_TEMPERATURE), atol=1e-3)
