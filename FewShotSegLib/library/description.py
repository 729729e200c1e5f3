"""`library.json`, to and from what a library holds; everything in it is checked, since it may come from a stranger."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from FewShotSegLib.colors import Color
from FewShotSegLib.errors import ReadError, VolumeError
from FewShotSegLib.example import Complete
from FewShotSegLib.labels import LABEL_LIMIT
from FewShotSegLib.library.entry import Entry, Grid, LibrarySegment
from FewShotSegLib.library.limits import FORMAT, MOST_CHARACTERS, MOST_PAINTED_PIXELS, MOST_VOXELS, SCHEMA
from FewShotSegLib.library.nrrd import TYPES
from FewShotSegLib.text import readable
from FewShotSegLib.volume import AXIS_NAMES, Volume

_ID = re.compile(r"scan-[1-9][0-9]{0,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SliceText:
    """What is written of a painted slice; its mask is in a file."""

    axis: int
    index: int
    complete: Complete
    background: int | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class EntryText:
    """What is written of an entry; its voxels and masks are in files."""

    id: str
    title: str
    origin: str
    grid: Grid
    structures: set[int]
    slices: list[SliceText]
    extra: dict[str, Any]


@dataclass(frozen=True)
class FileText:
    """What is written of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """All that is written in `library.json`."""

    segments: list[LibrarySegment]
    entries: list[EntryText]
    files: dict[str, FileText]
    extra: dict[str, Any] = field(default_factory=dict)


def image_name(entry: str) -> str:
    """The file of an entry's scan; no name is ever taken from a library, all follow from numbers."""
    return f"{entry}/image.nrrd"


def picture_name(entry: str) -> str:
    """The file of an entry's picture, which nothing but people reads."""
    return f"{entry}/picture.png"


def mask_name(entry: str, axis: int, index: int) -> str:
    """The file of a painted slice's mask."""
    return f"{entry}/mask-{AXIS_NAMES[axis]}-{index}.nrrd"


# Writing


def to_json(
    segments: Sequence[LibrarySegment],
    entries: Sequence[Entry],
    files: Mapping[str, FileText],
    extra: Mapping[str, Any],
) -> bytes:
    """The content of `library.json`."""
    description = {
        **extra,
        "format": FORMAT,
        "schema": SCHEMA,
        "segments": [
            {
                **segment.extra,
                "value": segment.value,
                "name": segment.name,
                "color": list(segment.color),
                "terminology": segment.terminology,
            }
            for segment in segments
        ],
        "entries": [_entry_to_json(entry) for entry in entries],
        "files": {name: {"bytes": file.size, "sha256": file.sha256} for name, file in files.items()},
    }
    return (json.dumps(description, indent=1, allow_nan=False) + "\n").encode("ascii")


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    grid = entry.scan.grid
    return {
        **entry.extra,
        "id": entry.id,
        "title": entry.title,
        "origin": entry.origin,
        "image": {
            "shape": list(grid.shape),
            "type": grid.kind,
            "spacing": list(grid.spacing),
            "origin": list(grid.origin),
            "direction": list(grid.direction),
        },
        "structures": sorted(entry.structures),
        "slices": [
            {
                **painted.extra,
                "axis": AXIS_NAMES[painted.axis],
                "index": painted.index,
                "complete": complete_to_json(painted.complete),
                "background": painted.background,
            }
            for painted in entry.slices
        ],
    }


def complete_to_json(complete: Complete) -> Any:
    """What is said of a slice's structures: null, "all", a list of values, or a mapping with values as text."""
    if complete is None or isinstance(complete, str):
        return complete
    if isinstance(complete, Mapping):
        return {str(value): complete[value] for value in sorted(complete)}
    return sorted(complete)


# Reading


