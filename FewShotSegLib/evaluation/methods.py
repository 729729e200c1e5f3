"""What a compared method is: it sees a query volume and examples, and nothing of the reference.

The methods are in `peers` (no training), `engine` (the bundled model and its ablations) and `baselines` (networks
trained for an equal budget); `registry` makes them by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

Answer = tuple[np.ndarray, np.ndarray | None]
"""Labelmap (k, j, i), and confidence 0..1 of the same shape or None, on the query's grid."""

Scope = Literal["within", "across", "both"]


class Method(Protocol):
    """A way to get from examples to a segmented volume."""

    @property
    def name(self) -> str:
        """Short name, as on the command line."""

    @property
    def scope(self) -> Scope:
        """Whether the examples must be slices of the query itself, of other volumes, or can be either."""

    @property
    def takes_parts(self) -> bool:
        """Whether a part of the query's slices can be segmented alone; protocol EP1 asks so."""

    @property
    def is_network(self) -> bool:
        """Whether its work is a torch network's, so that multiply-accumulates can be counted."""

    def prepare(self) -> None:
        """Loads packages and weights, so that `segment` can be timed without them."""

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query with the examples' labels."""


def file_checksum(files: Sequence[Path]) -> str:
    """SHA-256 over the contents of some files together; "" where there are none."""
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
