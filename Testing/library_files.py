"""Libraries for tests, and ways to see that two are the same or to damage one."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib import Example, Volume
from FewShotSegLib.library import Library

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
SHAPE = (5, 6, 7)


def an_image(seed: int = 0, shape: tuple[int, int, int] = SHAPE, kind: str = "int16") -> Volume:
    """A scan of noise, with a name that must not get into a library."""
    array = np.random.default_rng(seed).integers(-900 if kind != "uint8" else 0, 200, shape).astype(kind)
    return Volume.from_array(array, (0.7, 1 / 3, 2.5), (-10, 20.1, 5), OBLIQUE, name="DOE^JANE 1960-02-03")


def a_slice(image: Volume, index: int, values: dict[int, str], axis: int = 0, **how: Any) -> Example:
    """A slice with a row of each label."""
    mask = np.zeros(image.array.take(index, axis).shape, np.int32)
    for row, value in enumerate(values):
        mask[row + 1, 1:4] = value
    return Example(image, axis, index, mask, names={v: name for v, name in values.items() if name}, **how)


def a_library() -> Library:
    """Two scans with liver (1), spleen (2) and strokes."""
    library = Library()
    first, second = an_image(1), an_image(2)
    library.add([a_slice(first, 2, {1: "liver", 2: "spleen"}, complete="all"), a_slice(first, 3, {1: "liver"}, axis=2)])
    library.add([a_slice(second, 1, {1: "liver", 2: "spleen"}, complete=set())], origin="the other scanner")
    return library


def content_of(library: Library) -> list[tuple[Any, ...]]:
    """All that examples say, to compare."""
    return [
        (
            example.image.array.tobytes(), example.image.array.dtype, example.image.shape, example.image.spacing,
            example.image.origin, example.image.direction, example.axis, example.index, example.mask.tolist(),
            example.names, example.colors, example.complete, example.background,
        )
        for example in library.examples()
    ]  # fmt: skip


def change_description(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes what library.json of a folder says."""
    file = folder / "library.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    change(description)
    file.write_text(json.dumps(description), encoding="utf-8")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Gives a file of a folder another content, with a checksum that fits: a forger can do that."""
    (folder / name).write_bytes(content)
    file = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change_description(folder, lambda description: description["files"].update({name: file}))


def pack(folder: Path, archive: Path, prefix: str = "", packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """Packs a folder as people do it, by hand."""
    with zipfile.ZipFile(archive, "w", packing) as members:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                members.write(file, prefix + file.relative_to(folder).as_posix())
    return archive