def read_schema(content: bytes, where: str) -> dict[str, Any]:
    """Parses `library.json` as far as its format and version.

    Args:
        content: Of the file.
        where: How messages call it.

    Raises:
        ReadError: It is no JSON, not of a library, or made by a newer version.
    """
    try:
        parsed = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{where} is damaged, it is no JSON: {str(error)[:200]}; copy the library again.") from error
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise ReadError(f"{where} is none of an example library, expected the format '{FORMAT}'.")
    schema: Any = parsed.get("schema")
    if not _is_whole(schema) or schema < 1:
        raise ReadError(f"{where} has the schema {str(schema)[:40]}, expected a whole number; copy the library again.")
    if schema > SCHEMA:
        raise ReadError(
            f"{where} was made by a newer FewShotSeg, schema {schema}; this one reads up to {SCHEMA}: update."
        )
    return parsed


def from_json(content: bytes, where: str) -> Description:
    """Parses and checks `library.json`.

    Args:
        content: Of the file.
        where: How messages call it.

    Raises:
        ReadError: As for `read_schema`, or something in it is missing, makes no sense or is beyond the limits.
    """
    top = _Part(read_schema(content, where), where)
    segments = [_segment(_Part(item, f"{where}, segment {n}")) for n, item in enumerate(top.items("segments"), 1)]
    for what in ("value", "name"):
        if len({getattr(segment, what) for segment in segments}) < len(segments):
            raise ReadError(f"{where} has two segments of one {what}, expected another one for each.")
    values = {segment.value for segment in segments}
    entries = [_entry(_Part(item, f"{where}, entry {n}"), values) for n, item in enumerate(top.items("entries"), 1)]
    if len({entry.id for entry in entries}) < len(entries):
        raise ReadError(f"{where} has two entries of one id, expected another one for each.")
    pixels = sum(math.prod(entry.grid.plane(painted.axis)) for entry in entries for painted in entry.slices)
    if pixels > MOST_PAINTED_PIXELS:
        raise ReadError(f"{where} has masks of {pixels} pixels, expected at most {MOST_PAINTED_PIXELS}; split it.")
    files = {}
    for name, item in top.mapping("files").items():
        part = _Part(item, f"{where}, file {name[:80]!r}")
        checksum = part.text("sha256")
        if not _SHA256.fullmatch(checksum):
            part.wrong("sha256", checksum, "64 hexadecimal digits")
        files[name] = FileText(part.whole("bytes", 0, 2**63), checksum)
    return Description(segments, entries, files, top.extra("format", "schema", "segments", "entries", "files"))


def _segment(part: _Part) -> LibrarySegment:
    name = part.text("name")
    if not name.strip():
        part.wrong("name", name, "a text")
    color: Color = tuple(part.numbers("color", 3))  # type: ignore[assignment]
    if not all(0 <= share <= 1 for share in color):
        part.wrong("color", color, "red, green and blue in 0..1")
    value = part.whole("value", 1, LABEL_LIMIT)
    extra = part.extra("value", "name", "color", "terminology")
    return LibrarySegment(value, name, color, part.text("terminology"), extra)


def _entry(part: _Part, values: set[int]) -> EntryText:
    identifier = part.text("id")
    if not _ID.fullmatch(identifier):
        part.wrong("id", identifier, "something like 'scan-1'")
    grid = _grid(_Part(part.value("image"), f"{part.where}, image"))
    structures = {_label(part, "structures", value, values) for value in part.items("structures")}
    slices = [_slice(_Part(item, f"{part.where}, slice {n}"), grid, structures)
              for n, item in enumerate(part.items("slices"), 1)]  # fmt: skip
    if not slices or len({(painted.axis, painted.index) for painted in slices}) < len(slices):
        part.wrong("slices", f"{len(slices)} with repetitions", "one or more, each another one")
    extra = part.extra("id", "title", "origin", "image", "structures", "slices")
    return EntryText(identifier, part.text("title"), part.text("origin"), grid, structures, slices, extra)


