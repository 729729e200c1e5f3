"""What is asked for: the query as a stack of slices, and every painted slice laid out as one record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import ExampleError
from ..example import Example
from ..preprocessing.frame import Bounds
from ..preprocessing.views import AS_IT_LIES, PlaneTurn, SliceView, matching_axis, turn_between
from ..volume import AXIS_NAMES, Volume

UNKNOWN = -1
"""Label of a pixel of which nothing is known."""


@dataclass(frozen=True, eq=False)
class Support:
    """A painted slice, of the query or of another volume.

    Attributes:
        view: the volume it is from, as a stack along the slice's axis.
        index: slice number in it.
        labels: (rows, columns) as they lie in that volume: 1..L where a segment is painted, 0 where background is,
            `UNKNOWN` where nothing is.
        said: of segments 1..L, True where everything on the slice is painted, or where they are not on it, False where
            unpainted pixels may be theirs; of those that are not among them it is to be found out.
        turn: how to lay the slice as the query's slices lie.
    """

    view: SliceView
    index: int
    labels: np.ndarray
    said: Mapping[int, bool]
    turn: PlaneTurn = AS_IT_LIES

    @property
    def image(self) -> np.ndarray:
        """(rows, columns) intensities, turned."""
        return self.turn(self.view.array[self.index])

    @property
    def stack(self) -> np.ndarray:
        """(Z, rows, columns) all slices of its volume, turned."""
        return self.turn(self.view.array)

    @property
    def mask(self) -> np.ndarray:
        """(rows, columns) segments 0..L, turned; what is not painted is 0."""
        return self.turn(np.maximum(self.labels, 0))

    @property
    def pixel(self) -> tuple[float, float]:
        """(row, column) pixel size in mm, turned."""
        return self.turn.pixel(self.view.pixel)

    @property
    def body(self) -> Bounds:
        """Bounding box of its volume's body in the plane: top, bottom, left, right in pixels, turned."""
        return self.turn.bounds(self.view.body, self.labels.shape)

    @cached_property
    def segments(self) -> frozenset[int]:
        """Segments that are painted on it."""
        return frozenset(np.unique(self.labels).tolist()) - {0, UNKNOWN}

    @property
    def complete(self) -> frozenset[int]:
        """Segments that are known to be painted completely, or not to be there."""
        return frozenset(segment for segment, whole in self.said.items() if whole)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        of = f" of '{self.view.volume.name}'" if self.view.volume.name else ""
        return f"slice {self.index} along {AXIS_NAMES[self.view.axis]}{of}"


@dataclass(frozen=True)
class Query:
    """A volume to segment with its examples.

    Attributes:
        view: the volume as a stack of slices.
        values: label values of segments 1..L.
        names: names by label value.
        own: painted slices of the stack, by slice number.
        crossing: painted slices of the volume along other axes.
        foreign: painted slices of other volumes.
    """

    view: SliceView
    values: list[int]
    names: dict[int, str]
    own: list[Support]
    crossing: list[Support]
    foreign: list[Support]

    @property
    def segments(self) -> list[int]:
        """1..L."""
        return list(range(1, len(self.values) + 1))

    @property
    def is_painted(self) -> bool:
        """Whether any slice of the query itself is painted with a segment."""
        return any(s.segments for s in (*self.own, *self.crossing))

    @property
    def shown(self) -> list[Support]:
        """Slices that show the network what segments look like, besides those of the stack."""
        return [*self.foreign, *self.crossing]

    def name_of(self, segment: int) -> str:
        """A segment's name, or its label value."""
        value = self.values[segment - 1]
        return self.names.get(value, f"label {value}")


def lay_out(volume: Volume, examples: Sequence[Example], values: list[int]) -> Query:
    """Chooses the slice axis and sorts the examples.

    The axis is the one that most examples were painted along, seen from the query.

    Args:
        volume: the volume to segment.
        examples: checked examples.
        values: label values of the segments, ascending.

    Raises:
        ExampleError: slices of one volume that cross contradict each other, or one slice is given twice in two ways.
    """
    images = _distinct([volume, *(e.image for e in examples)])
    on_query = [images[id(e.image)] is volume for e in examples]
    axis = _axis(volume, examples, on_query)
    view = SliceView(volume, axis)
    index = np.zeros(max(values) + 1, np.int32)
    index[values] = np.arange(1, len(values) + 1)
    names = {v: n for e in examples for v, n in e.names.items() if v in values}

    own: dict[int, Support] = {}
    crossing: list[Support] = []
    foreign: list[Support] = []
    views: dict[tuple[int, int], SliceView] = {(id(volume), axis): view}
    seen: dict[tuple[int, int, int], Support] = {}
    for example, is_own in zip(examples, on_query, strict=True):
        image = images[id(example.image)]
        source = views.setdefault((id(image), example.axis), SliceView(image, example.axis))
        support = Support(source, example.index, _labels(example, index), _said(example, index, len(values)))
        same = seen.setdefault((id(image), example.axis, example.index), support)
        if same is not support:
            _require_same(same, support)
        elif is_own and example.axis == axis:
            own[example.index] = support
        else:
            support = replace(support, turn=turn_between(source, view))
            (crossing if is_own else foreign).append(support)
    query = Query(view, values, names, [own[z] for z in sorted(own)], crossing, foreign)
    _require_agreement(query, [*query.own, *crossing])
    for other in {id(s.view.volume) for s in foreign}:
        _require_agreement(query, [s for s in foreign if id(s.view.volume) == other])
    return query


