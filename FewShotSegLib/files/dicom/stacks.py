"""Sorts slices into stacks, each a regular grid or told why it is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from FewShotSegLib.files.dicom.slices import Slice
from FewShotSegLib.geometry import ROUNDED_SHEAR, nearest_rotation, shear_of

_OFF_GRID = 0.1
"""How far a slice may be from its place in a regular stack, in parts of the distance between slices and of a voxel's
width: positions are written with few decimals, and a missing slice is ten times that."""

_VOLUME = 3
"""Fewer slices tell no volume of its own."""


@dataclass(frozen=True)
class Grid:
    """The places of a stack's slices.

    Attributes:
        origin: Centre of the first voxel, LPS mm.
        spacing: Millimetres between voxel centres along (i, j, k).
        direction: Direction cosines, 9 numbers row by row; column k isn't perpendicular if the gantry was tilted.
    """

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]


@dataclass(frozen=True)
class Stack:
    """Slices that belong together.

    Attributes:
        slices: Sorted along their normal.
        repeated: How many slices were left out since they are there twice.
        problem: Why they are no regular grid, as half a sentence with numbers, or "".
    """

    slices: tuple[Slice, ...]
    repeated: int = 0
    problem: str = ""

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return len(self.slices) * int(np.prod(self.slices[0].size))

    @property
    def grid(self) -> Grid:
        """Where its voxels lie, if there is no problem."""
        first = self.slices[0]
        step = _step(self.slices) if len(self.slices) > 1 else first.normal * (first.thickness or 1.0)
        length = float(np.linalg.norm(step))
        direction = tuple(float(c) for c in np.stack([*first.rows, step / length], axis=1).ravel())
        if shear_of(direction) <= ROUNDED_SHEAR:
            direction = nearest_rotation(direction)
        return Grid(tuple(map(float, first.position)), (*first.spacing, length), direction)


Digest = Callable[[Slice], bytes]
"""A digest of a slice's voxels, the same for the same voxels."""


def find_stacks(slices: Sequence[Slice], digest: Digest) -> list[Stack]:
    """Sorts slices into stacks.

    Slices of one series, kind, size, spacing and orientation make a stack. One that is no regular grid is split by what
    tells several volumes apart (acquisition, echo, time and so on), if that makes regular ones.

    Args:
        slices: In any order.
        digest: Asked of slices that lie at the same place.

    Returns:
        Stacks, the largest first, in the order of acquisition where they are equally large.
    """
    groups: list[list[Slice]] = []
    for item in slices:
        group = next((group for group in groups if group[0].is_like(item)), None)
        if group is None:
            groups.append([item])
        else:
            group.append(item)
    stacks = [stack for group in groups for stack in _split(group, digest)]
    return sorted(stacks, key=lambda stack: (-stack.voxels, min(item.number for item in stack.slices)))


def _split(group: list[Slice], digest: Digest) -> list[Stack]:
    """One stack if the slices make one, else several volumes, else one stack with a problem."""
    whole = _along_normal(group)
    regular = not _problem(whole)
    for parts in _by_marks(group):
        if not regular or _is_two_in_one(whole, parts):
            stacks = [_without_repeats(part, digest) for part in parts]
            if _are_volumes(stacks, whole):
                return stacks
    if regular:
        return [Stack(whole)]
    single = _without_repeats(whole, digest)
    if not single.problem:
        return [single]
    rounds = [Stack(part, problem=_problem(part)) for part in _rounds(whole)]
    complete = all(len(part.slices) == len(rounds[0].slices) and not part.problem for part in rounds)
    return rounds if complete and len(rounds) > 1 and _are_volumes(rounds, whole) else [single]


def _are_volumes(stacks: list[Stack], whole: tuple[Slice, ...]) -> bool:
    """Whether parts of a group are volumes of their own, rather than pieces of one.

    They are if one of them is regular and lies where others lie or has half of the slices: an acquisition beside
    another one, not one turn of the gantry out of many, nor every other slice of an MR volume that lacks one.
    """
    largest = max((s for s in stacks if not s.problem), key=lambda s: len(s.slices), default=None)
    if largest is None or len(largest.slices) < _VOLUME:
        return False
    low, high = _heights(largest.slices)[[0, -1]]
    others = [_heights(s.slices, largest.slices[0].normal) for s in stacks if s is not largest]
    beside = any(np.any((heights > low - 1e-3) & (heights < high + 1e-3)) for heights in others)
    return not _take_turns(whole) if beside else 2 * len(largest.slices) >= len(whole)


def _take_turns(whole: tuple[Slice, ...]) -> bool:
    """Whether slices that lie between each other belong to one volume: apart, and about as far as they are thick."""
    gaps = np.diff(_heights(whole))
    return bool(gaps.min() > gaps.mean() / 4 and 0 < whole[0].thickness <= 1.5 * gaps.mean())


