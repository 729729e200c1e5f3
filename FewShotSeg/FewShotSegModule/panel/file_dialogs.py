"""What file dialogs give."""

from __future__ import annotations

from typing import Any


def pathOf(chosen: Any) -> str:
    """The path that a file dialog gives, "" if it was cancelled; some bindings of Qt give the filter, too."""
    return str(chosen[0] if isinstance(chosen, tuple) else chosen)
