"""Features of the query's slices, kept so that a slice is encoded once however often it is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..network.encoding_decoding import Features

# A volume of 512 x 512 x 300 with three segments must stay below 1.5 GB in all; smaller ones leave more room.
_LEAST, _MOST = 60 * 2**20, 320 * 2**20
_LESS_FOR_A_VOXEL = 3.5


@dataclass
class _Look:
    """Features kept of one look: by slice, with their bytes, and the last run that asked for them."""

    slices: dict[int, tuple[Features, int]] = field(default_factory=dict)
    run: int = 0


class FeatureStore:
    """Keeps features in half precision, up to a limit of memory; what does not fit is encoded again when needed.

    What is kept belongs to one query. Features are rounded alike whether they are new or kept, so that a result does
    not depend on what was kept.

    A run goes from one look to the next and comes back to none: room is made by forgetting, first, looks that only
    earlier runs had, then this run's latest but the present one, since the next run begins as this one did.

    Args:
        limit: bytes; None for what a query of its size leaves.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._given_limit = limit
        self._limit = _LEAST if limit is None else limit
        self._query = ""
        self._run = 0
        self._used = 0
        self._looks: dict[Hashable, _Look] = {}

    def begin(self, stack: np.ndarray) -> None:
        """Starts a run; features of another query are forgotten.

        Args:
            stack: (Z, rows, columns) intensities of the query.
        """
        self._run += 1
        query = _digest(stack)
        if query != self._query:
            self._query, self._used = query, 0
            self._looks.clear()
            if self._given_limit is None:
                self._limit = max(int(_MOST - _LESS_FOR_A_VOXEL * stack.size), _LEAST)

    def features(self, look: Hashable, slices: list[int], encode: Callable[[list[int]], Features]) -> Features:
        """Features of some slices through one look (frame and window), encoded together where they are not kept.

        Args:
            look: what else decides the features.
            slices: slice numbers.
            encode: maps slice numbers to their features.
        """
        present = self._looks.pop(look, _Look())
        self._looks[look] = present  # the latest stands last
        present.run = self._run
        found = {z: present.slices[z][0] for z in slices if z in present.slices}
        missing = [z for z in slices if z not in found]
        if missing:
            encoded = encode(missing).to(torch.float16)
            for i, z in enumerate(missing):
                found[z] = encoded[i : i + 1]
                self._keep(present, z, found[z])
        return Features.concatenate([found[z] for z in slices]).to(torch.float32)

    def _keep(self, present: _Look, z: int, features: Features) -> None:
        size = features.nbytes
        while self._used + size > self._limit and len(self._looks) > 1:
            self._forget(present)
        if self._used + size <= self._limit:
            # a copy, because a slice of a batch would keep the whole batch alive
            present.slices[z] = features.clone(), size
            self._used += size

    def _forget(self, present: _Look) -> None:
        """Forgets one look other than the present one."""
        others = [key for key, look in self._looks.items() if look is not present]
        earlier = [key for key in others if self._looks[key].run < self._run]
        forgotten = self._looks.pop((earlier or others)[-1])
        self._used -= sum(size for _, size in forgotten.slices.values())


def _digest(stack: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{stack.shape} {stack.dtype}".encode(), digest_size=16)
    for plane in stack:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
