"""What a worker has been told, so that nothing is told twice."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker import protocol
from FewShotSegLib.worker.protocol import ArrayFolder, Request
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
        volumes = {id(volume): volume for volume in (runInput.query, *(e.image for e in runInput.examples))}
        contents = {key: _contentOf(volume) for key, volume in volumes.items()}
        target = (contents[id(runInput.query)], runInput.box, runInput.device)
        requests: list[Request] = []
        if told.session is not None and told.target != target:
            requests.append(protocol.Close(run=run, session=told.session))
            told = _Told(told.volumes)
        requests += [
            protocol.Unload(run=run, volume=number)
            for content, number in told.volumes.items()
            if content not in contents.values()
        ]
        numbers = {c: number for c, number in told.volumes.items() if c in contents.values()}
        for image, content in contents.items():
            if content not in numbers:
                numbers[content] = next(self._numbers)
                requests.append(protocol.Load.of(run, numbers[content], volumes[image], folder))
        session = told.session
        if session is None:
            session = next(self._numbers)
            requests.append(
                protocol.Open(
                    run=run,
                    session=session,
                    volume=numbers[contents[id(runInput.query)]],
                    start=runInput.box[0],
                    stop=runInput.box[1],
                    device=runInput.device,
                )
            )
        now: dict[str, Hashable] = {}
        puts: list[Request] = []
        for example in runInput.examples:
            number = numbers[contents[id(example.image)]]
            key = place = f"{number}-{example.axis}-{example.index}"
            # One slice given twice, by two copies of a volume for instance: what to say of that, the engine knows.
            while key in now:
                key = f"{place}-{len(now)}"
            now[key] = _contentOfExample(example)
            if told.examples.get(key) != now[key]:
                puts.append(protocol.Put.of(run, session, key, number, example, folder))
        requests += [protocol.Remove(run=run, session=session, key=key) for key in told.examples if key not in now]
        requests += puts
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


def _contentOf(volume: Volume) -> Hashable:
    """What makes up a volume: its voxels and their place."""
    return (_checksum(volume.array), volume.spacing, volume.origin, volume.direction)


def _contentOfExample(example: Example) -> Hashable:
    return (_checksum(example.mask), tuple(example.names.items()), example.complete, example.background)


def _checksum(array: np.ndarray) -> Hashable:
    """Something that other voxels don't have; several thousand million bytes a second."""
    checksum = 0
    for plane in array:
        checksum = zlib.crc32(np.ascontiguousarray(plane).view(np.uint8).data, checksum)
    return (array.shape, array.dtype.str, checksum)
