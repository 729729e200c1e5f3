"""Where voxels lie: matrices between voxel indices (i, j, k) and the world (RAS, mm), transforms included."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegLib.volume import Volume
from FewShotSegModule.scene.errors import SceneError

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def arrayOf(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrixOf(array: np.ndarray) -> Any:
    """An array as a vtkMatrix4x4."""
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def ijkToRas(volume: Any) -> np.ndarray:
    """From a volume's voxel indices to its own coordinates, without parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return arrayOf(matrix)


def isLinear(node: Any) -> bool:
    """Whether a node's parent transforms, if it has any, are linear."""
    transform = node.GetParentTransformNode()
    return transform is None or bool(transform.IsTransformToWorldLinear())


def toWorld(node: Any) -> np.ndarray:
    """The parent transforms of a node as one matrix.

    :raises SceneError: One of them is not linear.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise SceneError(
            _(
                "{name} lies under the transform {transform}, which is not linear; slices of it are no planes. Harden"
                " the transform (Data module, right click on the transform), or take the node out of it."
            ).format(name=node.GetName(), transform=transform.GetName())
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return arrayOf(matrix)


def between(source: Any, target: Any) -> np.ndarray:
    """From the coordinates of a node under its transforms to those of another under its own.

    :raises SceneError: They lie under different transforms and one of those is not linear.
    """
    if source.GetParentTransformNode() is target.GetParentTransformNode():
        return np.eye(4)
    return np.linalg.inv(toWorld(target)) @ toWorld(source)


def requireImage(volume: Any) -> None:
    """Raises SceneError unless a node is a scalar volume with voxels."""
    if volume is None or not volume.IsA("vtkMRMLScalarVolumeNode"):
        raise SceneError(_("A volume is needed, not {what}.").format(what=describe(volume)))
    image = volume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise SceneError(_("{name} holds no image.").format(name=volume.GetName()))
    if image.GetNumberOfScalarComponents() != 1:
        raise SceneError(
            _(
                "{name} has {count} values per voxel, expected one; split its channels or convert it to gray first."
            ).format(name=volume.GetName(), count=image.GetNumberOfScalarComponents())
        )


def describe(node: Any) -> str:
    """A node as messages name it, whatever it is."""
    if node is None:
        return _("nothing")
    return f"{node.GetName()} ({node.GetClassName()})" if hasattr(node, "GetClassName") else repr(node)


def shapeOf(volume: Any) -> tuple[int, int, int]:
    """Number of voxels along (k, j, i)."""
    i, j, k = volume.GetImageData().GetDimensions()
    return k, j, i


def voxels(volume: Any) -> np.ndarray:
    """The voxels (k, j, i), as the scene holds them; copy what has to stay."""
    requireImage(volume)
    return slicer.util.arrayFromVolume(volume)


def stampOf(volume: Any) -> Callable[[], Hashable]:
    """What gives something that is another one after a volume's voxels were modified, and said so; reads no voxel."""
    image = volume.GetImageData()
    return lambda: image.GetMTime()  # which the whole application counts: no two images have the same


def volumeOf(node: Any, own: bool = False) -> Volume:
    """A volume as the engine takes it, in LPS; voxels are not copied.

    :param own: Whether parent transforms are left out, as for a volume under one that is not linear.
    :raises SceneError: The node is no volume that can be used.
    """
    array = voxels(node)
    matrix = ijkToRas(node) if own else toWorld(node) @ ijkToRas(node)
    return _volume(array, _TO_LPS @ matrix, node.GetName() or "")


def _volume(array: np.ndarray, ijkToLps: np.ndarray, name: str) -> Volume:
    spacing = np.linalg.norm(ijkToLps[:3, :3], axis=0)
    direction = ijkToLps[:3, :3] / np.where(spacing > 0, spacing, 1)
    return Volume.from_array(array, spacing.tolist(), ijkToLps[:3, 3].tolist(), direction.ravel().tolist(), name=name)
