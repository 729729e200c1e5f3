"""A structure that a run looks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """What all same-named segments of the examples are.

    :param value: Its label in the run's arrays.
    :param name: The segments' name.
    :param color: Red, green, blue in 0..1.
    :param tag: Terminology entry, "" if there is none.
    """

    value: int
    name: str
    color: tuple[float, float, float]
    tag: str = ""
