"""Names on the command line: lists of them, in any case, and names that stand for several."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def names(known: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None) -> Callable[[str], list[str]]:
    """A parser of comma-separated names for argparse.

    Args:
        known: Names that can be chosen; upper and lower case are one.
        groups: Names that stand for several of them.

    Returns:
        Function from text to the names as in `known`, each once, in the order given; it raises ArgumentTypeError for a
        name that is not known and for an empty list.
    """
    several = {name.lower(): list(members) for name, members in (groups or {}).items()}
    several |= {name.lower(): [name] for name in known}

    def parse(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in given if name.lower() not in several]
        if unknown or not given:
            choice = ", ".join([*known, *(groups or {})])
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown) or 'empty list'}; known: {choice}")
        return list(dict.fromkeys(member for name in given for member in several[name.lower()]))

    return parse


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parse_options(text: str) -> list[tuple[str, Any]]:
    """Parses ``name=value,name=value``; values are bool, int, float or else text."""
    options = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {part!r}")
        options.append((name.strip(), _value(value.strip())))
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