def _grid(part: _Part) -> Grid:
    shape = part.items("shape")
    if len(shape) != 3 or not all(_is_whole(count) and 1 <= count <= MOST_VOXELS for count in shape):
        part.wrong("shape", shape, "three whole numbers of 1 or more")
    if math.prod(shape) > MOST_VOXELS:
        part.wrong("shape", shape, f"at most {MOST_VOXELS} voxels")
    kind = part.text("type")
    if kind not in TYPES:
        part.wrong("type", kind, f"one of {', '.join(TYPES)}")
    spacing, origin, direction = part.numbers("spacing", 3), part.numbers("origin", 3), part.numbers("direction", 9)
    try:  # of one voxel: the checks of a volume's geometry
        volume = Volume.from_array([[[0]]], spacing, origin, direction)
        # Once more with directions made unit vectors, of which masks at the edge of what is allowed are made.
        Volume.from_array([[[0]]], volume.spacing, volume.origin, volume.direction)
    except VolumeError as error:
        raise ReadError(f"{part.where} has a place that makes no sense: {error}") from error
    return Grid(tuple(shape), kind, tuple(spacing), tuple(origin), tuple(direction))  # type: ignore[arg-type]


def _slice(part: _Part, grid: Grid, values: set[int]) -> SliceText:
    axis_name = part.text("axis")
    if axis_name not in AXIS_NAMES:
        part.wrong("axis", axis_name, "k, j or i")
    axis = AXIS_NAMES.index(axis_name)
    background = part.value("background")
    if background is not None:
        _label(part, "background", background, values)
    complete = _complete(part, values)
    index = part.whole("index", 0, grid.shape[axis] - 1)
    return SliceText(axis, index, complete, background, part.extra("axis", "index", "complete", "background"))


def _complete(part: _Part, values: set[int]) -> Complete:
    said = part.value("complete")
    if said is None or said == "all":
        return said
    if isinstance(said, list):
        return frozenset(_label(part, "complete", value, values) for value in said)
    if isinstance(said, dict) and all(
        re.fullmatch(r"[1-9][0-9]{0,4}", key) and isinstance(whole, bool) for key, whole in said.items()
    ):
        return {_label(part, "complete", int(key), values): whole for key, whole in said.items()}
    part.wrong("complete", said, "null, 'all', a list of values or a mapping of values to true and false")


def _label(part: _Part, key: str, value: object, values: set[int]) -> int:
    if not _is_whole(value) or value not in values:
        part.wrong(key, value, "the value of a segment")
    return value


class _Part:
    """A part of the file; what is asked of it is checked. ReadError if it isn't as expected."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, dict):
            raise ReadError(f"{where} is {_brief(content)}, expected fields by name; copy the library again.")
        self._content = content
        self.where = where

    def wrong(self, key: str, got: object, expected: str) -> NoReturn:
        raise ReadError(f"{self.where} has the {key} {_brief(got)}, expected {expected}; copy the library again.")

    def value(self, key: str) -> Any:
        if key not in self._content:
            raise ReadError(f"{self.where} has no field {key!r}; the library is damaged, copy it again.")
        return self._content[key]

    def text(self, key: str) -> str:
        text = self.value(key)
        if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
            self.wrong(key, text, f"a text of at most {MOST_CHARACTERS} characters")
        return readable(text)

    def whole(self, key: str, lowest: int, highest: int) -> int:
        number = self.value(key)
        if not _is_whole(number) or not lowest <= number <= highest:
            self.wrong(key, number, f"a whole number from {lowest} to {highest}")
        return int(number)

    def numbers(self, key: str, count: int) -> list[float]:
        numbers = self.items(key)
        try:
            wanted = [float(number) for number in numbers if isinstance(number, int | float)]
        except OverflowError:
            wanted = []
        if len(wanted) != len(numbers) or len(wanted) != count or not all(map(math.isfinite, wanted)):
            self.wrong(key, numbers, f"{count} numbers")
        return wanted

    def items(self, key: str) -> list[Any]:
        items = self.value(key)
        if not isinstance(items, list):
            self.wrong(key, items, "a list")
        return items

    def mapping(self, key: str) -> dict[str, Any]:
        mapping = self.value(key)
        if not isinstance(mapping, dict):
            self.wrong(key, mapping, "fields by name")
        return mapping

    def extra(self, *known: str) -> dict[str, Any]:
        return {key: value for key, value in self._content.items() if key not in known}


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _brief(content: object) -> str:
    text = repr(content)
    return text if len(text) <= 60 else text[:57] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is there twice")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no number that can be kept")
