"""Along which axis a slice range counts: the same one in the panel and in a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_transform, add_volume, box, ijk_to_ras


def sagittal_to_ras() -> np.ndarray:
    """As of a scan whose slices are sagittal: k runs to the patient's left, j downwards, i to the back."""
    return np.array([[0, 0, -4.0, 40], [-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 0, 1]], float)


def rows_on(slicer: Any, volume: Any, slices: list[tuple[int, int]]) -> list[Any]:
    from FewShotSegModule.scene.example_slice import ExampleSlice

    painted = add_segmentation(slicer, volume, {"liver": box(slice(0, 8), slice(0, 24), slice(0, 20))})
    return [ExampleSlice(volume, painted, axis, index) for axis, index in slices]


def range_axis(query: Any, rows: list[Any]) -> int:
    from FewShotSegModule.scene.gather import rangeAxis

    return rangeAxis(query, rows)


def test_most_examples_on_the_volume_itself_decide(slicer: Any) -> None:
    query, other = add_volume(slicer), add_volume(slicer, "other")
    own = rows_on(slicer, query, [(2, 3), (1, 4), (1, 5)])
    assert range_axis(query, own + rows_on(slicer, other, [(0, n) for n in range(5)])) == 1
    assert range_axis(query, []) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_examples_of_another_patient_count_as_they_lie_in_the_patient(slicer: Any, axis: int) -> None:
    query = add_volume(slicer)
    same = add_volume(slicer, "same orientation")
    assert range_axis(query, rows_on(slicer, same, [(axis, 3)])) == axis
    sagittal = add_volume(slicer, "sagittal", to_ras=sagittal_to_ras())
    # k of the sagittal scan runs as i of the axial one, j as k, i as j.
    assert range_axis(query, rows_on(slicer, sagittal, [(axis, 3)])) == (2, 0, 1)[axis]


def test_transforms_count(slicer: Any) -> None:
    query, other = add_volume(slicer), add_volume(slicer, "turned")
    quarter = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    other.SetAndObserveTransformNodeID(add_transform(slicer, quarter).GetID())
    assert range_axis(query, rows_on(slicer, other, [(0, 3)])) == 1


def test_a_run_takes_the_range_along_the_same_axis(slicer: Any) -> None:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.gather import gather

    query, other = add_volume(slicer), add_volume(slicer, "coronal")
    rows = rows_on(slicer, other, [(1, 4), (1, 12)])
    # No range along k, which has 8 slices.
    taken = gather(query, rows, RunSettings(sliceRange=(10, 20)), {})
    assert taken.allowed == ((0, 10, 0), (SHAPE[0], 21, SHAPE[2]))


def test_the_panel_counts_along_the_axis_of_the_run(panel: Any) -> None:
    from standin.qt_panel import paint

    other = panel.addVolume("other patient")
    panel.ui.paintVolumeSelector.setCurrentNode(other)
    coronal = np.zeros(panel.scan.shape, bool)
    coronal[2:9, 30, 10:40] = True
    paint(panel.slicer, panel.parameters.paintSegmentation, other, "large", coronal)
    panel.ui.addAllButton.click()
    panel.ui.sliceRangeCheckBox.click()
    assert panel.ui.sliceRangeWidget.maximum == panel.scan.shape[1] - 1
    panel.ui.sliceRangeWidget.setValues(20, 50)
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip


def test_the_axis_is_that_of_the_engine(slicer: Any) -> None:
    from FewShotSegModule.scene import geometry

    from FewShotSegLib.preprocessing.views import SliceView, matching_axis

    rng = np.random.default_rng(0)
    for _trial in range(5):
        turn, _triangle = np.linalg.qr(rng.normal(size=(3, 3)))
        oblique = ijk_to_ras()
        oblique[:3, :3] = turn @ oblique[:3, :3]
        query, other = add_volume(slicer), add_volume(slicer, "oblique", to_ras=oblique)
        for axis in range(3):
            view = SliceView(geometry.volumeOf(other), axis)
            expected = matching_axis(geometry.volumeOf(query), view)
            assert range_axis(query, rows_on(slicer, other, [(axis, 3)])) == expected
