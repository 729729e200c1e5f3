"""The error of an installation that didn't work out."""

from __future__ import annotations


class DependencyError(RuntimeError):
    """A needed Python package could not be installed; the message says what the user can do about it."""
