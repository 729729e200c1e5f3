"""Makes nodes for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import vtk

SHAPE = (8, 24, 20)
SPACING = (1.5, 2.0, 4.0)


def matrix(array: np.ndarray) -> Any:
    made = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            made.SetElement(row, column, float(array[row, column]))
    return made


def ijk_to_ras() -> np.ndarray:
    """As of a scan whose rows and columns run to the patient's back and left."""
    return np.array([[-1.5, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 4.0, -30], [0, 0, 0, 1]], float)


def add_volume(
    slicer: Any, name: str = "scan", array: np.ndarray | None = None, to_ras: np.ndarray | None = None
) -> Any:
    if array is None:
        array = np.random.default_rng(0).normal(0, 30, SHAPE).astype(np.int16)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.SetIJKToRASMatrix(matrix(ijk_to_ras() if to_ras is None else to_ras))
    slicer.util.updateVolumeFromArray(volume, array)
    return volume


def add_segmentation(slicer: Any, volume: Any, masks: Mapping[str, np.ndarray], name: str = "painted") -> Any:
    """A segmentation on the volume's grid with one segment a mask, in layers where they overlap."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for segment, mask in masks.items():
        node.GetSegmentation().AddEmptySegment(segment, segment)
        set_segment(slicer, node, segment, mask, volume)
    return node


def set_segment(slicer: Any, node: Any, segment: str, mask: np.ndarray, volume: Any) -> None:
    """Paints a segment, over whatever was there."""
    identifier = node.GetSegmentation().GetSegmentIdBySegmentName(segment)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, identifier, volume)


def mask_of(slicer: Any, node: Any, segment: str, volume: Any) -> np.ndarray:
    identifier = node.GetSegmentation().GetSegmentIdBySegmentName(segment)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume) > 0


def names_of(node: Any) -> list[str]:
    content = node.GetSegmentation()
    return [content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments())]


def add_transform(slicer: Any, array: np.ndarray | None) -> Any:
    """A linear transform, or one that bends space if the array is None."""
    if array is not None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        node.SetMatrixTransformToParent(matrix(array))
        return node
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for n, point in enumerate(np.random.default_rng(1).uniform(-50, 50, (6, 3))):
        source.InsertNextPoint(*point)
        target.InsertNextPoint(*(point + (5.0 if n % 2 else -5.0)))
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node.SetAndObserveTransformToParent(spline)
    return node


def box(*slices: slice | int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[slices] = True
    return mask
