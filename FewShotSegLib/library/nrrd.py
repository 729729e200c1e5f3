"""The NRRD files of a library, to and from bytes.

Of NRRD only what a library needs, since its files may come from strangers: header and voxels in one file, sizes known
beforehand, nothing but raw or gzip. What is checked is what is read, and no library in C sees bytes that nobody vouches
for. Any program that reads NRRD can open the files.
"""

from __future__ import annotations

import math
import re
import zlib

import numpy as np

from FewShotSegLib.library.limits import unpacks_too_far
from FewShotSegLib.volume import Volume

MOST_HEADER_BYTES = 4096
"""The header ends within so many bytes."""

_GZIP = 16 + zlib.MAX_WBITS
#: Quick: the best level makes scans a few per cent smaller, and takes ten times as long.
_LEVEL = 3
_PIECE = 2**24
#: Fields that say where and what the voxels are; others (space, kinds, comments) don't change what is read.
_NEEDED = ("type", "dimension", "sizes", "encoding")
#: Fields that send the reader elsewhere: to another file, or past bytes of this one.
_ELSEWHERE = ("data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip")

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
"""Types of voxels, as numpy calls them."""

_NAME_OF = {kind: {"float32": "float", "float64": "double"}.get(kind, kind) for kind in TYPES}


class NrrdError(ValueError):
    """Half a sentence of what is wrong with a file."""


def encode(volume: Volume, compressed: bool = True) -> bytes:
    """A volume as an NRRD file, compressed with gzip; uncompressed if it would compress suspiciously well."""
    array = volume.array.astype(volume.array.dtype.newbyteorder("<"), copy=False)
    if not compressed:
        return _header(volume, "raw") + array.tobytes()
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    packed = b"".join([*(packer.compress(np.ascontiguousarray(plane).data) for plane in array), packer.flush()])
    if unpacks_too_far(len(packed), array.nbytes):
        return _header(volume, "raw") + array.tobytes()
    return _header(volume, "gzip") + packed


def decode(content: bytes, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The voxels of a file.

    Args:
        content: The whole file.
        shape: What its size must be, (k, j, i).
        kind: What its type must be, one of `TYPES`.

    Returns:
        A new array of that shape and type.

    Raises:
        NrrdError: It is no such file, or of another size or type, or damaged, or its voxels lie elsewhere.
    """
    encoding, start = check_header(content[:MOST_HEADER_BYTES], shape, kind)
    require_honest(len(content), math.prod(shape) * np.dtype(kind).itemsize)
    array = np.empty(shape, np.dtype(kind).newbyteorder("<"))
    if encoding == "raw":
        if len(content) - start != array.nbytes:
            raise NrrdError(f"it has {len(content) - start} bytes of voxels, expected {array.nbytes}")
        array.reshape(-1)[:] = np.frombuffer(content, array.dtype, offset=start)
    else:
        _unpack(memoryview(content)[start:], array.reshape(-1).view(np.uint8).data)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def require_honest(packed: int, unpacked: int) -> None:
    """Raises NrrdError if so many bytes of a file can't be so many of voxels: before room is made for them."""
    if unpacks_too_far(packed, unpacked):
        raise NrrdError(f"{packed} bytes would unpack to {unpacked}, which no scan does")


def check_header(head: bytes, shape: tuple[int, ...], kind: str) -> tuple[str, int]:
    """Checks the header of a file before anything is made for its voxels.

    Args:
        head: The first `MOST_HEADER_BYTES` of the file.
        shape: What the size must be, (k, j, i).
        kind: What the type must be.

    Returns:
        How the voxels are encoded, "raw" or "gzip", and where they start.

    Raises:
        NrrdError: As for `decode`.
    """
    end = head.find(b"\n\n")
    if not head.startswith(b"NRRD000") or end < 0:
        raise NrrdError("it is no NRRD file with a header of its own")
    fields: dict[str, str] = {}
    for line in head[:end].decode("latin-1").split("\n")[1:]:
        name, colon, text = line.partition(":")
        if line.startswith("#") or text.startswith("="):
            continue  # a comment, or a note for other programs
        if not colon or name.lower() in fields:
            raise NrrdError(f"its header has the line {line[:40]!r}, expected each field once")
        fields[name.lower()] = text.strip()
    elsewhere = [name for name in _ELSEWHERE if name in fields]
    if elsewhere:
        raise NrrdError(f"its header has the field {elsewhere[0]!r}, and voxels anywhere else are not read")
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        raise NrrdError(f"its header lacks the field {missing[0]!r}")
    sizes = fields["sizes"].split()
    if fields["dimension"] != "3" or not all(re.fullmatch(r"[1-9]\d{0,9}", size) for size in sizes):
        raise NrrdError(f"it has the sizes {fields['sizes'][:40]!r}, expected three whole numbers")
    if tuple(int(size) for size in reversed(sizes)) != tuple(shape):
        raise NrrdError(f"its voxels have the shape {tuple(map(int, reversed(sizes)))}, expected {tuple(shape)}")
    if fields["type"] != _NAME_OF[kind]:
        raise NrrdError(f"its voxels are {fields['type'][:40]!r}, expected {_NAME_OF[kind]!r}")
    if fields.get("endian", "little") != "little" or fields["encoding"] not in ("raw", "gzip"):
        raise NrrdError(f"it is encoded as {fields['encoding'][:40]!r}, expected raw or gzip, little endian")
    return fields["encoding"], end + 2


def _unpack(packed: memoryview, into: memoryview) -> None:
    """Unpacks gzip into memory of the size expected, and not a byte more."""
    unpacker = zlib.decompressobj(_GZIP)
    filled, at = 0, 0
    try:
        while not unpacker.eof:
            piece: bytes | memoryview = unpacker.unconsumed_tail
            if not piece:
                piece, at = packed[at : at + _PIECE], at + _PIECE
                if not len(piece):
                    raise NrrdError("it ends too early")
            got = unpacker.decompress(piece, min(_PIECE, len(into) - filled + 1))
            if filled + len(got) > len(into):
                raise NrrdError(f"it unpacks to more than the {len(into)} bytes that its size says")
            into[filled : filled + len(got)] = got
            filled += len(got)
    except zlib.error as error:
        raise NrrdError(f"it can't be unpacked ({error})") from error
    if filled < len(into) or unpacker.unused_data or at < len(packed):
        raise NrrdError(f"it unpacks to {filled} bytes with something left over, expected {len(into)} and nothing")


def _header(volume: Volume, encoding: str) -> bytes:
    matrix = volume.voxel_to_patient
    directions = " ".join(_vector(matrix[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {_NAME_OF[volume.array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, reversed(volume.shape))),
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {_vector(matrix[:3, 3])}",
    ]
    return ("\n".join(lines) + "\n\n").encode("ascii")


def _vector(numbers: np.ndarray) -> str:
    return "(" + ",".join(f"{number:.17g}" for number in numbers) + ")"
