"""Surfaces of segmentations for the 3D views: made afterwards, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import slicer
import vtk

from FewShotSegModule.scene.layers import Layer, layersOf
from FewShotSegModule.scene.representations import LABELMAP, SURFACE, orientedImage, stateOf

#: Seconds of work before the application has its turn again; a single surface may take longer.
_TURN = 0.05


class SurfaceMaking:
    """Makes the surfaces that a segmentation lacks, one segment after the other, and shows them all at once.

    It begins anew where the segmentation changes meanwhile, and ends where that leaves the scene.

    Example::

        making = SurfaceMaking(segmentation)
        RunTimer(making).start()

    :param segmentation: The vtkMRMLSegmentationNode.
    :param onDone: Called when the surfaces are there.
    """

    def __init__(self, segmentation: Any, onDone: Callable[[], None] | None = None) -> None:
        self._segmentation, self.onDone = segmentation, onDone
        #: "running", then "finished".
        self.state = "running"
        self._source: object = None
        self._made: dict[str, Any] = {}
        self._todo: Iterator[None] = iter(())

    def poll(self) -> None:
        """Goes on with the work for a moment."""
        content = self._segmentation.GetSegmentation()
        if self._segmentation.GetScene() is None or content is None:
            self.state = "finished"
            return
        if not lacksSurfaces(self._segmentation):
            self._finish()
            return
        source = stateOf(content, LABELMAP)
        if self._source != source:
            self._source, self._made, self._todo = source, {}, self._make(content)
        end = time.monotonic() + _TURN
        for _surface in self._todo:
            if time.monotonic() >= end:
                return
        for identifier, surface in self._made.items():
            content.GetSegment(identifier).AddRepresentation(SURFACE, surface)
        content.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
        self._finish()

    def _finish(self) -> None:
        self.state = "finished"
        if self.onDone is not None:
            self.onDone()

    def _make(self, content: Any) -> Iterator[None]:
        """Makes a surface at each step."""
        joint = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetJointSmoothingParameterName()
        if content.GetConversionParameter(joint) == "1":
            content.CreateRepresentation(SURFACE)  # smoothed together, they are made together
            return
        for layer in layersOf(content):
            for number, (start, stop) in layer.extents().items():
                identifier = content.GetNthSegmentID(number - 1)
                self._made[identifier] = _surface(content, layer, number, start, stop)
                yield
        for number in range(content.GetNumberOfSegments()):
            self._made.setdefault(content.GetNthSegmentID(number), vtk.vtkPolyData())


def _surface(content: Any, layer: Layer, number: int, start: np.ndarray, stop: np.ndarray) -> Any:
    """The surface of a segment, made of the smallest part of its labelmap: the whole one takes far longer."""
    there = tuple(slice(int(a), int(b)) for a, b in zip(start - layer.first, stop - layer.first, strict=True))
    mask = layer.numbered(layer.array[there]) == number
    k, j, i = (int(n) for n in start)
    scratch, segment = slicer.vtkSegmentation(), slicer.vtkSegment()
    scratch.CopyConversionParameters(content)
    scratch.SetSourceRepresentationName(LABELMAP)
    segment.AddRepresentation(LABELMAP, orientedImage(mask.astype(np.uint8), (k, j, i), layer.toSegmentation))
    segment.SetLabelValue(1)
    scratch.AddSegment(segment, "segment")
    scratch.CreateRepresentation(SURFACE)
    return scratch.GetNthSegment(0).GetRepresentation(SURFACE)


def lacksSurfaces(segmentation: Any) -> bool:
    """Whether any segment has no surface yet."""
    content = segmentation.GetSegmentation()
    segments = (content.GetNthSegment(number) for number in range(content.GetNumberOfSegments()))
    return any(segment.GetRepresentation(SURFACE) is None for segment in segments)


def hasSurfaces(segmentation: Any) -> bool:
    """Whether there is a surface of each segment."""
    return segmentation.GetSegmentation().GetNumberOfSegments() > 0 and not lacksSurfaces(segmentation)


def isIn3D(segmentation: Any) -> bool:
    """Whether a segmentation is meant to be seen in the 3D views."""
    display = segmentation.GetDisplayNode()
    return display is not None and bool(display.GetVisibility() and display.GetVisibility3D())


def is3DViewOpen(scene: Any) -> bool:
    """Whether the layout has a 3D view."""
    views = (
        scene.GetNthNodeByClass(n, "vtkMRMLViewNode") for n in range(scene.GetNumberOfNodesByClass("vtkMRMLViewNode"))
    )
    return any(view.IsMappedInLayout() and view.GetVisibility() for view in views)
