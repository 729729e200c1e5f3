"""A library of examples: painted slices of some patients, to segment others with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.errors import ExampleError, ReadError, WriteError
from FewShotSegLib.example import Example
from FewShotSegLib.library.description import complete_to_json
from FewShotSegLib.library.entry import Entry, Grid, LibrarySegment, PaintedSlice, Scan, sha256_of
from FewShotSegLib.library.limits import MOST_CHARACTERS, MOST_VOXELS
from FewShotSegLib.library.opening import open_library
from FewShotSegLib.library.saving import save
from FewShotSegLib.library.vocabulary import find_or_add, moved_complete, moved_mask, names_of, said_of_others
from FewShotSegLib.text import readable
from FewShotSegLib.volume import AXIS_NAMES


class Library:
    """Painted slices of patients with their scans, in memory, in a folder or in one .zip file.

    A scan is kept whole, since where to look for a structure in another patient is found by comparing the surroundings
    of the painted slices too. Nothing says whose it is: no file name, path, patient's name or DICOM field is kept.

    In a library a structure is told by its name: "liver" is one structure, whatever value it had where it was painted.
    Labels that nobody named are called "label 5", strokes of background "background".

    Example:
        >>> library = Library()
        >>> library.add(Example.from_labelmap(ct, painted), origin="phase 2, scanner B")
        ['scan-1']
        >>> library.save("livers.zip")
        >>> Segmenter().segment(query, Library.open("livers.zip").examples())
    """

    def __init__(self) -> None:
        self._segments: list[LibrarySegment] = []
        self._entries: list[Entry] = []
        self._extra: dict[str, Any] = {}
        self._opened: tuple[Path, str] | None = None

    # What is in it

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The scans with what is painted on them, in the order in which they were added."""
        return tuple(self._entries)

    @property
    def segments(self) -> tuple[LibrarySegment, ...]:
        """The structures, by value."""
        return tuple(self._segments)

    def examples(self) -> list[Example]:
        """All painted slices; those of one scan share one volume, and one name has one value in all of them.

        Where all structures of a slice are said to be complete, but other patients of the library have structures that
        whoever painted it had not in mind, it is said of the others only.

        Raises:
            ReadError: The file of a scan is gone, damaged or was changed.
        """
        everything = self._known()
        examples = []
        for entry in self._entries:
            known = [segment for segment in self._segments if segment.value in entry.structures]
            names = {segment.value: segment.name for segment in known}
            colors = {segment.value: segment.color for segment in known}
            image = entry.scan.volume()
            for painted in entry.slices:
                complete = said_of_others(painted.complete, entry.structures - {painted.background}, everything)
                mask, background = painted.mask, painted.background
                examples.append(Example(image, painted.axis, painted.index, mask, names, colors, complete, background))
        return examples

    @property
    def fingerprint(self) -> str:
        """Checksum of all that a result depends on; the same in a folder and in an archive, however it is compressed.

        It covers voxels and their type, geometry, masks, names and values of structures and what is known of the
        slices, in their order; not titles, notes, colours and terminology. All scans are read.

        Raises:
            ReadError: The file of a scan is gone, damaged or was changed.
        """
        everything = self._known()
        content: dict[str, Any] = {"segments": [[segment.value, segment.name] for segment in self._segments]}
        content["entries"] = [
            {
                "grid": [list(grid.shape), grid.kind, [list(grid.spacing), list(grid.origin), list(grid.direction)]],
                "voxels": entry.scan.digest(),
                "structures": sorted(entry.structures),
                "slices": [
                    [
                        AXIS_NAMES[painted.axis],
                        painted.index,
                        sha256_of(painted.mask.astype("<u2")),
                        complete_to_json(
                            said_of_others(painted.complete, entry.structures - {painted.background}, everything)
                        ),
                        painted.background,
                    ]
                    for painted in entry.slices
                ],
            }
            for entry in self._entries
            for grid in (entry.scan.grid,)
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _known(self) -> set[int]:
        """Values that are a structure's to some painter, and not only background."""
        return {
            value
            for entry in self._entries
            for value in entry.structures - {painted.background for painted in entry.slices}
        }

    # Changing it

    def add(
        self,
        examples: Iterable[Example],
        origin: str = "",
        terminology: Mapping[int, str] | None = None,
        title: str = "",
        replace_slices: bool = False,
    ) -> list[str]:
        """Adds painted slices, with the scans that they are of.

        Args:
            examples: Of one scan or several. A scan that the library has already gets the further slices.
            origin: A free note for the new scans, for instance where they come from.
            terminology: Terminology entries as 3D Slicer writes them, by the values that structures have in `examples`.
            title: What to call the new scans instead of "scan 1"; of several the second gets a "(2)".
            replace_slices: Whether slices that are there already, painted otherwise, are replaced instead of refused.

        Returns:
            Ids of the entries that the slices are in, each once.

        Raises:
            ExampleError: There are none, a slice is painted otherwise already, two labels have one name, or something
                is larger than a library may hold. Nothing is added then.
        """
        examples = list(examples)
        if not examples:
            raise ExampleError("There are no examples to add, expected at least one painted slice.")
        for what, text in (("title", title), ("note of origin", origin)):
            if len(text) > MOST_CHARACTERS:
                raise ExampleError(f"The {what} has {len(text)} characters, expected at most {MOST_CHARACTERS}.")
        texts = {value: readable(text) for value, text in (terminology or {}).items()}
        wanted = {value for example in examples for value in names_of(example)}
        trial = Library()  # so that nothing is added if something is wrong
        for example in examples:
            trial._add(example, readable(origin), readable(title), texts, wanted)
        return self._take(trial, replace_slices)

    def merge(self, other: Library) -> list[str]:
        """Adds all that another library holds.

        A structure that both have under one name is one structure; the values of this library stay, and a structure of
        the other one gets a new one if its own is taken. A scan that both have becomes one entry.

        Args:
            other: It is not changed.

        Returns:
            Ids of the entries here that the other's slices are in.

        Raises:
            ExampleError: A slice is painted otherwise in the other library. Nothing is merged then.
            ReadError: The file of a scan is gone or damaged.
        """
        return self._take(other)

    def remove(self, entry_id: str) -> None:
        """Removes a scan with its painted slices, and structures that no other scan has.

        Raises:
            ExampleError: There is no such entry.
        """
        entry = next((entry for entry in self._entries if entry.id == entry_id), None)
        if entry is None:
            there = ", ".join(entry.id for entry in self._entries) or "none"
            raise ExampleError(f"There is no entry '{entry_id}' in the library, expected one of: {there}.")
        self._entries.remove(entry)
        used = {value for other in self._entries for value in other.structures}
        self._segments = [s for s in self._segments if s.value in used or s.value not in entry.structures]

    def rename(self, old_name: str, new_name: str) -> None:
        """Gives a structure another name.

        Args:
            old_name: Its name now.
            new_name: Its name from now on. If another structure has it, the two become one: somebody called it "Liver"
                where somebody else said "liver".

        Raises:
            ExampleError: There is no such structure, the new name is empty or too long, or a scan has both structures.
        """
        by_name = {segment.name: segment for segment in self._segments}
        new_name = readable(new_name)
        if old_name not in by_name:
            there = ", ".join(f"'{name}'" for name in by_name) or "none"
            raise ExampleError(f"There is no structure '{old_name}' in the library, expected one of: {there}.")
        if not new_name.strip() or len(new_name) > MOST_CHARACTERS:
            raise ExampleError(
                f"The new name has {len(new_name)} characters, expected 1 to {MOST_CHARACTERS}, not all of them spaces."
            )
        segment, other = by_name[old_name], by_name.get(new_name)
        if other is None or other is segment:
            segment.name = new_name
            return
        both = [entry.title for entry in self._entries if {segment.value, other.value} <= entry.structures]
        if both:
            raise ExampleError(
                f"'{old_name}' can't become '{new_name}': {both[0]} has both, and they would become one structure; "
                "choose a name that no other structure has."
            )
        values = {s.value: s.value for s in self._segments} | {segment.value: other.value}
        self._entries = [_moved(entry, values) for entry in self._entries]
        other.terminology = other.terminology or segment.terminology
        self._segments.remove(segment)

    def _add(self, example: Example, origin: str, title: str, terminology: Mapping[int, str], wanted: set[int]) -> None:
        """Adds one example; what was added before is half there if it raises."""
        names = names_of(example)
        moves = {}
        for value, name in sorted(names.items()):
            color, term = example.colors.get(value), terminology.get(value, "")
            moves[value] = find_or_add(self._segments, name, value, color, term, wanted)
        painted = PaintedSlice(
            example.axis,
            example.index,
            moved_mask(example.mask, moves),
            moved_complete(example.complete, moves),
            None if example.background is None else moves[example.background],
        )
        image = example.image
        scan = Scan(Grid.of(image), image)
        entry = next((entry for entry in self._entries if entry.scan.shows_the_same(scan)), None)
        if entry is None:
            if image.array.size > MOST_VOXELS:
                raise ExampleError(
                    f"{image.title} has {image.array.size} voxels, expected at most {MOST_VOXELS}; crop or resample it."
                )
            entry = Entry("", "", origin, set(), [], scan)
            self._append(entry, title)
        _add_slices(entry, [painted], set(moves.values()))

    def _take(self, other: Library, replace_slices: bool = False) -> list[str]:
        """Adds what another library holds; on a copy first, so that nothing is half there."""
        segments = [replace(segment) for segment in self._segments]
        taken = {segment.value for segment in other._segments}
        moves = {}
        for theirs in other._segments:
            added = len(segments)
            moves[theirs.value] = find_or_add(
                segments, theirs.name, theirs.value, theirs.color, theirs.terminology, taken
            )
            if len(segments) > added:
                next(s for s in segments if s.name == theirs.name).extra = dict(theirs.extra)
        trial = Library()
        trial._entries = [replace(e, slices=list(e.slices), structures=set(e.structures)) for e in self._entries]
        ids = []
        for entry in other._entries:
            moved = _moved(entry, moves)
            mine = next((e for e in trial._entries if e.scan.shows_the_same(moved.scan)), None)
            if mine is None:
                # With a scan object of its own, which may be saved to another place.
                mine = replace(
                    moved, slices=list(moved.slices), structures=set(moved.structures), scan=copy(moved.scan)
                )
                trial._append(mine, "" if _is_default(entry) else entry.title)
            else:
                _add_slices(mine, moved.slices, moved.structures, replace_slices)
            ids.append(mine.id)
        self._entries, self._segments = trial._entries, segments
        return list(dict.fromkeys(ids))

    def _append(self, entry: Entry, title: str) -> None:
        """Adds an entry under the next id."""
        number = max((int(e.id.partition("-")[2]) for e in self._entries), default=0) + 1
        entry.id = f"scan-{number}"
        titles = {e.title for e in self._entries}
        title = title or f"scan {number}"
        same = (title if n == 1 else f"{title} ({n})" for n in range(1, len(titles) + 2))
        entry.title = next(t for t in same if t not in titles)
        self._entries.append(entry)

    # Files

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the library, whole or not at all: killed at any moment, the one that was there is whole.

        Args:
            path: A .zip file, or a folder with any other ending. Only a library is replaced.

        Raises:
            WriteError: The path is a link, or there is something else than a library; the library there was changed by
                another program since this one was opened or saved, or made by a newer version; the disk is full.
            ReadError: The file of a scan, in the library that this one was opened from, is gone or damaged.
        """
        if not os.fspath(path):
            raise WriteError("The name of a library is empty, expected a folder or .zip file; is a variable unset?")
        self._opened = save(Path(path).absolute(), self._segments, self._entries, self._extra, self._opened)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Library:
        """Opens a library, in which everything is checked. Voxels of scans are read, and checked, when they are needed.

        Args:
            path: A folder or a .zip file.

        Raises:
            ReadError: It is missing, damaged, larger than libraries may be, not to be trusted (see
                Resources/Docs/library.md) or made by a newer version.
        """
        if not os.fspath(path):
            raise ReadError("The name of a library is empty, expected a folder or .zip file; is a variable unset?")
        library = cls()
        library._segments, library._entries, library._extra, library._opened = open_library(Path(path).absolute())
        return library


def _is_default(entry: Entry) -> bool:
    return entry.title == entry.id.replace("-", " ")


def _add_slices(
    entry: Entry, slices: Sequence[PaintedSlice], structures: set[int], replace_slices: bool = False
) -> None:
    """Adds painted slices to a scan; ExampleError if one is there already, painted otherwise, and is not to go."""
    there = {(painted.axis, painted.index): at for at, painted in enumerate(entry.slices)}
    for painted in slices:
        at = there.get((painted.axis, painted.index))
        if at is None:
            there[painted.axis, painted.index] = len(entry.slices)
            entry.slices.append(painted)
            entry.picture = None
        elif _says_the_same(entry.slices[at], painted):
            continue
        elif replace_slices:
            entry.slices[at] = painted
            entry.picture = None
        else:
            raise ExampleError(
                f"Slice {painted.index} along {AXIS_NAMES[painted.axis]} of {entry.title} is in the library already, "
                f"and painted otherwise; expected one mask a slice. Remove {entry.id} first to replace it."
            )
    entry.structures |= structures


def _says_the_same(one: PaintedSlice, other: PaintedSlice) -> bool:
    return (
        np.array_equal(one.mask, other.mask)
        and complete_to_json(one.complete) == complete_to_json(other.complete)
        and one.background == other.background
    )


def _moved(entry: Entry, moves: Mapping[int, int]) -> Entry:
    """An entry with other values for its structures."""
    if all(moves[value] == value for value in entry.structures):
        return entry
    slices = [
        replace(
            painted,
            mask=moved_mask(painted.mask, moves),
            complete=moved_complete(painted.complete, moves),
            background=None if painted.background is None else moves[painted.background],
        )
        for painted in entry.slices
    ]
    return replace(entry, slices=slices, structures={moves[value] for value in entry.structures}, picture=None)
