"""What a library holds of one patient: the scan, and which slices of it are painted."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from FewShotSegLib.colors import Color
from FewShotSegLib.example import Complete
from FewShotSegLib.labels import label_values
from FewShotSegLib.library.stores import Store
from FewShotSegLib.volume import Volume


@dataclass
class LibrarySegment:
    """A structure of a library; its name tells it from others, in all libraries.

    Attributes:
        value: Label value in this library.
        name: What it is called, "label 5" where nobody named it.
        color: Red, green, blue in 0..1.
        terminology: Terminology entry as 3D Slicer writes it, "" for none; kept as it is.
        extra: What other versions have written beside these.
    """

    value: int
    name: str
    color: Color
    terminology: str = ""
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass
class PaintedSlice:
    """One painted slice of a scan.

    Attributes:
        axis: Array axis across the slice: 0 (k), 1 (j) or 2 (i).
        index: Which slice along it, from 0.
        mask: Labels of the slice, uint8 or uint16 (rows, columns).
        complete: Which structures are painted completely; see `Example.complete`.
        background: Label value that is no structure's, or None.
        extra: What other versions have written beside these.
    """

    axis: int
    index: int
    mask: np.ndarray = field(repr=False)
    complete: Complete = None
    background: int | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def values(self) -> list[int]:
        """Label values of the structures that are painted on it, ascending."""
        return [value for value in label_values(self.mask) if value != self.background]


@dataclass(frozen=True)
class Grid:
    """A scan without its voxels.

    Attributes:
        shape: Voxels along (k, j, i).
        kind: Type of the voxels, as numpy calls it.
        spacing: Millimetres between voxels along (i, j, k).
        origin: Centre of the first voxel, LPS mm.
        direction: Direction cosines, row by row.
    """

    shape: tuple[int, int, int]
    kind: str
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, volume: Volume) -> Grid:
        """The grid of a volume."""
        return cls(volume.shape, volume.array.dtype.name, volume.spacing, volume.origin, volume.direction)

    def same_as(self, other: Grid) -> bool:
        """Whether the voxels of both lie at the same places; see `Volume.same_grid`."""
        return self._empty().same_grid(other._empty())

    def _empty(self) -> Volume:
        """A volume of this grid that takes no memory."""
        return Volume(np.broadcast_to(np.uint8(0), self.shape), self.spacing, self.origin, self.direction)

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2] * np.dtype(self.kind).itemsize

    def plane(self, axis: int) -> tuple[int, int]:
        """Shape of a slice across an axis."""
        rows, columns = (count for a, count in enumerate(self.shape) if a != axis)
        return rows, columns


@dataclass(frozen=True)
class StoredFile:
    """A file of a library that is saved.

    Attributes:
        store: The folder or archive.
        name: Of the file in it.
        size: Bytes.
        sha256: Checksum of the content, in hexadecimal digits.
    """

    store: Store
    name: str
    size: int
    sha256: str


class Scan:
    """The voxels of an entry, in memory or still in a file: those of a file are read when they are asked for.

    As long as somebody holds the volume that was read, everybody gets the same one.

    Args:
        grid: Size, type and place.
        volume: The voxels, if they are there already.
        stored: The file that they are in, if they are in one.
        read: Reads them from it; raises ReadError.
    """

    def __init__(
        self,
        grid: Grid,
        volume: Volume | None = None,
        stored: StoredFile | None = None,
        read: Callable[[StoredFile, Grid], Volume] | None = None,
    ) -> None:
        self.grid = grid
        self._stored = stored
        self._read = read
        self._kept = volume
        self._seen: weakref.ref[Volume] | None = None if volume is None else weakref.ref(volume)
        self._digest = ""

    @property
    def stored(self) -> StoredFile | None:
        """The file with the voxels, if there is one."""
        return self._stored

    def volume(self) -> Volume:
        """The volume; ReadError if its file is gone or damaged."""
        volume = self._seen() if self._seen is not None else None
        if volume is None:
            assert self._stored is not None
            assert self._read is not None
            volume = self._read(self._stored, self.grid)
            self._seen = weakref.ref(volume)
        return volume

    def shows_the_same(self, other: Scan) -> bool:
        """Whether both are the same image: the same voxels at the same places; files are read only if they may be."""
        return other is self or (self.grid.same_as(other.grid) and self.volume().shows_the_same(other.volume()))

    def digest(self) -> str:
        """Checksum of the voxels, whatever file they are in."""
        if not self._digest:
            array = self.volume().array
            self._digest = sha256_of(array.astype(array.dtype.newbyteorder("<"), copy=False))
        return self._digest

    def move_to(self, stored: StoredFile, read: Callable[[StoredFile, Grid], Volume]) -> None:
        """Has the voxels read from a file from now on; those in memory can be forgotten when nobody needs them."""
        self._stored, self._read, self._kept = stored, read, None


@dataclass
class Entry:
    """A scan with its painted slices; treat as read-only, the library changes it.

    Attributes:
        id: By which the library knows it, "scan-1".
        title: What people call it, "scan 1" unless somebody said otherwise.
        origin: A free note of whoever added it.
        structures: Label values that whoever painted it had in mind: painted, named or said to be complete or absent.
        slices: What is painted.
        scan: The voxels.
        picture: The picture of it in the library that was saved, while it still shows what is painted.
        extra: What other versions have written beside these.
    """

    id: str
    title: str
    origin: str
    structures: set[int]
    slices: list[PaintedSlice]
    scan: Scan = field(repr=False)
    picture: StoredFile | None = field(default=None, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (k, j, i)."""
        return self.scan.grid.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along (i, j, k)."""
        return self.scan.grid.spacing


def sha256_of(array: np.ndarray) -> str:
    """Checksum of an array's bytes, plane by plane: a large one must not be copied."""
    digest = hashlib.sha256()
    for plane in array:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()
