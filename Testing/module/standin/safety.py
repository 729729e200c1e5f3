"""Notices what takes Slicer's application down, which the stand-ins would survive."""

from __future__ import annotations

from typing import Any

import vtk

_reported: list[str] = []


def report(danger: str) -> None:
    """Notes something that the real application does not survive; a test that leads there fails."""
    _reported.append(danger)


def takeReports() -> list[str]:
    """What was noted since the last time."""
    found = _reported[:]
    _reported.clear()
    return found


class SceneGuard:
    """Watches in which order nodes are removed from a scene, and that none refers to one that is gone.

    Example:
        >>> guard = SceneGuard(slicer.mrmlScene)
        >>> guard.stop()
        >>> takeReports()
        []
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._tag = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)

    def stop(self) -> None:
        """Stops watching, and looks for references to what is gone."""
        self._scene.RemoveObserver(self._tag)
        for node in self._nodes():
            for role in map(node.GetNthNodeReferenceRole, range(node.GetNumberOfNodeReferenceRoles())):
                wanted = [node.GetNthNodeReferenceID(role, n) for n in range(node.GetNumberOfNodeReferences(role))]
                for identifier in wanted:
                    if identifier and self._scene.GetNodeByID(identifier) is None:
                        report(f"{node.GetID()} refers to {identifier} as its {role}, which is gone")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, scene: Any, _event: str, node: Any) -> None:
        if scene.IsClosing() or not node.IsA("vtkMRMLDisplayNode"):
            return
        for user in self._nodes():
            if user.IsA("vtkMRMLSegmentationNode") and user.HasNodeReferenceID(
                user.GetDisplayNodeReferenceRole(), node.GetID()
            ):
                report(f"{node.GetID()} goes before {user.GetName()}, which it displays: its next event crashes")

    def _nodes(self) -> list[Any]:
        return [self._scene.GetNthNode(number) for number in range(self._scene.GetNumberOfNodes())]
