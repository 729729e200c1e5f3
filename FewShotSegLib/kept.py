"""What is found of volumes and of their painted slices, kept for as long as the volumes are in use.

The slices of some patients serve one query after the other, in a cohort or while a user paints: what does not depend
on the query is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .volume import Volume

_Found = TypeVar("_Found")


class KeptByVolume:
    """Things by the volume that they were found of; they go when it goes.

    Args:
        most: things of one volume, at most; the one that was not asked for longest goes first.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._found: WeakKeyDictionary[Volume, dict[Hashable, Any]] = WeakKeyDictionary()

    def get(self, volume: Volume, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What was found of a volume; found now where it is not kept.

        Args:
            volume: the very object; an equal one counts as another.
            what: tells it from other things that are found of the volume.
            find: makes it; the result must not refer to the volume, which would then never go.
        """
        kept = self._found.setdefault(volume, {})
        result: _Found = kept.pop(what) if what in kept else find()
        kept[what] = result  # the latest stands last
        while len(kept) > self._most:
            del kept[next(iter(kept))]
        return result
