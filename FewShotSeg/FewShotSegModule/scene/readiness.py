"""What a run still needs before it can start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from FewShotSegLib.errors import FewShotSegError
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.crop import allowedBox
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_list import MOST_EXAMPLES
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.gather import anythingPainted, rangeAxis


def whatIsMissing(queryVolume: Any, examples: Sequence[ExampleSlice], settings: RunSettings) -> str:
    """What a run still needs, for a tooltip; "" if it can start. Quick: hardly a voxel is looked at."""
    if queryVolume is None:
        return _("Select the volume to segment.")
    try:
        geometry.requireImage(queryVolume)
    except SceneError as error:
        return str(error)
    if min(geometry.shapeOf(queryVolume)) < 2:
        return _("{name} has one slice only; a volume is needed.").format(name=queryVolume.GetName())
    if not examples:
        return _("Paint a slice of the volume; it becomes an example by itself, or by Add current slice.")
    if len(examples) > MOST_EXAMPLES:
        return _("There are {count} examples; use at most {most}.").format(count=len(examples), most=MOST_EXAMPLES)
    if settings.segmentNames is not None and not settings.segmentNames:
        return _("Choose at least one segment.")
    try:
        allowedBox(queryVolume, rangeAxis(queryVolume, examples), settings.sliceRange, settings.roi)
        if not anythingPainted(examples, settings.segmentNames, settings.background):
            return _("Nothing is painted on the examples; paint a structure on at least one of the slices.")
    except FewShotSegError as error:
        return str(error)
    return ""
