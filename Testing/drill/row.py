"""One row of the drill, and what all rows are checked for."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class Unexpected(Exception):
    """Something else was got than was expected; the text says what."""


@dataclass(frozen=True)
class Row:
    """Something that is done to the program.

    Attributes:
        did: What is done.
        expected: What is to come of it.
        run: Does it in a folder of its own and tells what was got; raises `Unexpected`.
        short: Whether it takes well below a second.
    """

    did: str
    expected: str
    run: Callable[[Path], str]
    short: bool = False

    def carry_out(self) -> tuple[bool, str]:
        """Whether what was expected was got, and what was got."""
        folder = Path(tempfile.mkdtemp(prefix="drill-"))
        try:
            return True, self.run(folder)
        except Unexpected as error:
            return False, str(error)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"
        finally:
            for path in folder.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o700)
            shutil.rmtree(folder, ignore_errors=True)


def contents(folder: Path) -> dict[str, object]:
    """What lies in a folder: of files their bytes, of all else its kind."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        whole = path.read_bytes() if stat.S_ISREG(mode) and os.access(path, os.R_OK) else stat.S_IFMT(mode)
        found[str(path.relative_to(folder))] = whole
    return found


def require_unchanged(before: dict[str, object], folder: Path, but: tuple[str, ...] = ()) -> None:
    """Raises `Unexpected` if files were left, changed or lost, those named apart."""
    after = contents(folder)
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name) and name not in but
    )
    if changed:
        raise Unexpected(f"left, changed or lost: {', '.join(changed)}")


def require_message(text: str, words: str) -> str:
    """The message that a text is, on one line; raises `Unexpected` if it does not match, or is none for people."""
    brief = " ".join(text.split())
    if "Traceback" in text:
        raise Unexpected(f"a traceback: {brief[-200:]}")
    if not re.search(words, brief, re.IGNORECASE):
        raise Unexpected(f"without '{words}': {brief[:200]}" if brief else "no message")
    return brief
