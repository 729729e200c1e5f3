"""One row of the example list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ExampleSlice:
    """A painted slice, as references to nodes: what is painted later counts.

    :param volume: The vtkMRMLScalarVolumeNode that was painted on.
    :param segmentation: The vtkMRMLSegmentationNode that was painted in.
    :param axis: Array axis across the slice, of the volume's own grid (0=k, 1=j, 2=i).
    :param index: Slice number along that axis, from 0.
    :param enabled: Whether runs use it.
    :param identifier: Stable within the scene, also through saving and reopening.
    :param complete: What is said of structures, by their names, as `FewShotSegLib.Example` takes it by label values:
        "all" or the names of those that are painted completely or not on the slice; or, as the panel says it of
        structures that are not painted here, True for those that are absent and False for those not painted yet. Of
        what nothing is said, the engine finds out.
    :param strokes: Whether only what is painted counts: nothing is known but the painted pixels, and what is said.
    :param whole: Of structures that are painted on the slice, by their names, whether they are painted completely,
        where that is known, as a library tells it.
    """

    volume: Any
    segmentation: Any
    axis: int
    index: int
    enabled: bool = True
    identifier: str = ""
    complete: Literal["all"] | Collection[str] | Mapping[str, bool] | None = field(default=None, hash=False)
    strokes: bool = False
    whole: Mapping[str, bool] = field(default_factory=dict, hash=False)
