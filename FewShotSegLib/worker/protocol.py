"""What an application and the engine's worker process say to each other; both sides import this file.

`python -m FewShotSegLib.worker FOLDER` reads requests from standard input and writes answers to standard output, one
JSON object a line: `{"version": 2, "is": KIND, "run": NUMBER, ...}`, where KIND is the name of a class below in lower
case and the rest are its fields. A line of another version is refused with a message, by either side. Arrays travel as
.npy files in the folder, which belongs to this conversation alone; whoever reads a file removes it. The worker ends,
and removes the folder, when its standard input ends, hence also when the application dies.

A conversation goes through volumes and sessions, which stay in the worker until they are given up, so that voxels cross
once and a changed slice alone:

* `Load` hands over a volume, `Unload` gives it up.
* `Open` starts a session: the segmentation of a volume, or of a region of it. `Put` adds an example to it or replaces
  the one that has its key, `Remove` takes one out, `Close` ends it.
* `Predict` segments with the examples as they are then, `Suggest` asks which slice to paint next.
* `Forget` gives up everything but the loaded network, and gives the memory back.

Slices are counted in whole volumes, and masks cover whole slices, whatever the session's region is. Examples on slices
of the session's volume that pass by its region serve as those of another volume.

Requests are done one after the other, and belong to a run, a number that the application chooses and all answers name.
Where one of a run's requests fails, the rest of them is skipped. Each `Predict` is answered by `Finished`, `Failed` or
`Cancelled`, each `Suggest` by `Suggested` or `Failed`, other requests only where they fail. `Cancel` is listened to in
the meantime: the run's prediction ends at its next step, mostly within a fraction of a second; what else its requests
did stays done. Sessions are as usable after a prediction that failed or was cancelled as before. After another request
failed, what the worker holds is best given up by `Forget`.

The names of all files begin with the run's number and a dash.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.example import Example
from FewShotSegLib.result import Note
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.array_folder import ArrayFolder, smallest

VERSION = 2

Kji = tuple[int, int, int]
"""A voxel, or a number of voxels, along (k, j, i)."""


class ProtocolError(FewShotSegError, ValueError):
    """A message that isn't understood.

    Attributes:
        run: the run that it belongs to, None where even that is unknown.
    """

    def __init__(self, text: str, run: int | None = None) -> None:
        super().__init__(text)
        self.run = run


class VersionError(ProtocolError):
    """A message of another version of the protocol."""


# Requests


@dataclass(frozen=True, kw_only=True)
class Load:
    """Hands over a volume.

    Attributes:
        volume: its number, which no other volume of the conversation had.
        array: file of its voxels (k, j, i).
        spacing, origin, direction, name: as of `FewShotSegLib.Volume`, in LPS.
    """

    run: int
    volume: int
    array: str
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    name: str = ""

    @classmethod
    def of(cls, run: int, number: int, volume: Volume, folder: ArrayFolder) -> Self:
        """The request for a volume, whose voxels are written; OSError where they can't be."""
        return cls.written(run, number, volume, folder.put(run, cls.file_name(number), volume.array))

    @staticmethod
    def file_name(number: int) -> str:
        """What the file of a volume's voxels is called, after the number of the run."""
        return f"volume{number}"

    @classmethod
    def written(cls, run: int, number: int, volume: Volume, array: str) -> Self:
        """The request for a volume whose voxels are in a file already."""
        return cls(
            run=run,
            volume=number,
            array=array,
            spacing=volume.spacing,
            origin=volume.origin,
            direction=volume.direction,
            name=volume.name,
        )

    def read(self, folder: ArrayFolder) -> Volume:
        """The volume; VolumeError where it is none."""
        return Volume.from_array(
            folder.take(self.array), self.spacing, self.origin, self.direction, name=str(self.name)
        )


@dataclass(frozen=True, kw_only=True)
class Unload:
    """Gives up a volume; sessions on it stay."""

    run: int
    volume: int


