"""A made-up scan with two structures, painted on three slices, and a result."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from FewShotSegModule.runs.run_input import Structure
from FewShotSegModule.runs.run_result import RunResult

SHAPE = (12, 64, 64)
SPACING = (1.5, 1.5, 5.0)
#: Slices (k) that are painted; the structures reach from slice 1 to slice 10.
PAINTED = (2, 5, 9)


def madeUpScan() -> tuple[Any, Any, dict[str, np.ndarray]]:
    """A volume, a segmentation with three painted slices, and the structures by name as they really are."""
    k, j, i = np.indices(SHAPE)
    truth = {
        "large": ((k - 5.5) / 5) ** 2 + ((j - 26) / 16) ** 2 + ((i - 22) / 12) ** 2 < 1,
        "small": ((k - 5.5) / 5) ** 2 + ((j - 40) / 9) ** 2 + ((i - 46) / 8) ** 2 < 1,
    }
    body = ((j - 31.5) / 29) ** 2 + ((i - 31.5) / 30) ** 2 < 1
    image = np.where(body, 40.0, -900.0) + 60 * truth["large"] + 140 * truth["small"]
    image += np.random.default_rng(0).normal(0, 12, SHAPE)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "made-up scan")
    toPatient = vtk.vtkMatrix4x4()
    for axis, (millimetres, sign) in enumerate(zip(SPACING, (-1, -1, 1), strict=True)):
        toPatient.SetElement(axis, axis, sign * millimetres)
    volume.SetIJKToRASMatrix(toPatient)
    slicer.util.updateVolumeFromArray(volume, image.astype(np.int16))
    volume.CreateDefaultDisplayNodes()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "painted")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, mask in truth.items():
        painted = np.zeros(SHAPE, np.uint8)
        painted[list(PAINTED)] = mask[list(PAINTED)]
        identifier = segmentation.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, identifier, volume)
    return volume, segmentation, truth


def madeUpResult(truth: dict[str, np.ndarray]) -> RunResult:
    """What a run would give that finds all structures, in doubt about their insides."""
    labels, confidence = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.float32)
    structures = []
    for value, (name, mask) in enumerate(truth.items(), start=1):
        labels[mask], confidence[mask] = value, 0.5
        structures.append(Structure(value, name, (0.9, 0.2 * value, 0.1)))
    return RunResult(labels, confidence, ((0, 0, 0), SHAPE), SHAPE, structures)
