"""Starting from a segmentation that is there already: of another program, a colleague, the last visit."""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegModule.runs.run_input import Structure
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.painted import Painted


def resultFrom(volume: Any, segmentation: Any) -> RunResult:
    """A segmentation as a result of the volume, to be corrected; where segments overlap, the later one counts.

    :param volume: The vtkMRMLScalarVolumeNode; the segmentation may have another grid.
    :param segmentation: The vtkMRMLSegmentationNode, which stays as it is.
    :raises SceneError: Nothing of it lies in the volume, or the nodes can't be used.
    """
    painted = Painted(volume, segmentation)
    labels = painted.whole()
    if not labels.any():
        raise SceneError(
            _("Nothing of {segmentation} lies in {volume}; choose a segmentation of this volume.").format(
                segmentation=segmentation.GetName(), volume=volume.GetName()
            )
        )
    structures = [
        Structure(number, info.name, info.color, info.tag) for number, info in enumerate(painted.segments(), start=1)
    ]
    shape = geometry.shapeOf(volume)
    # Nobody said how sure it is, which is no reason for doubt.
    return RunResult(labels, np.ones(shape, np.float32), ((0, 0, 0), shape), shape, structures)


def spreadSlices(volume: Any, segmentation: Any, count: int) -> list[tuple[int, int]]:
    """Slices (axis, index) to take as examples, evenly spread over what is segmented, across the thickest voxels.

    :param count: How many at most.
    :raises SceneError: The nodes can't be used.
    """
    axis = int(np.argmax(volume.GetSpacing()[::-1]))
    labels = np.moveaxis(Painted(volume, segmentation).whole(), axis, 0)
    filled = np.flatnonzero(labels.any(axis=(1, 2))).tolist()
    count = min(count, len(filled))
    return [(axis, filled[int((i + 0.5) / count * len(filled))]) for i in range(count)]
