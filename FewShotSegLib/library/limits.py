"""What a library may hold: a file from a stranger must not fill memory or disk. Saving keeps to the same limits.

All are far above what somebody paints, and are stated in Resources/Docs/library.md.
"""

from __future__ import annotations

SCHEMA = 1
"""The version of the format that is written, and the newest that is read."""

FORMAT = "FewShotSeg example library"
"""By what library.json says that it is one."""

MOST_FILES = 20_000
"""Files in a folder or an archive."""

MOST_BYTES = 64 * 2**30
"""Bytes of all files together, unpacked."""

MOST_JSON_BYTES = 16 * 2**20
"""Bytes of library.json; a slice takes about 250."""

MOST_VOXELS = 2**30
"""Voxels of one scan: 1024 slices of 1024 x 1024."""

MOST_PAINTED_PIXELS = 2**31
"""Pixels of all masks together, which are in memory while a library is open: 8192 slices of 512 x 512."""

MOST_RATIO = 200
"""How many times as large anything may become when it is unpacked, beyond `FREE_BYTES`.

Scans compress two to twenty times, background of nothing but zeros a thousand times: such a scan is kept uncompressed.
"""

FREE_BYTES = 64 * 2**20
"""Up to this size, unpacked, nothing is said about the ratio: an empty mask compresses as well as a bomb."""

MOST_CHARACTERS = 10_000
"""Characters of a name, a title, a note or a terminology entry."""


def unpacks_too_far(packed: int, unpacked: int) -> bool:
    """Whether so many bytes can't honestly have become so many."""
    return unpacked > max(FREE_BYTES, packed * MOST_RATIO)