@dataclass(frozen=True, kw_only=True)
class Open:
    """Starts a session.

    Attributes:
        session: its number, which no other session of the conversation had.
        volume: number of the volume to segment.
        start, stop: first voxel (k, j, i) of the region that is segmented, and the one after its last.
        device: "auto", "cpu", "cuda", "cuda:1".
    """

    run: int
    session: int
    volume: int
    start: Kji
    stop: Kji
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Put:
    """Adds an example to a session, or replaces the one of that key.

    Attributes:
        key: chosen by the application; letters, digits and dashes, since it is part of a file's name.
        volume: number of the volume that the slice is of.
        axis, index, names, complete, background: as of `FewShotSegLib.Example`; a set in `complete` is a list.
        mask: file of the slice's label values.
    """

    run: int
    session: int
    key: str
    volume: int
    axis: int
    index: int
    mask: str
    names: dict[int, str]
    complete: Literal["all"] | list[int] | dict[int, bool] | None = None
    background: int | None = None

    @classmethod
    def of(cls, run: int, session: int, key: str, number: int, example: Example, folder: ArrayFolder) -> Self:
        """The request for an example of a volume with that number; its mask is written, OSError where it can't be."""
        return cls(
            run=run,
            session=session,
            key=key,
            volume=number,
            axis=example.axis,
            index=example.index,
            mask=folder.put(run, f"mask{key}", smallest(example.mask)),
            names=example.names,
            complete=sorted(said) if isinstance(said := example.complete, frozenset) else said,  # type: ignore[arg-type]
            background=example.background,
        )

    def read(self, image: Volume, folder: ArrayFolder) -> Example:
        """The example on its volume; ExampleError where it is none."""
        return Example(
            image,
            self.axis,
            self.index,
            folder.take(self.mask),
            names={value: str(name) for value, name in _by_value(self.names).items()},
            complete=_by_value(self.complete) if isinstance(self.complete, dict) else self.complete,
            background=self.background,
        )


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Takes an example out of a session, if there is one of that key."""

    run: int
    session: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Segments the session's region with the examples as they are.

    Attributes:
        quality: one of `FewShotSegLib.quality`.
        refine: how strongly boundaries are fitted to the intensities, 0 to 1.
        near: whether slices next to what changed are wanted as soon as they are there.
        suggest: how many slices to paint next are wanted.
    """

    run: int
    session: int
    quality: str
    refine: float = 1.0
    near: bool = False
    suggest: int = 0


@dataclass(frozen=True, kw_only=True)
class Suggest:
    """Asks which slices to paint next, by the session's latest prediction."""

    run: int
    session: int
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Close:
    """Ends a session, if it is open."""

    run: int
    session: int


@dataclass(frozen=True, kw_only=True)
class Forget:
    """Gives up all volumes and sessions, as of a scene that was closed. It belongs to no run, and can't fail."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Ends a run's prediction at its next step."""

    run: int


