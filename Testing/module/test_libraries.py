"""Examples of the scene as a library, and a library's examples in another scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_volume, mask_of, names_of, set_segment

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.library import Library


@pytest.fixture
def scene(slicer: Any) -> Any:
    """A volume with a liver on two slices, and a vessel on one of them and on one across."""
    liver, vessel = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[3, 4:12, 3:9] = liver[5, 4:12, 3:9] = True
    vessel[3, 15:18, 12:15] = True
    vessel[1:5, 16, 12:15] = True
    volume = add_volume(slicer, "Mrs Smith")
    segmentation = add_segmentation(slicer, volume, {"liver": liver, "vessel": vessel})
    content = segmentation.GetSegmentation()
    content.GetSegment(content.GetSegmentIdBySegmentName("liver")).SetColor(0.25, 0.5, 0.75)
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    content.GetSegment(content.GetSegmentIdBySegmentName("liver")).SetTag(tag, "a~b~c")
    return volume, segmentation


def list_of(slicer: Any) -> Any:
    from FewShotSegModule.scene.example_list import ExampleList

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return ExampleList(node)


def keep(scene: Any, path: Path, slicer: Any) -> Any:
    """Keeps three slices of the scene, of which different things are known; the rows."""
    from FewShotSegModule.cohort.libraries import keepInLibrary

    examples = list_of(slicer)
    first = examples.add(*scene, 0, 3)
    second = examples.add(*scene, 0, 5)
    examples.say(second.identifier, "vessel", True)
    third = examples.add(*scene, 1, 16)
    examples.setStrokes(third.identifier, True)
    assert first.complete is None
    assert keepInLibrary(examples.rows(), str(path)) == 1
    return examples.rows()


@pytest.mark.parametrize("name", ["examples.zip", "examples"])
def test_what_is_kept_comes_back_into_another_scene(slicer: Any, scene: Any, tmp_path: Path, name: str) -> None:
    from FewShotSegModule.cohort.libraries import takeFromLibrary
    from FewShotSegModule.scene.painted import Painted

    rows = keep(scene, tmp_path / name, slicer)
    planes = [Painted(*scene).plane(row.axis, row.index) for row in rows]
    array = slicer.util.arrayFromVolume(scene[0]).copy()
    taken, background = takeFromLibrary(str(tmp_path / name), list_of(slicer), slicer.mrmlScene)
    assert background == ""
    volume, segmentation = taken[0].volume, taken[0].segmentation
    assert volume is not scene[0]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), array)
    assert volume.GetImageData().GetScalarTypeAsString() == scene[0].GetImageData().GetScalarTypeAsString()
    for point in ((0, 0, 0), (19, 23, 7)):
        assert ras_of(volume, point) == pytest.approx(ras_of(scene[0], point), abs=1e-6)
    assert [(row.axis, row.index) for row in taken] == [(row.axis, row.index) for row in rows]
    shown = Painted(volume, segmentation)
    for row, plane in zip(taken, planes, strict=True):
        np.testing.assert_array_equal(shown.plane(row.axis, row.index) > 0, plane > 0)
    assert sorted(names_of(segmentation)) == ["liver", "vessel"]
    info = {one.name: one for one in shown.segments()}
    assert info["liver"].color == pytest.approx((0.25, 0.5, 0.75), abs=0.01)
    assert info["liver"].tag == "a~b~c"
    known = {(row.axis, row.index): (row.complete, row.strokes) for row in rows_again(slicer, taken)}
    assert known == {(0, 3): (None, False), (0, 5): ({"vessel": True}, False), (1, 16): (None, True)}


def rows_again(slicer: Any, taken: Any) -> Any:
    """The rows as the list has them now."""
    from FewShotSegModule.scene.example_list import ExampleList

    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    return next(rows for node in nodes if (rows := ExampleList(node).rows()) and rows[0].volume is taken[0].volume)


def ras_of(volume: Any, ijk: tuple[int, int, int]) -> list[float]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return list(matrix.MultiplyPoint((*ijk, 1.0))[:3])


def test_no_name_of_volume_or_patient_is_kept(slicer: Any, scene: Any, tmp_path: Path) -> None:
    keep(scene, tmp_path / "lib", slicer)
    kept = [path for path in (tmp_path / "lib").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [path for path in kept if b"Smith" in path.read_bytes() or "Smith" in path.name]


def test_further_slices_of_a_scan_join_it_and_those_of_another_are_a_scan_more(
    slicer: Any, scene: Any, tmp_path: Path
) -> None:
    from FewShotSegModule.cohort.libraries import keepInLibrary

    keep(scene, tmp_path / "lib", slicer)
    other = add_volume(slicer, "b", np.random.default_rng(5).normal(0, 30, SHAPE).astype(np.int16))
    examples = list_of(slicer)
    examples.add(scene[0], scene[1], 0, 2)
    assert keepInLibrary(examples.rows(), str(tmp_path / "lib")) == 1
    mask = np.zeros(SHAPE, bool)
    mask[4, 3:9, 3:9] = True
    painted = add_segmentation(slicer, other, {"liver": mask})
    more = list_of(slicer)
    more.add(other, painted, 0, 4)
    assert keepInLibrary(more.rows(), str(tmp_path / "lib")) == 2
    assert len(Library.open(tmp_path / "lib").examples()) == 5


def test_a_library_that_can_not_be_opened_leaves_scene_and_list_as_they_were(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import takeFromLibrary

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.json").write_text("{", encoding="utf-8")
    examples, before = list_of(slicer), slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(FewShotSegError):
        takeFromLibrary(str(tmp_path / "lib"), examples, slicer.mrmlScene)
    assert examples.rows() == []
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_without_examples_nothing_is_written(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import keepInLibrary

    with pytest.raises(FewShotSegError, match="no examples"):
        keepInLibrary([], str(tmp_path / "lib.zip"))
    assert not list(tmp_path.iterdir())


def test_painted_segments_come_back_where_they_were(slicer: Any, scene: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import takeFromLibrary

    keep(scene, tmp_path / "lib.zip", slicer)
    taken, _background = takeFromLibrary(str(tmp_path / "lib.zip"), list_of(slicer), slicer.mrmlScene)
    found = mask_of(slicer, taken[0].segmentation, "vessel", taken[0].volume)
    there = mask_of(slicer, scene[1], "vessel", scene[0])
    np.testing.assert_array_equal(found[3], there[3])
    np.testing.assert_array_equal(found[:, 16], there[:, 16])


def test_what_is_known_of_painted_structures_comes_back_and_reaches_the_engine(
    slicer: Any, scene: Any, tmp_path: Path
) -> None:
    from FewShotSegModule.cohort.libraries import keepInLibrary, takeFromLibrary
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.example_slice import ExampleSlice
    from FewShotSegModule.scene.gather import gather

    volume, segmentation = scene
    given = [
        ExampleSlice(volume, segmentation, 0, 3, complete="all"),
        ExampleSlice(volume, segmentation, 0, 5, complete=["liver"]),
        ExampleSlice(volume, segmentation, 1, 16, complete={"liver": False}),
    ]
    keepInLibrary(given, str(tmp_path / "lib"))
    expected = [{"liver": True, "vessel": True}, {"liver"}, {"liver": False}]
    for _round in range(2):  # what is taken from a library and kept again says the same
        examples = list_of(slicer)
        takeFromLibrary(str(tmp_path / "lib"), examples, slicer.mrmlScene)
        rows, values = examples.rows(), dict[str, int]()
        told: list[Any] = [example.complete for example in gather(scene[0], rows, RunSettings(), values).examples]
        names = {value: name for name, value in values.items()}
        said = [
            {names[v]: whole for v, whole in one.items()} if isinstance(one, dict) else {names[v] for v in one}
            for one in told
        ]
        assert said == expected
        keepInLibrary(rows, str(tmp_path / "lib"))


def test_a_structure_painted_since_is_kept_in_place_of_what_was_there(slicer: Any, scene: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import keepInLibrary

    rows = keep(scene, tmp_path / "lib", slicer)
    more = np.zeros(SHAPE, bool)
    more[3, 4:14, 3:9] = more[5, 4:12, 3:9] = True
    set_segment(slicer, scene[1], "liver", more, scene[0])
    assert keepInLibrary(rows, str(tmp_path / "lib")) == 1
    masks = {(e.axis, e.index): e.mask for e in Library.open(tmp_path / "lib").examples()}
    assert len(masks) == 3
    assert np.count_nonzero(masks[0, 3]) == np.count_nonzero(more[3]) + 9


def test_background_of_a_library_is_background_in_the_panels_scene(slicer: Any, scene: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import keepInLibrary
    from FewShotSegModule.logic import FewShotSegLogic

    examples = list_of(slicer)
    rows = [examples.add(*scene, 0, 3)]
    keepInLibrary(rows, str(tmp_path / "lib"), "vessel")
    logic = FewShotSegLogic()
    try:
        [row] = logic.takeFromLibrary(str(tmp_path / "lib"))
        assert logic.getParameterNode().background == "vessel"
        assert logic.whatIsMissing(row.volume, [row], _settings("vessel")) == ""
    finally:
        logic.removeObservers()
        logic.shutdown()


def _settings(background: str) -> Any:
    from FewShotSegModule.runs.run_input import RunSettings

    return RunSettings(background=background)


def test_a_large_library_lies_in_a_folder_and_rows_beyond_what_a_run_takes_are_off(slicer: Any, tmp_path: Path) -> None:
    from FewShotSegModule.cohort.libraries import takeFromLibrary
    from FewShotSegModule.scene.example_list import MOST_EXAMPLES

    from FewShotSegLib import Example, Volume

    library = Library()
    for seed in range(2):
        image = Volume.from_array(np.random.default_rng(seed).normal(0, 30, (30, 6, 5)).astype(np.int16))
        mask = np.eye(6, 5, dtype=np.int32)
        library.add([Example(image, 0, k, mask, {1: "liver"}) for k in range(30)])
    library.save(tmp_path / "livers.zip")
    examples = list_of(slicer)
    taken, _background = takeFromLibrary(str(tmp_path / "livers.zip"), examples, slicer.mrmlScene)
    assert len(taken) == 60
    assert sum(row.enabled for row in examples.rows()) == MOST_EXAMPLES
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = tree.GetItemByName("livers")
    assert tree.GetNumberOfItemChildren(folder) == 4
    assert {tree.GetItemParent(tree.GetItemByDataNode(row.volume)) for row in taken} == {folder}


def test_scripts_keep_painted_slices_as_they_give_them_to_a_run(slicer: Any, scene: Any, tmp_path: Path) -> None:
    from FewShotSegModule.logic import FewShotSegLogic

    logic = FewShotSegLogic()
    try:
        assert logic.keepInLibrary([(*scene, 0, [3, 5]), (*scene, 1, [16])], str(tmp_path / "lib")) == 1
        with pytest.raises(FewShotSegError, match="no slice 99"):
            logic.keepInLibrary([(*scene, 0, [99])], str(tmp_path / "lib"))
    finally:
        logic.removeObservers()
        logic.shutdown()
    assert [(e.axis, e.index) for e in Library.open(tmp_path / "lib").examples()] == [(0, 3), (0, 5), (1, 16)]
