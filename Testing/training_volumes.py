"""Made-up volumes to draw episodes from, for the tests of episodes and of training."""

from __future__ import annotations

import numpy as np
import torch

from FewShotSegLib.training.episodes import EpisodeGroup, EpisodeSampler
from FewShotSegLib.training.sources import REAL_LABELS, TrainingVolume


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
