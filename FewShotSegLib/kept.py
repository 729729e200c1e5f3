"""What is found of volumes and of their painted slices, kept for as long as the volumes are in use.

The slices of some patients serve one query after the other, in a cohort or while a user paints: what does not depend
on the query is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import ref

from .volume import Volume

_Found = TypeVar("_Found")
_Key = tuple[int, Hashable]


class KeptByVolume:
    """Things by the volume that they were found of; they go when it goes, or when there is no more room.

    Args:
        limit: bytes of all things that tell their size (`nbytes`); what was not asked for longest goes first.
    """

    def __init__(self, limit: int = 400 * 2**20) -> None:
        self._limit = limit
        self._volumes: dict[int, ref[Volume]] = {}
        self._found: dict[_Key, Any] = {}  # the latest stands last

    def get(self, volume: Volume, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What was found of a volume; found now where it is not kept.

        Args:
            volume: the very object; an equal one counts as another.
            what: tells it from other things that are found of the volume.
            find: makes it; the result must not refer to the volume, which would then never go.
        """
        number = id(volume)
        key = number, what
        result: _Found = self._found.pop(key) if key in self._found else find()
        if number not in self._volumes:
            self._volumes[number] = ref(volume, lambda _: self._forget(number))
        self._found[key] = result
        self._make_room()
        return result

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept and tells its size."""
        return sum(_size(thing) for thing in self._found.values())

    def _forget(self, number: int) -> None:
        self._volumes.pop(number, None)
        for key in [key for key in self._found if key[0] == number]:
            del self._found[key]

    def _make_room(self) -> None:
        used = self.nbytes
        for key in list(self._found)[:-1]:
            if used <= self._limit:
                return
            size = _size(self._found[key])
            if size:
                used -= size
                del self._found[key]


def _size(thing: Any) -> int:
    return int(getattr(thing, "nbytes", 0))
