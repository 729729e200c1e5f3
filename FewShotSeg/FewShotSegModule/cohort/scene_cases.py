"""Volumes of the scene as the cases of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegLib.cohort.cases import safe_name
from FewShotSegLib.library import nrrd
from FewShotSegModule.cohort.cohort_run import casesCsv
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.confidence import isConfidence
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice

_FOLDER = "volumes"


def casesOf(examples: Sequence[ExampleSlice]) -> list[Any]:
    """The scene's volumes that can be segmented and that no example is of."""
    painted = {row.volume for row in examples}
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node not in painted and _isImage(node) and not isConfidence(node)]


def writeCases(folder: str, examples: Sequence[ExampleSlice]) -> Path:
    """Writes those volumes, and a table of them for a run.

    A volume that was written before and is the same is not written again, so that a run goes on where it was.

    :param folder: The results' folder; it is made where it is missing.
    :raises SceneError: There are none, or they can't be written.
    """
    nodes = casesOf(examples)
    if not nodes:
        raise SceneError(_("The scene has no volumes beside those with examples; load the volumes to segment."))
    into = Path(folder) / _FOLDER
    try:
        into.mkdir(parents=True, exist_ok=True)
        cases = []
        for node in nodes:
            name = node.GetName()
            path = into / f"{safe_name(name)}.nrrd"
            _write(node, path)
            cases.append((name, str(path)))
        return casesCsv(into, cases)
    except OSError as error:
        raise SceneError(_("{folder} can't be written to: {error}").format(folder=folder, error=error)) from error


def _isImage(node: Any) -> bool:
    try:
        geometry.requireImage(node)
    except SceneError:
        return False
    return node.GetClassName() == "vtkMRMLScalarVolumeNode" and min(geometry.shapeOf(node)) > 1


def _write(node: Any, path: Path) -> None:
    """Writes a volume; a file that holds the same stays as it is."""
    content = nrrd.encode(geometry.volumeOf(node), compressed=False)  # packing would take seconds
    if not path.is_file() or path.read_bytes() != content:
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
