"""What became of a preview that was accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Acceptance:
    """Where a preview went, and the way back.

    :param segmentation: The segmentation that was written into.
    :param said: A sentence about it for the user.
    :param undo: Takes it back.
    """

    segmentation: Any
    said: str
    undo: Callable[[], None]
