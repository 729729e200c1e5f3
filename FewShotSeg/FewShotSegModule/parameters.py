"""The module's settings, kept in the scene."""

# Annotations stay what they are here, not text: Slicer's wrapper reads them when the class is made.
from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from FewShotSegLib.quality import DEFAULT, QUALITIES


@parameterNodeWrapper
class FewShotSegParameterNode:
    """What the panel remembers; the list of examples lies in the same node, see `scene.example_list`.

    queryVolume: The volume to segment.
    paintVolume: The volume that is painted on; the volume to segment if there is none.
    paintSegmentation: The segmentation that is painted in.
    outputSegmentation: Where an accepted result goes; a new segmentation if there is none.
    preview: The result that waits to be accepted or discarded.
    confidenceVolume: How sure the latest result is.
    roi: Where to segment; everywhere if there is none.
    device: Where to compute.
    refine: Whether boundaries follow the intensities.
    refineStrength: How far they do.
    quality: How thorough a run is.
    autoUpdate: Whether the preview follows what is painted by itself.
    improve: Whether a fast result is followed by a better one in the background.
    leftOutSegments: Names of the examples' segments that are not to be looked for.
    background: Name of the segments that are painted on what is no structure; empty if there are none.
    sliceRange: First and last slice to segment; empty for all.
    libraryPath: Where the library of examples is.
    casesPath: Folder or table of the cohort's volumes.
    casesOfScene: Whether the scene's volumes are the cohort.
    cohortOutput: Folder of the cohort's results.
    """

    queryVolume: vtkMRMLScalarVolumeNode
    paintVolume: vtkMRMLScalarVolumeNode
    paintSegmentation: vtkMRMLSegmentationNode
    outputSegmentation: vtkMRMLSegmentationNode
    preview: vtkMRMLSegmentationNode
    confidenceVolume: vtkMRMLScalarVolumeNode
    roi: vtkMRMLMarkupsROINode
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    refine: bool = True
    refineStrength: Annotated[float, WithinRange(0.0, 1.0)] = 1.0
    quality: Annotated[str, Choice(list(QUALITIES))] = DEFAULT
    autoUpdate: bool = True
    improve: bool = True
    leftOutSegments: list[str]
    background: str
    sliceRange: list[int]
    libraryPath: str
    casesPath: str
    casesOfScene: bool = False
    cohortOutput: str
