"""One row of the example list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExampleSlice:
    """A painted slice, as references to nodes: what is painted later counts.

    :param volume: The vtkMRMLScalarVolumeNode that was painted on.
    :param segmentation: The vtkMRMLSegmentationNode that was painted in.
    :param axis: Array axis across the slice, of the volume's own grid (0=k, 1=j, 2=i).
    :param index: Slice number along that axis, from 0.
    :param enabled: Whether runs use it.
    :param identifier: Stable within the scene, also through saving and reopening.
    """

    volume: Any
    segmentation: Any
    axis: int
    index: int
    enabled: bool = True
    identifier: str = ""
