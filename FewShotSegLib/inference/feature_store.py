"""Features of the query's slices, kept so that a slice is encoded once however often it is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable

import numpy as np
import torch

from ..network.encoding_decoding import Features

# A volume of 512 x 512 x 300 with three segments must stay below 1.5 GB in all.
_LIMIT = 60 * 2**20


class FeatureStore:
    """Keeps features in half precision, up to a limit of memory; what does not fit is encoded again when needed.

    What is kept belongs to one query. Features are rounded alike whether they are new or kept, so that a result does
    not depend on what was kept.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self.limit = limit
        self._query = ""
        self._run = 0
        self._used = 0
        self._kept: dict[Hashable, tuple[Features, int, int]] = {}

    def begin(self, stack: np.ndarray) -> None:
        """Starts a run; features of another query are forgotten.

        Args:
            stack: (Z, rows, columns) intensities of the query.
        """
        self._run += 1
        query = _digest(stack)
        if query != self._query:
            self._query, self._used = query, 0
            self._kept.clear()

    def features(self, look: Hashable, slices: list[int], encode: Callable[[list[int]], Features]) -> Features:
        """Features of some slices through one look (frame and window), encoded together where they are not kept.

        Args:
            look: what else decides the features.
            slices: slice numbers.
            encode: maps slice numbers to their features.
        """
        found: dict[int, Features] = {}
        for z in slices:
            if (look, z) in self._kept:
                found[z], size, _ = self._kept[look, z]
                self._kept[look, z] = found[z], size, self._run
        missing = [z for z in slices if z not in found]
        if missing:
            encoded = encode(missing).to(torch.float16)
            for i, z in enumerate(missing):
                found[z] = encoded[i : i + 1]
                self._keep((look, z), found[z])
        return Features.concatenate([found[z] for z in slices]).to(torch.float32)

    def _keep(self, key: Hashable, features: Features) -> None:
        size = features.nbytes
        if self._used + size > self.limit:
            self._forget_earlier_runs()
        if self._used + size <= self.limit:
            # a copy, because a slice of a batch would keep the whole batch alive
            self._kept[key] = features.clone(), size, self._run
            self._used += size

    def _forget_earlier_runs(self) -> None:
        self._kept = {key: kept for key, kept in self._kept.items() if kept[2] == self._run}
        self._used = sum(size for _, size, _ in self._kept.values())


def _digest(stack: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{stack.shape} {stack.dtype}".encode(), digest_size=16)
    for plane in stack:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
