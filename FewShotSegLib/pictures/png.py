"""Writes pictures as PNG, with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Of the format: bits a channel, and pixels of red, green and blue.
_DEPTH, _RGB = 8, 2
#: Of the format: each row holds the differences to the one above, which compresses well.
_UP = 2


def png_of(picture: np.ndarray) -> bytes:
    """A picture as the content of a PNG file.

    Args:
        picture: Red, green and blue, array (height, width, 3) of uint8.
    """
    height, width, _channels = picture.shape
    above = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    rows = np.full((height, 1 + 3 * width), _UP, np.uint8)
    rows[:, 1:] = (picture - above).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, _DEPTH, _RGB, 0, 0, 0)
    pixels = zlib.compress(rows.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def data_uri(png: bytes) -> str:
    """The content of a PNG file as the address of an image in a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
