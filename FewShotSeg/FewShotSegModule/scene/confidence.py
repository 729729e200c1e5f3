"""The confidence of a result as a volume that can be laid over the image in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_result import RunResult

_COLORS_TAG = "FewShotSegConfidence"
#: Confidence, then red, green, blue and opacity: what is sure lets the image through.
_STOPS = (
    (0.0, (0.80, 0.05, 0.15, 1.0)),
    (0.5, (0.95, 0.35, 0.10, 0.9)),
    (0.75, (1.00, 0.80, 0.20, 0.7)),
    (0.95, (0.60, 0.90, 0.40, 0.3)),
    (1.0, (0.20, 0.80, 0.40, 0.0)),
)
_COUNT = 256


def writeConfidence(query: Any, result: RunResult, node: Any = None) -> Any:
    """Fills a scalar volume on the query's grid; where a run didn't look, nothing is in doubt: 1.

    :param query: The volume that was segmented.
    :param result: What the run gave.
    :param node: The volume to fill; a new one if None.
    """
    scene = query.GetScene()
    if node is None:
        name = scene.GenerateUniqueName(_("{name} confidence").format(name=query.GetName()))
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    whole = np.ones(result.shape, np.float32)
    whole[tuple(slice(first, last) for first, last in zip(*result.allowed, strict=True))] = result.confidence
    matrix = vtk.vtkMatrix4x4()
    query.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(query.GetTransformNodeID())
    slicer.util.updateVolumeFromArray(node, whole)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_colors(scene).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetInterpolate(False)
    return node


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
    places = [place for place, _color in _STOPS]
    parts = np.array([color for _place, color in _STOPS])
    for number in range(_COUNT):
        at = number / (_COUNT - 1)
        color = [float(np.interp(at, places, parts[:, channel])) for channel in range(4)]
        table.SetColor(number, f"{at:.2f}", *color)
    return scene.AddNode(table)
