"""Notices which example rows look different after something in the scene changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from FewShotSegModule.scene.example_slice import ExampleSlice


class ListObserver:
    """Observes the nodes of rows, and tells which rows changed.

    That something may have changed is told at once, which rows did where that is asked for: a brush stroke is many
    changes, and reading voxels at each would hold up the brush.

    :param node: The node that keeps the rows.
    :param rows: Gives the rows of now.
    :param fingerprint: Gives something that stays equal while a row looks the same.
    :param onStir: Called whenever rows may have changed, come or gone.
    """

    def __init__(
        self,
        node: Any,
        rows: Callable[[], list[ExampleSlice]],
        fingerprint: Callable[[ExampleSlice], object],
        onStir: Callable[[], None],
    ) -> None:
        self._node, self._rows, self._fingerprint, self._onStir = node, rows, fingerprint, onStir
        #: Nodes that may have changed since changes were asked for; all of them after the list was changed.
        self._stirred: set[Any] = set()
        self._isListStirred = False
        self._tags: list[tuple[Any, int]] = []
        self._observed: set[Any] = set()
        self._known = {row.identifier: fingerprint(row) for row in rows()}
        self._own = [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onListModified))]
        scene = node.GetScene()
        if scene is not None:
            self._own.append((scene, scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._onListModified)))
        self._observeNodes()

    def stop(self) -> None:
        """Stops observing."""
        self._forgetNodes()
        for subject, tag in self._own:
            subject.RemoveObserver(tag)
        self._own = []

    def changes(self) -> list[str]:
        """Identifiers of rows that changed, came or went since this was asked last."""
        rows, before = self._rows(), self._known
        # Rows of which no node has changed show what they showed.
        now = {
            row.identifier: self._fingerprint(row)
            if self._isListStirred or row.volume in self._stirred or row.segmentation in self._stirred
            else before.get(row.identifier)
            for row in rows
        }
        self._known, self._stirred, self._isListStirred = now, set(), False
        gone = [identifier for identifier in before if identifier not in now]
        return [identifier for identifier in now if now[identifier] != before.get(identifier)] + gone

    def _observeNodes(self) -> None:
        rows = self._rows()
        nodes = {row.volume for row in rows} | {row.segmentation for row in rows}
        if nodes == self._observed:
            return
        self._forgetNodes()
        self._observed = nodes
        transformed = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        for node in nodes:
            events = [vtk.vtkCommand.ModifiedEvent, transformed]
            if node.IsA("vtkMRMLSegmentationNode"):
                kind = slicer.vtkSegmentation
                events += [
                    kind.SourceRepresentationModified,
                    kind.SegmentAdded,
                    kind.SegmentRemoved,
                    kind.SegmentModified,
                    kind.SegmentsOrderModified,
                ]
            else:
                events.append(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
            self._tags += [(node, node.AddObserver(event, self._onNodeModified)) for event in events]

    def _forgetNodes(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags, self._observed = [], set()

    def _onListModified(self, _caller: Any, _event: Any) -> None:
        self._observeNodes()
        self._isListStirred = True
        self._onStir()

    def _onNodeModified(self, caller: Any, _event: Any) -> None:
        self._stirred.add(caller)
        self._onStir()
