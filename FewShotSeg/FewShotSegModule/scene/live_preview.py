"""The preview of a result that changes from round to round: one node, filled again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.preview import allowedOf, describe, gridOf, makePreview, orientedImageOf, queryOf, segmentOf
from FewShotSegModule.scene.removal import remove
from FewShotSegModule.scene.representations import LABELMAP


class LivePreview:
    """Shows results in a segmentation node, which stays the same one through all of them.

    All segments share one labelmap, whose voxels are replaced where they are. Surfaces go with each result, and are
    made elsewhere.

    Example::

        preview = LivePreview()
        preview.show(volume, run.result)
        preview.patch(axis, slices, labels)  # a first answer of the next round
    """

    def __init__(self) -> None:
        self._node: Any = None
        self._isPatched = False

    @property
    def node(self) -> Any:
        """The segmentation node; None if there is none, or it was removed from the scene."""
        if self._node is not None and not slicer.mrmlScene.IsNodePresent(self._node):
            self._node = None
        return self._node

    @node.setter
    def node(self, node: Any) -> None:
        self._node = node

    def show(self, query: Any, result: RunResult) -> None:
        """Shows a result instead of the one before.

        :param query: The volume that was segmented.
        """
        node, self._isPatched = self.node, False
        if node is not None and not _isOf(node, query):
            remove(node)
            node = None
        if node is None:
            self._node = makePreview(query, result)
            return
        image = _imageOf(node)
        if image is None or allowedOf(node) != result.allowed or not _fits(image, result):
            image = orientedImageOf(query, result)
        self._takeSegments(node, image, result)
        # Not before: a segment that goes takes its voxels out of the labelmap.
        _voxelsOf(image)[...] = result.labels
        describe(node, result)
        image.GetPointData().GetScalars().Modified()
        # Takes the surfaces away, which show what was before.
        image.Modified()
        _redraw(node)

    def patch(self, axis: int, slices: list[int], labels: np.ndarray, keep: Sequence[tuple[int, int]] = ()) -> None:
        """Shows a first answer for some slices; surfaces stay what they were until the whole result is there.

        :param axis: Array axis across the slices.
        :param slices: Their numbers in the volume.
        :param labels: Their labels (slices, rows, columns) in the part of the volume in which something may change.
        :param keep: Painted slices (axis, index). Where those along other axes cross, the preview stays as it is.
        """
        node = self.node
        image = _imageOf(node) if node is not None else None
        if image is None:
            return
        start, _stop = allowedOf(node)
        voxels = np.moveaxis(_voxelsOf(image), axis, 0)
        others = [a for a in range(3) if a != axis]
        free = np.ones(voxels.shape[1:], bool)
        for a, index in keep:
            if a != axis and 0 <= index - start[a] < free.shape[others.index(a)]:
                np.moveaxis(free, others.index(a), 0)[index - start[a]] = False
        if labels.shape[1:] != voxels.shape[1:] or labels.max(initial=0) > np.iinfo(voxels.dtype).max:
            return
        for index, plane in zip(slices, labels, strict=True):
            if 0 <= index - start[axis] < len(voxels):
                np.copyto(voxels[index - start[axis]], plane, where=free, casting="unsafe")
        # Not the image's own event, at which surfaces would go.
        image.GetPointData().GetScalars().Modified()
        node.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
        _redraw(node)
        self._isPatched = True

    def settle(self) -> None:
        """Takes the surfaces away that show less than was patched, where no whole result follows."""
        image = _imageOf(self.node) if self._isPatched and self.node is not None else None
        self._isPatched = False
        if image is not None:
            image.Modified()

    def _takeSegments(self, node: Any, image: Any, result: RunResult) -> None:
        """Gives the node the result's segments; those that are there already stay, with what a user made of them."""
        content = node.GetSegmentation()
        there = {content.GetNthSegment(n).GetName(): content.GetNthSegmentID(n) for n in _segments(content)}
        wanted = {structure.name for structure in result.structures}
        for name, identifier in there.items():
            if name not in wanted:
                content.RemoveSegment(identifier)
        for structure in result.structures:
            if structure.name in there:
                segment = content.GetSegment(there[structure.name])
                segment.SetLabelValue(structure.value)
                segment.AddRepresentation(LABELMAP, image)
            else:
                content.AddSegment(segmentOf(structure, image), content.GenerateUniqueSegmentID(structure.name))


def _isOf(node: Any, query: Any) -> bool:
    """Whether a preview is one of this volume, in the place where that is now."""
    return (
        queryOf(node) is query
        and node.GetTransformNodeID() == query.GetTransformNodeID()
        and bool(np.allclose(gridOf(node), geometry.ijkToRas(query)))
    )


def _redraw(node: Any) -> None:
    """Makes the views draw a segmentation anew: they follow its display nodes, not the voxels themselves."""
    for number in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(number)
        if display is not None:
            display.Modified()


def _segments(content: Any) -> range:
    return range(content.GetNumberOfSegments())


def _imageOf(node: Any) -> Any:
    """The labelmap that all segments share; None if they don't, as after somebody painted in the preview."""
    content = node.GetSegmentation()
    images = {content.GetNthSegment(number).GetRepresentation(LABELMAP) for number in _segments(content)}
    image = images.pop() if len(images) == 1 else None
    return image if image is not None and image.GetPointData().GetScalars() is not None else None


def _voxelsOf(image: Any) -> np.ndarray:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _fits(image: Any, result: RunResult) -> bool:
    voxels = _voxelsOf(image)
    highest = max((structure.value for structure in result.structures), default=0)
    return voxels.shape == result.labels.shape and highest <= np.iinfo(voxels.dtype).max