def _is_two_in_one(whole: tuple[Slice, ...], parts: list[tuple[Slice, ...]]) -> bool:
    """Whether a regular stack is two volumes with the slices of one half way between those of the other.

    Slices are about as thick as they are apart within one volume; MR takes turns with every other slice of one.
    """
    if any(len(part) < _VOLUME or _problem(part) for part in parts):
        return False
    together, alone = np.linalg.norm(_step(whole)), np.linalg.norm(_step(parts[0]))
    return bool(alone > 1.5 * together and whole[0].thickness > 1.5 * together)


def _by_marks(group: list[Slice]) -> Iterator[list[tuple[Slice, ...]]]:
    """The parts of a group that differ in a mark, mark by mark."""
    for mark in dict.fromkeys(name for item in group for name in item.marks):
        parts: dict[str, list[Slice]] = {}
        for item in group:
            parts.setdefault(item.marks.get(mark, ""), []).append(item)
        if len(parts) > 1:
            yield [_along_normal(part) for part in parts.values()]


def _without_repeats(slices: tuple[Slice, ...], digest: Digest) -> Stack:
    """The slices without those that are there twice with the same voxels."""
    kept: list[Slice] = []
    for place in _places(slices):
        kept += {digest(item) if len(place) > 1 else b"": item for item in reversed(place)}.values()
    return Stack(tuple(kept), len(slices) - len(kept), _problem(tuple(kept)))


def _rounds(slices: tuple[Slice, ...]) -> list[tuple[Slice, ...]]:
    """Volumes one after the other: of every place the first slice, the second, and so on, as they were numbered."""
    places = _places(slices)
    count = max(map(len, places))
    return [tuple(place[number] for place in places if number < len(place)) for number in range(count)]


def _places(slices: tuple[Slice, ...]) -> list[list[Slice]]:
    """Sorted slices by where they lie; those of one place as they were numbered."""
    heights = _heights(slices)
    far = np.flatnonzero(np.diff(heights) > _near(heights)) + 1
    parts = [slices[start:end] for start, end in zip([0, *far], [*far, len(slices)], strict=True)]
    return [sorted(part, key=lambda item: item.number) for part in parts]


def _along_normal(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    normal = slices[0].normal
    return tuple(sorted(slices, key=lambda item: (round(float(item.position @ normal), 4), item.number)))


def _heights(slices: Sequence[Slice], normal: np.ndarray | None = None) -> np.ndarray:
    """Places along the normal, mm."""
    along = slices[0].normal if normal is None else normal
    return np.array([float(item.position @ along) for item in slices])


def _near(heights: np.ndarray) -> float:
    """How near two slices are that lie at one place, mm."""
    gaps = np.diff(heights)
    apart = gaps[gaps > 1e-4]
    return float(_OFF_GRID * np.median(apart)) if apart.size else 1e-4


def _step(slices: Sequence[Slice]) -> np.ndarray:
    """From a slice to the next, LPS mm (3)."""
    return (slices[-1].position - slices[0].position) / (len(slices) - 1)


def _problem(slices: tuple[Slice, ...]) -> str:
    """Why sorted slices are no regular grid, with numbers, or ""."""
    if len(slices) == 1:
        return ""
    heights = _heights(slices)
    gaps = np.diff(heights)
    near = _near(heights)
    repeated = int(np.count_nonzero(gaps <= near))
    if repeated:
        return f"{repeated} of {len(slices)} slices lie where another one lies, and they differ"
    usual = float(np.median(gaps))
    expected = heights[0] + np.arange(len(slices)) * (heights[-1] - heights[0]) / (len(slices) - 1)
    if np.abs(heights - expected).max() > _OFF_GRID * usual:
        wide = [n for n in np.flatnonzero(gaps > 1.5 * usual) if abs(gaps[n] / usual - round(gaps[n] / usual)) < 0.2]
        if wide and np.allclose(np.delete(gaps, wide), usual, rtol=0.1):
            missing = sum(round(gaps[n] / usual) - 1 for n in wide)
            places = ", ".join(f"{heights[n]:.6g} and {heights[n + 1]:.6g} mm" for n in wide[:3])
            return (
                f"the slices are {usual:.4g} mm apart, but {missing} of them "
                f"{'is' if missing == 1 else 'are'} missing between {places}{' and elsewhere' if wide[3:] else ''}"
            )
        return f"the slices are between {gaps.min():.4g} and {gaps.max():.4g} mm apart"
    line = slices[0].position + np.outer(np.arange(len(slices)), _step(slices))
    aside = float(np.linalg.norm(np.array([item.position for item in slices]) - line, axis=1).max())
    if aside > max(_OFF_GRID * min(slices[0].spacing), _OFF_GRID * usual):
        return f"the slices are shifted against each other by up to {aside:.3g} mm beside a straight line"
    return ""
