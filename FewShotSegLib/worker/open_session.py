"""A session as the worker keeps it: on a region of a volume, with examples that have the client's keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.result import Note, Result
from FewShotSegLib.session import Session
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.protocol import Kji, Suggestion

Near = Callable[[int, list[int], np.ndarray, np.ndarray], None]


class OpenSession:
    """Translates between slices of the whole volume, as a client counts them, and those of the region.

    Args:
        start: starts the engine's session of a volume.
        volume: the whole volume.
        first, last: first voxel (k, j, i) of the region, and the one after its last.
        device: what computes it.

    Raises:
        VolumeError: the region is no image that can be segmented.
    """

    def __init__(self, start: Callable[[Volume], Session], volume: Volume, first: Kji, last: Kji, device: str) -> None:
        self.device = device
        self._volume, self._first, self._last = volume, first, last
        self._session = start(volume.cropped(first, last))
        self._keys: dict[str, int] = {}

    def put(self, key: str, example: Example) -> None:
        """Adds an example of whole volumes, or replaces the one of that key."""
        first, last = self._first[example.axis], self._last[example.axis]
        if example.image is self._volume and first <= example.index < last:
            plane = tuple(
                slice(*ends)
                for axis, ends in enumerate(zip(self._first, self._last, strict=True))
                if axis != example.axis
            )
            example = replace(example, image=self._session.query, index=example.index - first, mask=example.mask[plane])
        self._keys[key] = self._session.add(example, self._keys.get(key))

    def remove(self, key: str) -> None:
        """Takes an example out, if there is one of that key."""
        if key in self._keys:
            self._session.remove(self._keys.pop(key))

    def predict(
        self,
        *,
        quality: str,
        refine: float,
        progress: Callable[[str, int, int], None],
        overall: Callable[[float], None],
        near: Near | None,
    ) -> Result:
        """Segments the region; see `Session.predict`.

        Args:
            near: called with axis, slice numbers of the volume, labels and confidences.
        """

        def told(slices: list[int], labels: np.ndarray, confidence: np.ndarray) -> None:
            axis = self._axis()
            assert near is not None
            near(axis, [self._first[axis] + index for index in slices], labels, confidence)

        return self._session.predict(progress, quality, told if near is not None else None, refine, overall)

    def notes(self, result: Result) -> tuple[Note, ...]:
        """A result's notes, by slices of the volume."""
        return tuple(replace(note, index=self._first[note.axis] + note.index) for note in result.notes)

    def suggestions(self, count: int) -> tuple[Suggestion, ...]:
        """Slices of the volume to paint next.

        Raises:
            ExampleError: nothing was predicted yet.
        """
        return tuple(
            Suggestion(s.axis, self._first[s.axis] + s.index, tuple(int(v) for v in s.segments), s.reason)
            for s in self._session.suggest(count)
        )

    def _axis(self) -> int:
        """The axis along which the engine counts slices: that of most painted slices of the region."""
        query = self._session.query
        axes = [example.axis for example in self._session.examples.values() if example.image is query]
        return max(sorted(set(axes)), key=axes.count)
