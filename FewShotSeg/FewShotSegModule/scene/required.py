"""Checks of what scripts give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.geometry import describe


def inScene(node: Any) -> bool:
    """Whether a node is in the application's scene."""
    return bool(slicer.mrmlScene.IsNodePresent(node))


def requireKind(node: Any, className: str, role: str, optional: bool = False) -> None:
    """Raises SceneError unless something that a script gave is such a node, in the scene."""
    if node is None and optional:
        return
    if not hasattr(node, "IsA") or not node.IsA(className):
        raise SceneError(
            _("The {role} is {what}, expected a {kind}.").format(role=role, what=describe(node), kind=className)
        )
    requireInScene(node)


def requireList(values: Any, role: str, count: int | None = None) -> None:
    """Raises SceneError unless something that a script gave is a list, of so many; or None."""
    if values is None:
        return
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise SceneError(_("{values!r} was given as {role}, expected a list.").format(role=role, values=values))
    if count is not None and len(values) != count:
        raise SceneError(
            _("The {role} has {given} values, expected {count}.").format(role=role, given=len(values), count=count)
        )


def requireInScene(node: Any) -> None:
    """Raises SceneError where a node has left the scene; None is nobody's."""
    if node is not None and not inScene(node):
        raise SceneError(_("{name} is not in the scene any more.").format(name=node.GetName()))
