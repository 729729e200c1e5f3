"""The confidence of a result as a volume that can be laid over the image in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.removal import remove

_COLORS_TAG = "FewShotSegConfidence"
#: Marks the volumes that this module made.
_ATTRIBUTE = "FewShotSeg.confidence"
_QUERY_ROLE = "FewShotSegQuery"
#: What is surer than this lets the image through.
SURE = 0.95
#: Confidence, then red, green and blue.
_STOPS = (
    (0.0, (0.80, 0.05, 0.15)),
    (0.5, (0.95, 0.35, 0.10)),
    (0.75, (1.00, 0.80, 0.20)),
    (SURE, (0.60, 0.90, 0.40)),
)
_COUNT = 256


def writeConfidence(query: Any, result: RunResult, node: Any = None) -> Any:
    """Fills a scalar volume on the query's grid; where a run didn't look, nothing is in doubt: 1.

    :param query: The volume that was segmented.
    :param result: What the run gave.
    :param node: The volume to fill; a new one, named after the query, if None.
    """
    scene = query.GetScene()
    if node is None:
        name = freeName(scene, _("{name} confidence").format(name=query.GetName()))
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetAttribute(_ATTRIBUTE, "true")
        node.SetNodeReferenceID(_QUERY_ROLE, query.GetID())
    box = tuple(slice(first, last) for first, last in zip(*result.allowed, strict=True))
    matrix = vtk.vtkMatrix4x4()
    query.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(query.GetTransformNodeID())
    if not _hasRoomFor(node, result):
        slicer.util.updateVolumeFromArray(node, np.ones(result.shape, np.float32))
    voxels = slicer.util.arrayFromVolume(node)
    if result.confidence.shape != result.shape:
        voxels[...] = 1.0
    voxels[box] = result.confidence
    slicer.util.arrayFromVolumeModified(node)
    showInColors(node)
    return node


def _hasRoomFor(node: Any, result: RunResult) -> bool:
    """Whether a volume's voxels can be filled where they are, which is much quicker for large ones."""
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        return False
    voxels = slicer.util.arrayFromVolume(node)
    return voxels.shape == result.shape and voxels.dtype == np.float32


def showInColors(node: Any) -> None:
    """Gives a confidence volume its colours, for an overlay in which only what is in doubt is seen."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_colors(node.GetScene()).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetInterpolate(False)
    # By the threshold, since slice views take a colour's opacity as on or off.
    display.AutoThresholdOff()
    display.SetThreshold(0.0, SURE)
    display.ApplyThresholdOn()


def isConfidence(volume: Any) -> bool:
    """Whether a volume was made by this module to show how sure a result is."""
    return volume.GetAttribute(_ATTRIBUTE) is not None


def isConfidenceOf(volume: Any, query: Any) -> bool:
    """Whether a volume was made by this module to show how sure a result of this query is."""
    return query is not None and volume.GetNodeReference(_QUERY_ROLE) is query


def colorsOf(confidence: np.ndarray) -> np.ndarray:
    """Red, green and blue in 0..1, array (..., 3), of confidences 0..1, array (...)."""
    places = [place for place, _color in _STOPS]
    return np.stack([np.interp(confidence, places, parts) for parts in zip(*(c for _p, c in _STOPS), strict=True)], -1)


def removeConfidence(node: Any) -> None:
    """Removes a confidence volume, and the colours with the last one that has them.

    :param node: The volume; nothing happens if it is None or in no scene.
    """
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    remove(node)
    table = scene.GetSingletonNode(_COLORS_TAG, "vtkMRMLColorTableNode")
    if table is not None and not any(
        display.GetColorNodeID() == table.GetID() for display in slicer.util.getNodesByClass("vtkMRMLDisplayNode")
    ):
        scene.RemoveNode(table)


def _colors(scene: Any) -> Any:
    """The colour table, one for each scene."""
    existing = scene.GetSingletonNode(_COLORS_TAG, "vtkMRMLColorTableNode")
    if existing is not None:
        return existing
    table = slicer.vtkMRMLColorTableNode()
    table.SetSingletonTag(_COLORS_TAG)
    table.SetName("FewShotSeg confidence")
    table.SetTypeToUser()
    table.SetHideFromEditors(True)
    table.SetNumberOfColors(_COUNT)
    places = np.linspace(0, 1, _COUNT)
    for number, (at, color) in enumerate(zip(places, colorsOf(places).tolist(), strict=True)):
        table.SetColor(number, f"{at:.2f}", *color, 1.0)
    return scene.AddNode(table)
