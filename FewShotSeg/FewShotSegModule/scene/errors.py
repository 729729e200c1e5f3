"""Errors about nodes; their messages are for users and say what to do."""

from __future__ import annotations

from FewShotSegLib.errors import FewShotSegError


class SceneError(FewShotSegError, ValueError):
    """Nodes of the scene can't be used as they are."""


class ObliqueViewError(SceneError):
    """A slice view doesn't show a slice of the volume's own grid."""