def at_home(query: Query) -> Query:
    """The same slices of other volumes, with the first of these volumes in the query's place.

    What is made of it depends on those volumes alone, so that it serves further queries.
    """
    view = query.foreign[0].view
    foreign = [replace(support, turn=turn_between(support.view, view)) for support in query.foreign]
    return replace(query, view=view, own=[], crossing=[], foreign=foreign)


def digest_of(query: Query) -> str:
    """Tells what is painted on slices of other volumes from anything else that could be."""
    digest = hashlib.blake2b(repr(query.values).encode(), digest_size=16)
    for support in query.foreign:
        said = sorted(support.said.items())
        digest.update(f"{support.view.axis} {support.index} {support.turn} {support.pixel} {said}".encode())
        for plane in (support.labels, support.view.array[support.index]):
            digest.update(f"{plane.shape} {plane.dtype}".encode() + np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def _labels(example: Example, index: np.ndarray) -> np.ndarray:
    mask = example.mask
    background = np.zeros(mask.shape, bool) if example.background is None else mask == example.background
    labels = np.where(background, 0, index[np.where(background, 0, mask)])
    return np.where((mask == 0) & ~background, UNKNOWN, labels).astype(np.int32)


def _said(example: Example, index: np.ndarray, segments: int) -> dict[int, bool]:
    complete = example.complete
    if complete is None:
        return {}
    if isinstance(complete, Mapping):
        said = {int(index[v]): whole for v, whole in complete.items() if v < len(index)}
        return {segment: whole for segment, whole in said.items() if segment}
    everything = range(1, segments + 1)
    if complete == "all":
        return dict.fromkeys(everything, True)
    named = {int(index[v]) for v in complete if v < len(index)}
    return {segment: segment in named for segment in everything}


def _distinct(volumes: Iterable[Volume]) -> dict[int, Volume]:
    """By identity, the first volume with the same voxels on the same grid: one image, however often it was read."""
    seen: list[Volume] = []
    result: dict[int, Volume] = {}
    for volume in volumes:
        if id(volume) in result:
            continue
        same = next(filter(volume.shows_the_same, seen), None)
        if same is None:
            seen.append(volume)
        result[id(volume)] = same or volume
    return result


def _axis(query: Volume, examples: Sequence[Example], on_query: list[bool]) -> int:
    votes = [e.axis for e, own in zip(examples, on_query, strict=True) if own]
    votes = votes or [matching_axis(query, SliceView(e.image, e.axis)) for e in examples]
    return max(sorted(set(votes)), key=votes.count)


def _require_same(one: Support, other: Support) -> None:
    """Refuses one slice that is given twice, in two copies of its volume say, and not in the same way."""
    if not np.array_equal(one.labels, other.labels) or one.said != other.said:
        raise ExampleError(
            f"The {one.name} is given twice with different masks, or other structures said to be complete; expected "
            "one mask with all structures; merge them."
        )


def _require_agreement(query: Query, supports: list[Support]) -> None:
    """Refuses slices of one volume that say different things of one voxel."""
    for number, a in enumerate(supports):
        for b in supports[:number]:
            if a.view.axis == b.view.axis:
                continue
            on_a, on_b = line_of(a, b), line_of(b, a)
            wrong = ((on_a >= 0) & (on_b >= 0) & (on_a != on_b)) | _denied(a, on_a, on_b) | _denied(b, on_b, on_a)
            if wrong.any():
                place = int(np.flatnonzero(wrong)[0])
                names = [_named(query, int(line[place])) for line in (on_a, on_b)]
                rest = 3 - a.view.axis - b.view.axis
                raise ExampleError(
                    f"The {a.name} and {b.name} cross and contradict each other at {int(wrong.sum())} voxels, first at "
                    f"{AXIS_NAMES[rest]} = {place}: {names[0]} on the former, {names[1]} on the latter; paint the same "
                    "there, or say which structures are painted completely on each."
                )


def _denied(support: Support, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Where another slice has a segment that this one is said to show completely, and does not."""
    complete = sorted(support.complete)
    return (here == UNKNOWN) & np.isin(there, complete) & (there > 0)


def _named(query: Query, label: int) -> str:
    return {0: "background", UNKNOWN: "nothing"}.get(label) or f"'{query.name_of(label)}'"


def line_of(support: Support, other: Support) -> np.ndarray:
    """Labels of a slice where another one, along another axis of the same volume, crosses it."""
    axes = [axis for axis in range(3) if axis != support.view.axis]
    return support.labels.take(other.index, axes.index(other.view.axis))
