"""Groups of episodes drawn by processes of their own, so that a graphics card need not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .episodes import EpisodeGroup, EpisodeSampler

_WAITING = 4  # groups that each process draws ahead


class SamplerProcesses:
    """Draws as an :class:`EpisodeSampler` does, but ahead, in several processes.

    Args:
        make: gives a sampler for a seed.
        processes: how many.
        seed: of the first; each has one of its own.
    """

    def __init__(self, make: Callable[[int], EpisodeSampler], processes: int, seed: int) -> None:
        groups = _Groups(make, seed)
        self._groups = iter(DataLoader(groups, batch_size=None, num_workers=processes, prefetch_factor=_WAITING))

    def draw(self) -> EpisodeGroup:
        """Takes the next group, labels as int8 and evidence in half precision: they come through a pipe."""
        return next(self._groups)


class _Groups(IterableDataset):
    """Groups without end."""

    def __init__(self, make: Callable[[int], EpisodeSampler], seed: int) -> None:
        self._make, self._seed = make, seed

    def __iter__(self) -> Iterator[EpisodeGroup]:
        worker = get_worker_info()
        seed = self._seed + 7919 * (0 if worker is None else worker.id)
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        sampler = self._make(seed)
        while True:
            group = sampler.draw()
            evidence = None if group.evidence is None else group.evidence.half()
            yield replace(group, labels=group.labels.to(torch.int8), evidence=evidence)
