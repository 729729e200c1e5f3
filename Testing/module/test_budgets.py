"""What may be done while somebody paints in a large volume: counts of reads, and times of this process alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from nodes import add_segmentation, add_volume

SHAPE = (200, 512, 512)
PAINTED = (20, 90, 160)
#: Functions through which voxels are read or written.
READERS = {
    "vtk_to_numpy",
    "numpy_to_vtk",
    "arrayFromVolume",
    "arrayFromSegmentBinaryLabelmap",
    "plane",
    "whole",
    "_read",
}


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Counts calls of Python functions by their names."""
    calls: dict[str, int] = {}

    def note(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_name] = calls.get(frame.f_code.co_name, 0) + 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def taken(action: Callable[[], Any]) -> float:
    """Seconds of this process that something takes, the best of three times."""
    times = []
    for _try in range(3):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return min(times)


def masks() -> dict[str, np.ndarray]:
    made = {name: np.zeros(SHAPE, bool) for name in ("liver", "spleen", "left kidney")}
    for number, mask in enumerate(made.values()):
        for k in PAINTED:
            mask[k, 100 + 100 * number : 180 + 100 * number, 150:300] = True
    return made


def result_of() -> Any:
    from FewShotSegModule.runs.run_input import Structure
    from FewShotSegModule.runs.run_result import RunResult

    labels = np.zeros(SHAPE, np.uint8)
    labels[20:160, 100:180, 150:300] = 1
    structures = [Structure(value, name, (1.0, 0.2 * value, 0.0)) for value, name in enumerate(masks(), start=1)]
    return RunResult(labels, np.ones(SHAPE, np.float32), ((0, 0, 0), SHAPE), SHAPE, structures)


@pytest.fixture
def large_panel(empty_panel: Any) -> Any:
    """The panel with a large volume, three painted slices as examples, and a preview."""
    panel, slicer = empty_panel, empty_panel.slicer
    panel.volume = add_volume(slicer, "large", np.zeros(SHAPE, np.int16))
    segmentation = add_segmentation(slicer, panel.volume, masks())
    segmentation.CreateDefaultDisplayNodes()
    panel.ui.queryVolumeSelector.setCurrentNode(panel.volume)
    panel.ui.paintSegmentationSelector.setCurrentNode(segmentation)
    panel.ui.addAllButton.click()
    panel.widget.live.show(panel.volume, result_of())
    panel.settle()
    assert panel.ui.exampleTable.rowCount == len(PAINTED)
    return panel


def labelmap_of(panel: Any) -> Any:
    segmentation = panel.parameters.paintSegmentation
    return segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")


def voxels_of(image: Any) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    array: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return array


def test_no_voxel_is_read_while_somebody_paints_and_it_takes_less_than_ten_milliseconds(large_panel: Any) -> None:
    image = labelmap_of(large_panel)
    voxels = voxels_of(image)

    def stroke() -> None:
        voxels[60, 200:220, 200:220] += 1
        image.GetPointData().GetScalars().Modified()
        image.Modified()

    with counted() as calls:
        stroke()
    assert not READERS & calls.keys()
    assert calls["_onStroke"] >= 1, "it was noticed"
    assert taken(stroke) < 0.01


def test_when_the_brush_pauses_only_the_new_row_is_drawn(large_panel: Any) -> None:
    panel, image = large_panel, labelmap_of(large_panel)
    voxels_of(image)[60, 200:220, 200:220] = 1
    image.Modified()
    with counted() as calls:
        panel.widget.live.notice()
    assert panel.ui.exampleTable.rowCount == len(PAINTED) + 1
    assert calls["draw_slice"] == 1


def test_when_the_brush_pauses_a_stroke_is_found_in_a_moment(slicer: Any) -> None:
    from FewShotSegModule.scene.painted_changes import PaintedChanges

    volume = add_volume(slicer, "large", np.zeros(SHAPE, np.int16))
    segmentation = add_segmentation(slicer, volume, masks())
    changes = PaintedChanges(volume, segmentation)
    image = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    voxels = voxels_of(image)

    def stroke_and_pause() -> None:
        voxels[60, 200:220, 200:220] = 1 - voxels[60, 200:220, 200:220]
        image.Modified()
        painted, emptied = changes.take()
        assert painted + emptied == [(0, 60)]

    assert taken(stroke_and_pause) < 0.25
    with counted() as calls:
        assert changes.take() == ([], [])
    assert not READERS & calls.keys(), "what was not modified is not read"


def test_a_result_is_written_into_the_labelmap_that_is_there_and_a_first_answer_into_its_slices(slicer: Any) -> None:
    from FewShotSegModule.scene.live_preview import LivePreview

    volume, preview, result = add_volume(slicer, "large", np.zeros(SHAPE, np.int16)), LivePreview(), result_of()
    preview.show(volume, result)
    content = preview.node.GetSegmentation()
    images = {content.GetNthSegment(n).GetRepresentation("Binary labelmap").GetAddressAsString("") for n in range(3)}
    assert len(images) == 1
    with counted() as calls:
        preview.show(volume, result)
    assert "numpy_to_vtk" not in calls
    assert {
        content.GetNthSegment(n).GetRepresentation("Binary labelmap").GetAddressAsString("") for n in range(3)
    } == images
    near = np.full((4, *SHAPE[1:]), 2, np.uint8)
    assert taken(lambda: preview.patch(0, [40, 41, 42, 43], near)) < 0.05
    assert taken(lambda: preview.show(volume, result)) < 0.25


def test_the_next_round_of_the_same_volume_reads_only_the_slices_of_its_examples(slicer: Any, tmp_path: Any) -> None:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.runs.worker_memory import WorkerMemory
    from FewShotSegModule.scene.example_slice import ExampleSlice
    from FewShotSegModule.scene.gather import gather

    from FewShotSegLib.worker.array_folder import ArrayFolder

    volume = add_volume(slicer, "large", np.zeros(SHAPE, np.int16) + np.arange(512, dtype=np.int16))
    segmentation = add_segmentation(slicer, volume, masks())
    rows = [ExampleSlice(volume, segmentation, 0, k) for k in PAINTED]
    memory, folder, values = WorkerMemory(), ArrayFolder(tmp_path), dict[str, int]()

    def round_(number: int) -> int:
        runInput = gather(volume, rows, RunSettings(), values)
        return len(list(memory.prepare(number, runInput, folder)))

    steps = round_(1)
    assert steps > 12, "at first the volume is written, step by step"
    assert round_(2) == 0
    assert taken(lambda: round_(3)) < 0.25
