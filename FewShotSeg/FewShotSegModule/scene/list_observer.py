"""Notices which example rows look different after something in the scene changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk

from FewShotSegModule.scene.example_slice import ExampleSlice


class ListObserver:
    """Observes the nodes of rows, and tells which rows changed.

    :param node: The node that keeps the rows.
    :param rows: Gives the rows of now.
    :param fingerprint: Gives something that stays equal while a row looks the same.
    :param callback: Called with the identifiers of rows that changed, came or went.
    """

    def __init__(
        self,
        node: Any,
        rows: Callable[[], list[ExampleSlice]],
        fingerprint: Callable[[ExampleSlice], object],
        callback: Callable[[Sequence[str]], None],
    ) -> None:
        self._node, self._rows, self._fingerprint, self._callback = node, rows, fingerprint, callback
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
        self._report(self._rows())

    def _onNodeModified(self, caller: Any, _event: Any) -> None:
        self._report([row for row in self._rows() if caller in (row.volume, row.segmentation)], only=True)

    def _report(self, rows: list[ExampleSlice], only: bool = False) -> None:
        """Compares rows with what is known; with `only`, other rows are taken as unchanged."""
        now = {row.identifier: self._fingerprint(row) for row in rows}
        before = {key: self._known[key] for key in now if key in self._known} if only else self._known
        changed = [key for key in [*now, *(key for key in before if key not in now)] if now.get(key) != before.get(key)]
        self._known = {**self._known, **now} if only else now
        if changed:
            self._callback(changed)
