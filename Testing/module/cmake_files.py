"""Reads what a CMakeLists.txt sets, as far as this project's files need it."""

from __future__ import annotations

import re
from pathlib import Path

_TOKEN = re.compile(r'#[^\n]*|"(?:[^"\\]|\\.)*"|[()]|[^\s()#"]+')


def commands(file: Path) -> list[tuple[str, list[str]]]:
    """Each command of the file with its arguments, quotes taken off; variables are left as they are written."""
    found: list[tuple[str, list[str]]] = []
    tokens = [token for token in _TOKEN.findall(file.read_text(encoding="utf-8")) if not token.startswith("#")]
    position = 0
    while position < len(tokens):
        end = tokens.index(")", position)
        assert tokens[position + 1] == "(", f"{file}: {tokens[position]!r} is no command"
        found.append((tokens[position], [_unquoted(token) for token in tokens[position + 2 : end]]))
        position = end + 1
    return found


def variables(file: Path) -> dict[str, list[str]]:
    """Name to values of every `set` in the file."""
    return {values[0]: values[1:] for name, values in commands(file) if name == "set"}


def _unquoted(token: str) -> str:
    return token[1:-1] if token.startswith('"') else token
