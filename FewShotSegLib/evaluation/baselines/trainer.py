"""Trains a baseline exactly as IPL+SL is trained: the same trainer, episodes, rates, averaging and checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from FewShotSegLib.evaluation.baselines.base import BaselinePrediction
from FewShotSegLib.evaluation.baselines.catalogue import BASELINES, save_baseline
from FewShotSegLib.network.model import class_fractions
from FewShotSegLib.training.episodes import EpisodeGroup
from FewShotSegLib.training.trainer import CHECKPOINT, Trainer, TrainingPlan, require_start

WEIGHTS = "weights.safetensors"


class BaselineTrainer(Trainer):
    """One process of a baseline's training run.

    Everything but the network and its losses is the `Trainer`'s; evidence of painted slices is not shown.

    Args:
        plan: As for IPL+SL; `start_from` must be empty.
        rank: Number of the process.
        name: Key of `BASELINES`.
    """

    def __init__(self, plan: TrainingPlan, rank: int, name: str) -> None:
        if plan.start_from:
            raise ValueError("A baseline starts from the ImageNet encoder, as its rivals do; leave start_from empty.")
        self._name = name
        super().__init__(plan, rank)

    def _resume(self) -> None:
        # The trainer calls this when it has its network and optimizer, before it draws episodes: the place to put
        # another network in, with the same ImageNet encoder, the same frozen stages and the same rates.
        network = BASELINES[self._name]()
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        encoder = network.encoder
        encoder.load_state_dict(self.network.features.encoder.state_dict())
        for module in (encoder.stem, encoder.stages[0], encoder.stages[1]):
            module.requires_grad_(False)
        slow = [p for p in encoder.parameters() if p.requires_grad]
        known = {id(p) for p in encoder.parameters()}
        quick = [p for p in network.parameters() if id(p) not in known]
        settings = dict(self.optimizer.defaults)
        scales = [{"scale": group["scale"]} for group in self.optimizer.param_groups]
        self.network = network  # type: ignore[assignment]  # what the trainer calls of it is the same
        self.parameters = slow + quick
        self.optimizer = type(self.optimizer)(
            [{"params": slow, **scales[0]}, {"params": quick, **scales[1]}],
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
        )
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        super()._resume()

    def _losses(  # type: ignore[override]  # the trainer reads the prediction's logits only
        self, group: EpisodeGroup, rng: np.random.Generator
    ) -> tuple[BaselinePrediction, dict[str, Tensor], Tensor]:
        images = group.images.to(self.device).contiguous(memory_format=torch.channels_last)
        labels = group.labels.to(self.device)
        network, s = self.network, group.supports
        fractions = class_fractions(labels, group.segments, 4)
        features = network.encode(images)
        support = network.build_support(features[:s], fractions[:s])
        prediction, losses = network.losses(features[s:], support, labels[s:], F.avg_pool2d(fractions[s:], 2))  # type: ignore[operator]
        return prediction, losses, labels[s:]


def train_baseline(plan: TrainingPlan, name: str) -> dict[str, str]:
    """Trains until the plan's episodes are done (or its minutes over), and writes ``weights.safetensors``.

    Args:
        plan: Its run folder gets checkpoint, log and weights; the same plan goes on from the checkpoint.
        name: Key of `BASELINES`.

    Returns:
        What the file's header says about the training: episodes, steps, seconds.
    """
    require_start(plan)
    run = Path(plan.run)
    run.mkdir(parents=True, exist_ok=True)
    if plan.processes == 1:
        _worker(0, plan, name, "")
    else:
        meeting = run / f".meeting-{os.getpid()}"
        meeting.unlink(missing_ok=True)
        torch.multiprocessing.spawn(_worker, args=(plan, name, meeting.resolve().as_uri()), nprocs=plan.processes)
        meeting.unlink(missing_ok=True)
    state = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    about = {"episodes": str(state["episodes"]), "steps": str(state["step"]), "seconds": f"{state['seconds']:.0f}"}
    save_baseline(name, state["average"], run / WEIGHTS, about)
    return about


def _worker(rank: int, plan: TrainingPlan, name: str, meeting: str) -> None:
    torch.set_num_threads(plan.threads)
    if plan.processes > 1:
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=plan.processes)
    try:
        BaselineTrainer(plan, rank, name).run()
    finally:
        if plan.processes > 1:
            dist.destroy_process_group()
