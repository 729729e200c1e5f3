"""Files by names that libraries in C can't misread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def is_utf8(path: Path) -> bool:
    """Whether a path is UTF-8; SimpleITK ends the process at one that isn't, as old archives bring them."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def plain_name(path: Path, name: str) -> Iterator[Path]:
    """Gives a file another name, alone in a folder, for as long as the context lasts.

    Args:
        path: The file.
        name: The name wanted, with an ending that fits the content.
    """
    with TemporaryDirectory(prefix="fewshotseg-") as folder:
        link = Path(folder) / name
        try:
            link.symlink_to(path.absolute())
        except OSError:  # Windows allows links to few users
            try:
                os.link(path, link)
            except OSError:
                shutil.copyfile(path, link)
        yield link


@contextmanager
def name_for_itk(path: Path) -> Iterator[Path]:
    """The file by a name that SimpleITK can take; its own if that is one, else one alone in a folder."""
    if is_utf8(path):
        yield path
    else:
        ending = path.suffix if is_utf8(Path(path.suffix)) else ""
        with plain_name(path, f"file{ending}") as name:
            yield name


@contextmanager
def folder_for_itk(folder: Path) -> Iterator[Path]:
    """A folder by a name that SimpleITK can take; its own if that is one."""
    if is_utf8(folder):
        yield folder
    else:
        with plain_name(folder, "folder") as link:
            yield link
