"""Takes nodes out of the scene, in the order that the application survives, and brings them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def remove(node: Any) -> None:
    """Removes a node that is displayed, and its display and storage nodes.

    The node goes before its display nodes: the 3D views keep bare pointers to display nodes that went first, and use
    them at the node's next event, which takes the application down.

    :param node: The vtkMRMLDisplayableNode; nothing happens if it is None or in no scene.
    """
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    parts = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    parts += [node.GetNthStorageNode(number) for number in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for part in parts:
        if part is not None and scene.IsNodePresent(part):
            scene.RemoveNode(part)


def keep(node: Any) -> Callable[[], Any]:
    """Keeps a copy of a node, outside of the scene.

    :param node: The vtkMRMLDisplayableNode.
    :return: Adds the copy to the scene, after the node was removed, and returns it; it has no display node then.
    """
    scene, copy = node.GetScene(), node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.Copy(node)
    for role in ("display", "storage"):
        copy.RemoveNodeReferenceIDs(role)
    return lambda: scene.AddNode(copy)
