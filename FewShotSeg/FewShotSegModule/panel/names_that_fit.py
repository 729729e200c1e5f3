"""Distributes names over the lines of a row that is narrow and low."""

from __future__ import annotations

from collections.abc import Callable, Sequence

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
#: The part of a line that a name may take.
_LONGEST = 0.6


def elided(text: str, width: float, measure: Callable[[str], float]) -> str:
    """A text, cut at its end where it is wider than there is room.

    :param width: The room.
    :param measure: How wide a text is, in the same unit.
    """
    if measure(text) <= width:
        return text
    while text and measure(text + ELLIPSIS) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def namesThatFit(
    names: Sequence[str],
    *,
    width: float,
    lines: int,
    measure: Callable[[str], float],
    more: Callable[[int], str],
) -> tuple[list[list[str]], int]:
    """As many of the names as fit, beginning with the first, and how many there are besides.

    :param names: What is to be shown; those that are wider than a good part of a line are cut.
    :param width: How wide a line is.
    :param lines: How many lines there are.
    :param measure: How wide a name is, with what belongs to it and the gap before the next.
    :param more: Says that there are so many others.
    :return: The names of each line, and how many are not among them; if any, the last one is what `more` said.
    """
    short = [elided(name, _LONGEST * width, measure) for name in names]
    for count in range(len(short), -1, -1):
        rest = len(short) - count
        wrapped = _wrapped([*short[:count], *([more(rest)] if rest else [])], width, measure)
        if len(wrapped) <= lines or count == 0:
            return wrapped, rest
    return [], 0


def _wrapped(pieces: Sequence[str], width: float, measure: Callable[[str], float]) -> list[list[str]]:
    found: list[list[str]] = []
    left = 0.0
    for piece in pieces:
        if not found or measure(piece) > left:
            found.append([])
            left = width
        found[-1].append(piece)
        left -= measure(piece)
    return found


def breakable(text: str) -> str:
    """A text that is wrapped within paths, too: a long one would make the panel as wide as itself."""
    for separator in "/\\_":
        text = text.replace(separator, separator + "\N{ZERO WIDTH SPACE}")
    return text
