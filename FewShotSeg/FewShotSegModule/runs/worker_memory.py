"""What a worker has been told, so that nothing is told twice."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker import protocol
from FewShotSegLib.worker.array_folder import ArrayFolder, in_parts
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

    A worker holds the volumes of the latest run, and one session. Volumes are told apart by a checksum of their voxels,
    which is not taken again of one that has the stamp that it had.

    Example::

        memory = WorkerMemory()
        preparing = memory.prepare(1, runInput, folder)
        while True:
            try:
                next(preparing)
            except StopIteration as done:
                requests = done.value
                break
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._told = _Told({})
        #: What makes up volumes, by their stamps.
        self._stamped: dict[Hashable, Hashable] = {}

    def forget(self) -> None:
        """Takes note that the worker holds nothing any more."""
        self._told = _Told({})

    def prepare(
        self, run: int, runInput: RunInput, folder: ArrayFolder, near: bool = False
    ) -> Generator[None, None, list[Request]]:
        """Writes the arrays that the worker doesn't hold, step by step, and returns what to send for a run.

        Each step takes some milliseconds. Where a volume is modified between two steps, by its stamp, or the worker
        forgets what it holds, all is begun anew. Who gives it up halfway has changed nothing.

        :param near: Whether slices next to what changed are wanted as soon as they are there.
        :raises OSError: An array can't be written; what the worker holds is as before.
        """
        while True:
            before, held = _read(runInput.stamps), self._told
            try:
                told, requests = yield from self._prepare(run, runInput, folder, near)
            except BaseException:  # also one that is given up
                folder.discard(run)
                raise
            if _read(runInput.stamps) == before and self._told is held:
                self._told = told
                return requests
            self._stamped.clear()
            folder.discard(run)

    def _prepare(
        self, run: int, runInput: RunInput, folder: ArrayFolder, near: bool
    ) -> Generator[None, None, tuple[_Told, list[Request]]]:
        told = self._told
        contents = yield from self._contents(runInput)
        target = (contents[runInput.query], runInput.box, runInput.device)
        requests: list[Request] = []
        if told.session is not None and told.target != target:
            requests.append(protocol.Close(run=run, session=told.session))
            told = _Told(told.volumes)
        numbers, ofVolumes = yield from self._volumes(run, contents, folder)
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
        for key, example in examples.items():
            if told.examples.get(key) != now[key]:
                requests.append(protocol.Put.of(run, session, key, of[example.image], example, folder))
                yield
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
        return _Told(numbers, session, target, now), requests

    def _contents(self, runInput: RunInput) -> Generator[None, None, dict[Volume, Hashable]]:
        """What makes up each volume: its voxels and their place."""
        contents: dict[Volume, Hashable] = {}
        stamped: dict[Hashable, Hashable] = {}
        for volume in dict.fromkeys([runInput.query, *(example.image for example in runInput.examples)]):
            stamp = runInput.stamps[volume]() if volume in runInput.stamps else None
            voxels = self._stamped.get(stamp) if stamp is not None else None
            if voxels is None:
                voxels = yield from _checksumInParts(volume.array)
            if stamp is not None:
                stamped[stamp] = voxels
            contents[volume] = (voxels, volume.spacing, volume.origin, volume.direction)
        self._stamped = stamped
        return contents

    def _volumes(
        self, run: int, contents: dict[Volume, Hashable], folder: ArrayFolder
    ) -> Generator[None, None, tuple[dict[Hashable, int], list[Request]]]:
        """The numbers of volumes by what makes them up, and what makes them the worker's only ones."""
        told, needed = self._told.volumes, set(contents.values())
        requests: list[Request] = [
            protocol.Unload(run=run, volume=number) for content, number in told.items() if content not in needed
        ]
        numbers = {content: number for content, number in told.items() if content in needed}
        for volume, content in contents.items():
            if content not in numbers:
                number = numbers[content] = next(self._numbers)
                array = yield from folder.put_in_parts(run, protocol.Load.file_name(number), volume.array)
                requests.append(protocol.Load.written(run, number, volume, array))
        return numbers, requests


def _read(stamps: Mapping[Volume, Callable[[], Hashable]]) -> list[Hashable]:
    return [stamp() for stamp in stamps.values()]


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


def _contentOfExample(example: Example) -> Hashable:
    complete = example.complete
    said = tuple(sorted(complete.items())) if isinstance(complete, Mapping) else complete
    return (_checksum(example.mask), tuple(example.names.items()), said, example.background)


def _checksum(array: np.ndarray) -> Hashable:
    """Something that other values don't have."""
    return (array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data))


def _checksumInParts(array: np.ndarray) -> Generator[None, None, Hashable]:
    """Something that other voxels don't have."""
    checksum = 0
    for part in in_parts(array.shape, array.itemsize):
        checksum = zlib.crc32(np.ascontiguousarray(array[part]).view(np.uint8).data, checksum)
        yield
    return (array.shape, array.dtype.str, checksum)
