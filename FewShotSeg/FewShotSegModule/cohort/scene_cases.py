"""Volumes of the scene as the cases of a cohort."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegLib.cohort.cases import safe_name
from FewShotSegLib.library import nrrd
from FewShotSegModule.cohort.cohort_run import Writing
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.confidence import isConfidence
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.required import requireInScene

_FOLDER, _TABLE = "volumes", "queries.csv"
#: Of a volume: the file that it was written to for a cohort; and whether it is in the scene only to review a case.
_FILE, _REVIEWED = "FewShotSeg.caseFile", "FewShotSeg.reviewed"


def casesOf(examples: Sequence[ExampleSlice]) -> list[Any]:
    """The scene's volumes that can be segmented and that no example is of, but for those that are being reviewed."""
    painted = {row.volume for row in examples}
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node not in painted and _isCase(node)]


def writing(folder: str, nodes: Sequence[Any]) -> Writing:
    """Writes volumes one after the other, and a table of them for a run.

    A volume that was written before and is the same is not written again, so that a run goes on where it was.

    :param folder: The results' folder; it is made where it is missing.
    :param nodes: The volumes.
    :return: See `Writing`.
    :raises SceneError: There are none, one is gone, or they can't be written.
    """
    if not nodes:
        raise SceneError(_("No volume of the scene is to be segmented; check one, or load the volumes."))
    into = Path(folder) / _FOLDER
    cases: list[tuple[str, str]] = []
    yield 0, len(nodes)
    try:
        into.mkdir(parents=True, exist_ok=True)
        for node, name in zip(nodes, _namesOf(nodes), strict=True):
            requireInScene(node)
            path = Path(os.path.abspath(into / f"{name}.nrrd"))
            _write(node, path)
            node.SetAttribute(_FILE, str(path))
            cases.append((name, str(path)))
            yield len(cases), len(nodes)
        with (into / _TABLE).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("case", "query"), *cases])
    except OSError as error:
        raise SceneError(_("{folder} can't be written to: {error}").format(folder=folder, error=error)) from error
    return str(into / _TABLE)


def volumeOfFile(path: str) -> Any:
    """The volume of the scene that was written to a file; None if there is none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((node for node in nodes if node.GetAttribute(_FILE) == path and _isImage(node)), None)


def markReviewed(volume: Any) -> None:
    """Tells that a volume was loaded to review a case, and is no case of its own."""
    volume.SetAttribute(_REVIEWED, "1")


def _namesOf(nodes: Sequence[Any]) -> list[str]:
    """A name for each volume that any file system takes, and no other one has."""
    names: list[str] = []
    taken: set[str] = set()
    for node in nodes:
        wanted = name = safe_name(node.GetName() or "")
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _isCase(node: Any) -> bool:
    return _isImage(node) and not isConfidence(node) and not node.GetAttribute(_REVIEWED)


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
