"""A method at work on one query, for which more and more is painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from FewShotSegLib.evaluation.methods import Answer, Method
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

Near = Callable[[list[int], np.ndarray, np.ndarray], None]
Plane = tuple[int, int]
"""Array axis across a slice, and its index along it."""


class Session(Protocol):
    """A method at work on one query."""

    def add(self, example: Example) -> None:
        """Takes one more painted slice of the query."""

    def predict(self, near: Near | None = None) -> Answer:
        """Segments the query from all that was added.

        Args:
            near: Called with slices, labels and confidence of the gaps that changed, by methods that have these first.
        """

    def suggest(self) -> Plane | None:
        """The slice that is best painted next; None where the method has nothing to suggest."""


@runtime_checkable
class HasSessions(Protocol):
    """A method that keeps something between answers about one query."""

    def session(self, query: Volume) -> Session:
        """Begins with nothing painted."""


class Repeated:
    """A session of a method that keeps nothing: it starts anew for each answer, and suggests nothing."""

    def __init__(self, method: Method, query: Volume) -> None:
        self._method, self._query = method, query
        self._examples: list[Example] = []

    def add(self, example: Example) -> None:
        """Takes one more painted slice."""
        self._examples.append(example)

    def predict(self, near: Near | None = None) -> Answer:
        """Segments the query, all of it at once."""
        return self._method.segment(self._query, self._examples)

    def suggest(self) -> Plane | None:
        """Nothing."""
        return None


def session_of(method: Method, query: Volume) -> Session:
    """A session of any method."""
    return method.session(query) if isinstance(method, HasSessions) else Repeated(method, query)
