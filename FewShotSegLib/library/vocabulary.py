"""Which values structures have in a library: the same name is the same structure, in whatever library it comes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from FewShotSegLib.colors import Color, default_color
from FewShotSegLib.errors import ExampleError
from FewShotSegLib.example import Complete, Example
from FewShotSegLib.labels import LABEL_LIMIT, label_values
from FewShotSegLib.library.entry import LibrarySegment
from FewShotSegLib.library.limits import MOST_CHARACTERS


def find_or_add(
    segments: list[LibrarySegment],
    name: str,
    value: int,
    color: Color | None = None,
    terminology: str = "",
    taken: Collection[int] = (),
) -> int:
    """The value of a structure in a library, to which it is added if it isn't there.

    Args:
        segments: Those of the library; changed in place.
        name: Of the structure.
        value: Which one it has where it comes from, and keeps if no other structure has it.
        color: Its colour there; that of the library goes before.
        terminology: Its terminology there; likewise.
        taken: Further values that it must not get in exchange.

    Raises:
        ExampleError: The name is too long, or all values are taken.
    """
    for segment in segments:
        if segment.name == name:
            segment.terminology = segment.terminology or terminology
            return segment.value
    if max(len(name), len(terminology)) > MOST_CHARACTERS:
        raise ExampleError(
            f"A name or terminology has {max(len(name), len(terminology))} characters ('{name[:40]}...'), expected at "
            f"most {MOST_CHARACTERS}; shorten it."
        )
    used = {segment.value for segment in segments}
    if value in used:
        used |= set(taken)
        value = next((free for free in range(1, LABEL_LIMIT + 1) if free not in used), 0)
        if not value:
            raise ExampleError(f"There is no value left for '{name}', a library has at most {LABEL_LIMIT} structures.")
    segments.append(LibrarySegment(value, name, color or default_color(value), terminology))
    segments.sort(key=lambda segment: segment.value)
    return value


def names_of(example: Example) -> dict[int, str]:
    """What an example calls each label that it knows of: painted, named, or said to be complete or background.

    Raises:
        ExampleError: Two labels have one name, which in a library is one structure.
    """
    values = {*label_values(example.mask), *example.names}
    if example.complete is not None and not isinstance(example.complete, str):
        values |= set(example.complete)
    names = {value: f"label {value}" for value in values}
    if example.background is not None:
        names[example.background] = "background"
    names |= {value: name for value, name in example.names.items() if name.strip()}
    by_name: dict[str, int] = {}
    for value, name in sorted(names.items()):
        if by_name.setdefault(name, value) != value:
            raise ExampleError(
                f"Labels {by_name[name]} and {value} are both called '{name}', expected another name for each: in a "
                "library the name tells which structure it is. Rename one of them."
            )
    return names


def moved_mask(mask: np.ndarray, moves: Mapping[int, int]) -> np.ndarray:
    """A mask with other values, in the smallest type that all of them fit in.

    Args:
        mask: Labels of any whole type.
        moves: For each value in it other than 0 the new one.
    """
    table = np.zeros(max([int(mask.max(initial=0)), *moves]) + 1, np.uint16)
    table[list(moves)] = list(moves.values())
    moved = table[mask]
    return moved.astype(np.uint8) if moved.max(initial=0) <= 255 else moved


def moved_complete(complete: Complete, moves: Mapping[int, int]) -> Complete:
    """What is said of a slice's structures, with other values for them."""
    if complete is None or isinstance(complete, str):
        return complete
    if isinstance(complete, Mapping):
        return {moves[value]: whole for value, whole in complete.items()}
    return frozenset(moves[value] for value in complete)


def said_of_others(complete: Complete, structures: Iterable[int], everything: Collection[int]) -> Complete:
    """What a slice says among the structures of a library that its painter didn't know.

    "All structures are painted completely" was said of those that the painter had in mind: of others, which came with
    other patients, the slice says nothing.

    Args:
        complete: As it was said.
        structures: Values that the painter had in mind.
        everything: Values of all structures of the library.
    """
    known = set(structures)
    if complete != "all" or known >= set(everything):
        return complete
    return dict.fromkeys(sorted(known), True)
