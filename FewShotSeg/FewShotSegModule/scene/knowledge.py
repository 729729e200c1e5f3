"""What is known of a structure on a painted slice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.preview import notesOf, queryOf


class Known(Enum):
    """What is known, and from whom."""

    #: It is painted.
    PAINTED = "painted"
    #: The user said that it is not on the slice.
    ABSENT = "absent"
    #: The user said that it is there and not painted yet, or that only what is painted counts.
    UNKNOWN = "unknown"
    #: Nobody said anything, and the slice is of another volume than the one to segment: it counts as absent.
    ASSUMED = "assumed"
    #: Nobody said anything; the engine finds out in each run.
    ASKED = "asked"
    #: As before, and in the latest run the engine has found it.
    FOUND = "found"


def knownOn(
    row: ExampleSlice, query: Any, names: Iterable[str], painted: Collection[str], found: Collection[str]
) -> dict[str, Known]:
    """What is known on a row.

    :param row: An example of the list, see `ExampleList`.
    :param query: The volume to segment.
    :param names: Names of the structures.
    :param painted: Names of those that are painted on it.
    :param found: Names of those that the engine has found on it, without their being painted.
    """
    said = row.complete if isinstance(row.complete, Mapping) else {}

    def known(name: str) -> Known:
        if name in painted:
            return Known.PAINTED
        if said.get(name):
            return Known.ABSENT
        if row.strokes or name in said:
            return Known.UNKNOWN
        if row.volume is not query:
            return Known.ASSUMED
        return Known.FOUND if name in found else Known.ASKED

    return {name: known(name) for name in names}


def foundOn(preview: Any) -> dict[tuple[Any, int, int], set[str]]:
    """What a result tells to be on painted slices without being painted there, by volume, axis and slice.

    :param preview: The result; None where there is none.
    """
    found: dict[tuple[Any, int, int], set[str]] = {}
    for axis, index, name in notesOf(preview) if preview is not None else ():
        found.setdefault((queryOf(preview), axis, index), set()).add(name)
    return found
