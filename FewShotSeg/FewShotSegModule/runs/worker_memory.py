"""What a worker has been told, so that nothing is told twice."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker import protocol
from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.protocol import Request
from FewShotSegModule.runs.run_input import RunInput

#: How many slices to paint next are asked for.
_SUGGESTIONS = 3


@dataclass(frozen=True)
class _Told:
    """The worker's volumes by what makes them up, and its session with what makes up each example, by their keys."""

    volumes: dict[Hashable, int]
    session: int | None = None
    target: Hashable = None
    examples: dict[str, Hashable] = field(default_factory=dict)


class WorkerMemory:
    """Tells with which requests a run is done by a worker that has done others before.

    A worker holds the volumes of the latest run, and one session. Volumes are told apart by their voxels, of which a
    checksum is taken for each run: also what a script changed in place, without a word to the scene, counts.

    Example::

        memory = WorkerMemory()
        for request in memory.requests(1, runInput, folder):
            client.send(request)
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._told = _Told({})

    def forget(self) -> None:
        """Takes note that the worker holds nothing any more."""
        self._told = _Told({})

    def requests(self, run: int, runInput: RunInput, folder: ArrayFolder, near: bool = False) -> list[Request]:
        """What to send for a run; arrays that the worker doesn't hold are written.

        :param near: Whether slices next to what changed are wanted as soon as they are there.
        :raises OSError: An array can't be written; what the worker holds is as before.
        """
        told = self._told
        contents = {v: _contentOf(v) for v in dict.fromkeys([runInput.query, *(e.image for e in runInput.examples)])}
        target = (contents[runInput.query], runInput.box, runInput.device)
        requests: list[Request] = []
        if told.session is not None and told.target != target:
            requests.append(protocol.Close(run=run, session=told.session))
            told = _Told(told.volumes)
        numbers, ofVolumes = self._volumes(run, contents, folder)
        requests += ofVolumes
        of = {volume: numbers[content] for volume, content in contents.items()}
        session = told.session
        if session is None:
            session = next(self._numbers)
            start, stop = runInput.box
            requests.append(
                protocol.Open(
                    run=run,
                    session=session,
                    volume=of[runInput.query],
                    start=start,
                    stop=stop,
                    device=runInput.device,
                )
            )
        examples = _byKey(runInput.examples, of)
        now = {key: _contentOfExample(example) for key, example in examples.items()}
        requests += [protocol.Remove(run=run, session=session, key=key) for key in told.examples if key not in now]
        requests += [
            protocol.Put.of(run, session, key, of[example.image], example, folder)
            for key, example in examples.items()
            if told.examples.get(key) != now[key]
        ]
        requests.append(
            protocol.Predict(
                run=run,
                session=session,
                quality=runInput.quality,
                refine=runInput.refine,
                near=near,
                suggest=_SUGGESTIONS,
            )
        )
        self._told = _Told(numbers, session, target, now)
        return requests

    def _volumes(
        self, run: int, contents: dict[Volume, Hashable], folder: ArrayFolder
    ) -> tuple[dict[Hashable, int], list[Request]]:
        """The numbers of volumes by what makes them up, and what makes them the worker's only ones."""
        told, needed = self._told.volumes, set(contents.values())
        requests: list[Request] = [
            protocol.Unload(run=run, volume=number) for content, number in told.items() if content not in needed
        ]
        numbers = {content: number for content, number in told.items() if content in needed}
        for volume, content in contents.items():
            if content not in numbers:
                numbers[content] = next(self._numbers)
                requests.append(protocol.Load.of(run, numbers[content], volume, folder))
        return numbers, requests


def _byKey(examples: Iterable[Example], numbers: Mapping[Volume, int]) -> dict[str, Example]:
    """Examples by what names their slices."""
    named: dict[str, Example] = {}
    for example in examples:
        key = place = f"{numbers[example.image]}-{example.axis}-{example.index}"
        # One slice given twice, by two copies of a volume for instance: what to say of that, the engine knows.
        while key in named:
            key = f"{place}-{len(named)}"
        named[key] = example
    return named


def _contentOf(volume: Volume) -> Hashable:
    """What makes up a volume: its voxels and their place."""
    return (_checksum(volume.array), volume.spacing, volume.origin, volume.direction)


def _contentOfExample(example: Example) -> Hashable:
    complete = example.complete
    said = tuple(sorted(complete.items())) if isinstance(complete, Mapping) else complete
    return (_checksum(example.mask), tuple(example.names.items()), said, example.background)


def _checksum(array: np.ndarray) -> Hashable:
    """Something that other voxels don't have; several thousand million bytes a second."""
    checksum = 0
    for plane in array:
        checksum = zlib.crc32(np.ascontiguousarray(plane).view(np.uint8).data, checksum)
    return (array.shape, array.dtype.str, checksum)
