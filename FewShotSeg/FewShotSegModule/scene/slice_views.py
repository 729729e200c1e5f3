"""Which slice of a volume a slice view shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import ObliqueViewError, SceneError

#: How far a view may lean, in voxels across the whole volume, and still show one slice of it.
_LEAN = 0.75


def sliceOfView(sliceNode: Any, volume: Any) -> tuple[int, int]:
    """The slice of a volume's own grid that a view shows, as (axis, index); axis 0 is k, 1 is j, 2 is i.

    :param sliceNode: The vtkMRMLSliceNode of the view.
    :raises ObliqueViewError: The view cuts across the volume's slices.
    :raises SceneError: The view shows a place outside of the volume.
    """
    view, normal, axis = _inVoxels(sliceNode, volume)
    shape = np.array(geometry.shapeOf(volume)[::-1])
    # The plane's place on the axis in the middle of the volume.
    middle = (shape - 1) / 2
    middle[axis] = 0
    place = float(normal @ (view[:3, 3] - middle) / normal[axis])
    index = int(np.floor(place + 0.5))
    if not 0 <= index < shape[axis]:
        raise SceneError(
            _("The {view} view shows a place outside of {volume}. Move it to the slice you painted.").format(
                view=sliceNode.GetName(), volume=volume.GetName()
            )
        )
    return 2 - axis, index


def axisOfView(sliceNode: Any, volume: Any) -> int:
    """The array axis (0=k, 1=j, 2=i) of a volume across whose slices a view lies, wherever it is.

    :param sliceNode: The vtkMRMLSliceNode of the view.
    :raises ObliqueViewError: The view cuts across the volume's slices.
    """
    return 2 - _inVoxels(sliceNode, volume)[2]


def viewsAlong(volume: Any, axis: int) -> list[Any]:
    """The vtkMRMLSliceNodes that show slices across an axis of a volume, those in the layout first.

    :param volume: The volume.
    :param axis: Array axis (0=k, 1=j, 2=i).
    """
    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        try:
            along = axisOfView(node, volume)
        except SceneError:
            continue
        if along == axis:
            found.append(node)
    return sorted(found, key=lambda node: not node.IsMappedInLayout())


def _inVoxels(sliceNode: Any, volume: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """A view's plane in the voxel coordinates (i, j, k) of a volume: its matrix, its normal, and the normal's axis.

    :raises ObliqueViewError: The view cuts across the volume's slices.
    """
    geometry.requireImage(volume)
    toVoxels = np.linalg.inv(geometry.toWorld(volume) @ geometry.ijkToRas(volume))
    view = toVoxels @ geometry.arrayOf(sliceNode.GetSliceToRAS())
    shape = np.array(geometry.shapeOf(volume)[::-1])
    # In voxel coordinates a view of one slice has a normal along one axis, however the other two lie.
    normal = np.cross(view[:3, 0], view[:3, 1])
    axis = int(np.abs(normal).argmax())
    # How many slices the view passes through from one side of the volume to the other.
    lean = sum(abs(normal[n] / normal[axis]) * (shape[n] - 1) for n in range(3) if n != axis)
    if lean > _LEAN:
        raise ObliqueViewError(
            _(
                "The {view} view is not aligned with the slices of {volume}, so it shows no single slice of it. Rotate"
                " the view to the volume plane: the button with that name in the view's own menu (the pin in its"
                " corner), or the module Reformat."
            ).format(view=sliceNode.GetName(), volume=volume.GetName())
        )
    return view, normal, axis
