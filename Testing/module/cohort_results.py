"""Results of a cohort without a run, and Slicer's ways of loading files, which need the application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.files.writing import write_volumes
from FewShotSegLib.volume import Volume

NAMES = {1: "liver", 2: "spleen"}
COLORS = {1: (0.5, 0.25, 0.0), 2: (0.0, 0.75, 0.5)}


def use_loaders(slicer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has files loaded by Slicer's storage nodes, as its file dialogs do."""

    def load(kind: str, storage: str, path: str, properties: dict[str, str]) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass(kind, properties["name"])
        reader = slicer.mrmlScene.AddNewNodeByClass(storage)
        reader.SetFileName(path)
        if not reader.ReadData(node):
            raise RuntimeError(path)
        node.SetAndObserveStorageNodeID(reader.GetID())
        return node

    def load_volume(path: str, properties: dict[str, str]) -> Any:
        return load("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", path, properties)

    def load_segmentation(path: str, properties: dict[str, str]) -> Any:
        return load("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", path, properties)

    monkeypatch.setattr(slicer.util, "loadVolume", load_volume, raising=False)
    monkeypatch.setattr(slicer.util, "loadSegmentation", load_segmentation, raising=False)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **_: None, raising=False)


def add_result(output: Path, name: str, scan: Volume, labels: np.ndarray, doubts: tuple[str, ...] = ()) -> Path:
    """Writes a case as the engine does, beside its volume; the volume's path."""
    folder = output / "cases" / name
    folder.mkdir(parents=True, exist_ok=True)
    query = output / f"{name}.nrrd"
    labelmap = scan.with_array(labels, names=NAMES, colors=COLORS)
    write_volumes([(scan, query), (labelmap, folder / "segmentation.seg.nrrd")])
    structures = tuple(Structure(v, NAMES[v], COLORS[v], int((labels == v).sum()), 1.0, 1.0, 0.9) for v in NAMES)
    write_record(output, Record(name, str(query), DONE, doubts=doubts, structures=structures))
    return query


def write_record(output: Path, record: Record) -> Path:
    folder = output / "cases" / record.case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return folder / "record.json"


def failed(name: str, query: str, error: str) -> Record:
    return Record(name, query, FAILED, error=error)