# Answers


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Said once, after the start."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Said at most about ten times a second, and for each new stage.

    Attributes:
        stage: one of `FewShotSegLib.stages`.
        done, total: steps of the stage; a total of 0 means that nothing is counted.
        part: the part of the whole prediction that is done, 0 to 1; None while the network is loaded.
    """

    run: int
    stage: str
    done: int
    total: int
    part: float | None = None


@dataclass(frozen=True, kw_only=True)
class Near:
    """A first answer for slices next to what changed.

    Attributes:
        axis, slices: which slices of the volume.
        labels, confidence: files of arrays (slices, rows, columns), of the session's region in the plane.
    """

    run: int
    axis: int
    slices: list[int]
    labels: str
    confidence: str


@dataclass(frozen=True)
class Suggestion:
    """A slice to paint next.

    Attributes:
        axis, index: which slice of the volume.
        segments: label values of the structures it is suggested for, the most doubtful first.
        reason: why, in a few words.
    """

    axis: int
    index: int
    segments: tuple[int, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The result of a prediction.

    Attributes:
        labels, confidence: files of arrays (k, j, i) of the session's region.
        device: what computed it.
        notes: structures that were found on slices where they are not painted yet.
        suggestions: slices to paint next, best first, as many as were asked for at most.
    """

    run: int
    labels: str
    confidence: str
    device: str
    notes: tuple[Note, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(_made(Note, note) for note in self.notes))
        object.__setattr__(self, "suggestions", _suggestions(self.suggestions))


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """Slices to paint next, best first."""

    run: int
    suggestions: tuple[Suggestion, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "suggestions", _suggestions(self.suggestions))


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A request that could not be carried out.

    Attributes:
        request: which kind of request it was.
        kind: "input" (the engine refused what it was given), "memory", "disk" (no room for results), "packages" (one is
            missing or broken), "protocol" (the request isn't understood, or names what was not handed over) or "crash"
            (anything else; the traceback goes to standard error).
        message: what happened and what to do about it, for users.
    """

    run: int
    request: str
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """A prediction that was cancelled."""

    run: int


Request = Load | Unload | Open | Put | Remove | Predict | Suggest | Close | Forget | Cancel
Answer = Ready | Progress | Near | Finished | Suggested | Failed | Cancelled

REQUESTS: tuple[type[Request], ...] = (Load, Unload, Open, Put, Remove, Predict, Suggest, Close, Forget, Cancel)
ANSWERS: tuple[type[Answer], ...] = (Ready, Progress, Near, Finished, Suggested, Failed, Cancelled)


def kind_of(message: Request | Answer | type[Request] | type[Answer]) -> str:
    """How a kind of message is called in a line."""
    return (message if isinstance(message, type) else type(message)).__name__.lower()


def encode(message: Request | Answer) -> bytes:
    """A message as a line."""
    content = {"version": VERSION, "is": kind_of(message)} | dataclasses.asdict(message)
    return json.dumps(content).encode() + b"\n"


def decode_request(line: bytes) -> Request:
    """The request in a line; ProtocolError where there is none."""
    return _decode(line, REQUESTS)


def decode_answer(line: bytes) -> Answer:
    """The answer in a line; ProtocolError where there is none."""
    return _decode(line, ANSWERS)


def _decode(line: bytes, kinds: Iterable[type[Any]]) -> Any:
    shown = line[:200]
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"A message is no JSON ({type(error).__name__}): {shown!r}.") from None
    if not isinstance(content, dict):
        raise ProtocolError(f"A message is {shown!r}, expected a JSON object.")
    run = content.get("run")
    run = run if isinstance(run, int) else None
    version = content.pop("version", 1)
    if version != VERSION:
        raise VersionError(
            f"Two versions of FewShotSeg talk to each other, by version {version} of their protocol and by version "
            f"{VERSION}; restart the application, and see that only one of them is installed.",
            run,
        )
    name = content.pop("is", None)
    kind = next((kind for kind in kinds if kind_of(kind) == name), None)
    if kind is None:
        raise ProtocolError(f"A message is of the kind {name!r}, expected {', '.join(map(kind_of, kinds))}.", run)
    return _made(kind, content, run)


def _made(kind: type[Any], content: Any, run: int | None = None) -> Any:
    """A dataclass of its fields; as it is where it was made before."""
    if isinstance(content, kind):
        return content
    try:
        return kind(**content)
    except TypeError as error:
        raise ProtocolError(f"The fields of a message {kind.__name__.lower()} are wrong: {error}.", run) from None


def _by_value(said: Mapping[Any, Any]) -> dict[int, Any]:
    """What is said of label values; in JSON they are texts."""
    return {int(value): what for value, what in said.items()}


def _suggestions(given: Iterable[Any]) -> tuple[Suggestion, ...]:
    made = [_made(Suggestion, suggestion) for suggestion in given]
    return tuple(dataclasses.replace(suggestion, segments=tuple(suggestion.segments)) for suggestion in made)
