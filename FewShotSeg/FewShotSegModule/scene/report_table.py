"""The measures of a result as a table of the scene."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegLib.report.measures import SegmentMeasures, measure
from FewShotSegLib.volume import Volume
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.preview import queryOf


def measuresOf(preview: Any, confidence: Any, rows: Iterable[ExampleSlice]) -> list[SegmentMeasures]:
    """Size, surface and sureness of each segment of a preview, the most doubtful first.

    :param preview: The preview.
    :param confidence: The volume with its confidence; None where nobody said how sure it is.
    :param rows: The examples; those on its volume are counted.
    :raises SceneError: The volume is gone.
    """
    query, labelmap = queryOf(preview), labelmapOf(preview)
    names = labelmap.names
    sure = np.ones(labelmap.shape, np.float32) if confidence is None else geometry.voxels(confidence)
    counts = dict.fromkeys(names, 0)
    for row in rows:
        if row.volume is query:
            on = Painted(query, row.segmentation)
            infos = on.segments()
            shown = {infos[n - 1].name for n in np.unique(on.plane(row.axis, row.index)).tolist() if n}
            for number, name in names.items():
                counts[number] += name in shown
    return measure(labelmap, labelmap.with_array(np.asarray(sure, np.float32)), counts, names)


def labelmapOf(preview: Any) -> Volume:
    """The segments of a preview as labels 1, 2, ... on the grid of its volume, with names and colours.

    :raises SceneError: The volume is gone.
    """
    query = queryOf(preview)
    if query is None:
        raise SceneError(_("The volume of {preview} is gone.").format(preview=preview.GetName()))
    painted = Painted(query, preview)
    segments = dict(enumerate(painted.segments(), start=1))
    names = {number: info.name for number, info in segments.items()}
    colors = {number: info.color for number, info in segments.items()}
    return geometry.volumeOf(query).with_array(painted.whole(), names=names, colors=colors)


def fillTable(measures: list[SegmentMeasures], query: Any, table: Any = None) -> Any:
    """A table of measures, a row for each segment.

    :param measures: In the order of the rows.
    :param query: The volume, for the name.
    :param table: The vtkMRMLTableNode to fill; a new one if None.
    """
    if table is None:
        name = freeName(slicer.mrmlScene, _("{name} report").format(name=query.GetName()))
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    content = vtk.vtkTable()
    columns = (
        (_("Structure"), vtk.vtkStringArray, [m.name for m in measures]),
        (_("Volume (ml)"), vtk.vtkDoubleArray, [round(m.volume_ml, 3) for m in measures]),
        (_("Surface (cm2)"), vtk.vtkDoubleArray, [round(m.surface_cm2, 3) for m in measures]),
        (_("Painted slices"), vtk.vtkIntArray, [m.painted for m in measures]),
        (_("Confidence"), vtk.vtkDoubleArray, [round(m.confidence, 3) for m in measures]),
        (_("Doubtful"), vtk.vtkStringArray, [_("yes") if m.is_doubtful else "" for m in measures]),
    )
    for name, kind, values in columns:
        column = kind()
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        content.AddColumn(column)
    table.SetAndObserveTable(content)
    return table


def showTable(table: Any) -> None:
    """Shows a table below the views, where the application has any."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveTableID(table.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()
