"""Encodings: features of the query's slices and the motion between them, found once however often they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch

from ..network.encoding_decoding import Features
from ..preprocessing.intensity import Window
from ..priors import Motion

# A volume of 512 x 512 x 300 with three segments must stay below 1.5 GB in all; smaller ones leave more room.
_LEAST, _MOST = 60 * 2**20, 320 * 2**20
_LESS_FOR_A_VOXEL = 3.5
# Part of the limit that the motion of one view may take: of tall stacks features are worth more.
_MOST_FOR_MOTION = 0.25


@dataclass
class _Seen:
    """What is kept of one view: features by slice, with their bytes; the motion; the last run that asked for any."""

    slices: dict[int, tuple[Features, int]] = field(default_factory=dict)
    motion: Motion | None = None
    run: int = 0

    @property
    def nbytes(self) -> int:
        return sum(size for _, size in self.slices.values()) + (self.motion.nbytes if self.motion else 0)


class Encodings:
    """Keeps features and motion in half precision, up to a limit of memory; what does not fit is found anew each time.

    What is kept belongs to one query. Features are rounded alike whether they are new or kept, so that a result does
    not depend on what was kept.

    A run goes from one view to the next and comes back to none: room is made by forgetting, first, views that only
    earlier runs had, then this run's latest but the present one, since the next run begins as this one did.

    Args:
        limit: bytes; None for what a query of its size leaves.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._given_limit = limit
        self._limit = _LEAST if limit is None else limit
        self._lock = Lock()  # chunks of slices are encoded by several threads
        self._query = ""
        self._stack: np.ndarray | None = None
        self._run = 0
        self._used = 0
        self._views: dict[Hashable, _Seen] = {}
        self._windows: dict[Hashable, Window] = {}

    def begin(self, stack: np.ndarray) -> None:
        """Starts a run; features of another query are forgotten.

        Args:
            stack: (Z, rows, columns) intensities of the query.
        """
        self._run += 1
        if self._stack is not None and _is_same_view(stack, self._stack):
            return
        self._stack = stack
        query = _digest(stack)
        if query != self._query:
            self._query, self._used = query, 0
            self._views.clear()
            self._windows.clear()
            if self._given_limit is None:
                self._limit = max(int(_MOST - _LESS_FOR_A_VOXEL * stack.size), _LEAST)

    def window(self, frame: Hashable, measure: Callable[[], Window]) -> Window:
        """The intensity window of a frame, measured where it is not kept."""
        if frame not in self._windows:
            self._windows[frame] = measure()
        return self._windows[frame]

    def features(self, view: Hashable, slices: list[int], encode: Callable[[list[int]], Features]) -> Features:
        """Features of some slices through one view (frame and window), encoded together where they are not kept.

        Args:
            view: what else decides the features.
            slices: slice numbers.
            encode: maps slice numbers to their features.
        """
        with self._lock:
            present = self._present(view)
            found = {z: present.slices[z][0] for z in slices if z in present.slices}
        missing = [z for z in slices if z not in found]
        if missing:
            encoded = encode(missing).to(torch.float16)
            for i, z in enumerate(missing):
                found[z] = encoded[i : i + 1]
            with self._lock:
                for z in missing:
                    self._keep(present, z, found[z])
        return Features.concatenate([found[z] for z in slices]).to(torch.float32)

    def motion(self, view: Hashable, measure: Callable[[], Motion]) -> Motion:
        """The motion between the slices as a view shows them.

        Args:
            view: as for `features`.
            measure: finds it where it is not kept.
        """
        present = self._present(view)
        if present.motion is not None:
            return present.motion
        motion = measure()
        if motion.nbytes <= self._limit * _MOST_FOR_MOTION and self._take_room(present, motion.nbytes):
            present.motion = motion
        return motion

    def _present(self, view: Hashable) -> _Seen:
        present = self._views.pop(view, _Seen())
        self._views[view] = present  # the latest stands last
        present.run = self._run
        return present

    def _keep(self, present: _Seen, z: int, features: Features) -> None:
        size = features.nbytes
        if z not in present.slices and self._take_room(present, size):
            # a copy, because a slice of a batch would keep the whole batch alive
            present.slices[z] = features.clone(), size

    def _take_room(self, present: _Seen, size: int) -> bool:
        """Takes room for so many bytes; False where none can be made."""
        while self._used + size > self._limit and len(self._views) > 1:
            self._forget(present)
        if self._used + size > self._limit:
            return False
        self._used += size
        return True

    def _forget(self, present: _Seen) -> None:
        """Forgets one view other than the present one."""
        others = [key for key, view in self._views.items() if view is not present]
        earlier = [key for key in others if self._views[key].run < self._run]
        forgotten = self._views.pop((earlier or others)[-1])
        self._used -= forgotten.nbytes


def _is_same_view(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are views of the very same memory, which spares comparing them."""
    return a.__array_interface__ == b.__array_interface__


def _digest(stack: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{stack.shape} {stack.dtype}".encode(), digest_size=16)
    for plane in stack:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
