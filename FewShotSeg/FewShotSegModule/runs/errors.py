"""Errors of runs; their messages are for users."""

from __future__ import annotations

from FewShotSegLib.errors import FewShotSegError


class RunError(FewShotSegError, RuntimeError):
    """A run didn't give a result."""


class InvalidInputError(FewShotSegError, ValueError):
    """The engine refused what it was given; the message is its own."""
