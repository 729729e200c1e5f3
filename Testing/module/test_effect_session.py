"""The Segment Editor effect without its controls: which slices are examples, and how a session begins and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loop_fixtures import Clock, Logic, labels_of
from nodes import add_segmentation, add_volume, box, mask_of, set_segment

LIVER = box(2, slice(4, 9), slice(4, 9))
SPLEEN = box(5, slice(12, 18), slice(10, 15))
FOUND = labels_of(
    liver=box(slice(1, 6), slice(4, 9), slice(4, 9)), spleen=box(slice(4, 7), slice(12, 18), slice(10, 15))
)


class Editor:
    """A Segment Editor's node, an effect's session with it, and the runs that a test ends."""

    def __init__(self, slicer: Any) -> None:
        from FewShotSegModule.logic import FewShotSegLogic

        class EffectLogic(FewShotSegLogic):
            """The real one, but for the worker."""

            def __init__(self) -> None:
                super().__init__()
                self.runs = Logic()

            @property
            def isBusy(self) -> bool:
                return self.runs.isBusy

            def startRun(self, *arguments: Any, **options: Any) -> Any:
                return self.runs.startRun(*arguments, **options)

            def volumeOf(self, run: Any) -> Any:
                return self.runs.volumeOf(run)

        self.slicer, self.logic, self.clock = slicer, EffectLogic(), Clock()
        self.volume = add_volume(slicer)
        self.segmentation = add_segmentation(slicer, self.volume, {"liver": LIVER, "spleen": SPLEEN})
        self.segmentation.CreateDefaultDisplayNodes()
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.node.SetAndObserveSegmentationNode(self.segmentation)
        self.node.SetAndObserveSourceVolumeNode(self.volume)
        self.history = slicer.vtkSlicerSegmentEditorLogic()
        self.history.SetMRMLScene(slicer.mrmlScene)
        self.history.SetSegmentEditorNode(self.node)
        self.saved = 0
        self.messages: list[str] = []
        self.changes = 0
        self.session: Any = None

    def begin(self) -> Any:
        from FewShotSegModule.effect.effect_session import EffectSession

        def changed() -> None:
            self.changes += 1

        self.session = EffectSession(
            self.logic, self.node, onChanged=changed, onFailed=self.messages.append, timer=self.clock
        )
        return self.session

    @property
    def run(self) -> Any:
        return self.logic.runs.runs[-1]

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(row.axis, row.index) for row in self.run.rows]

    def first_result(self) -> Any:
        self.begin().update()
        self.run.finish(FOUND.copy())
        return self.session.live.preview

    def save(self) -> None:
        self.saved += 1
        self.history.SaveStateForUndo()

    def segment(self, name: str) -> np.ndarray:
        return mask_of(self.slicer, self.segmentation, name, self.volume)

    def hide(self, name: str) -> None:
        identifier = self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        self.segmentation.GetDisplayNode().SetSegmentVisibility(identifier, False)

    def close(self) -> None:
        if self.session is not None:
            self.session.end()
        self.logic.removeObservers()


@pytest.fixture
def editor(slicer: Any) -> Any:
    made = Editor(slicer)
    yield made
    made.close()


def previews(slicer: Any) -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if "preview" in node.GetName()]


def observed_of(editor: Editor) -> list[bool]:
    """Which events of the editor's nodes somebody observes."""
    painted, shown = (
        editor.slicer.vtkSegmentation.SegmentModified,
        editor.slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent,
    )
    nodes = ((editor.segmentation, painted), (editor.segmentation, shown), (editor.node, "ModifiedEvent"))
    return [bool(node.HasObserver(event)) for node, event in nodes]


def test_what_is_painted_in_visible_segments_is_the_examples(editor: Editor) -> None:
    editor.begin().update()
    assert editor.places == [(0, 2), (0, 5)]
    assert editor.run.settings.segmentNames == ["liver", "spleen"]


def test_hidden_segments_are_no_examples_and_hiding_one_updates(editor: Editor) -> None:
    editor.first_result()
    editor.hide("spleen")
    editor.clock.pass_by()
    assert editor.places == [(0, 2)]
    assert editor.run.settings.segmentNames == ["liver"]


def test_settings_are_those_of_the_module_without_its_region(editor: Editor) -> None:
    parameters = editor.logic.getParameterNode()
    parameters.device, parameters.refine, parameters.sliceRange = "cpu", False, [1, 3]
    editor.begin().update()
    assert (editor.run.settings.device, editor.run.settings.refine) == ("cpu", False)
    assert editor.run.settings.sliceRange is None
    assert editor.run.settings.roi is None


def test_a_stroke_in_another_plane_is_in_the_next_update(editor: Editor) -> None:
    editor.first_result()
    stroke = editor.segment("liver") | box(slice(None), 10, slice(1, 4))
    set_segment(editor.slicer, editor.segmentation, "liver", stroke, editor.volume)
    editor.clock.pass_by()
    assert editor.places == [(0, 2), (0, 5), (1, 10)]


def test_nothing_painted_is_told_and_leaves_nothing_behind(editor: Editor) -> None:
    from FewShotSegModule.scene.errors import SceneError

    editor.hide("liver")
    editor.hide("spleen")
    with pytest.raises(SceneError, match="Nothing is painted in the visible segments of painted"):
        editor.begin().update()
    assert editor.logic.runs.runs == []


def test_apply_writes_into_the_segments_in_one_step_of_undo(editor: Editor) -> None:
    preview = editor.first_result()
    before = editor.segment("liver"), editor.segment("spleen")
    editor.session.apply(editor.save)
    assert editor.saved == 1
    assert not editor.slicer.mrmlScene.IsNodePresent(preview)
    assert np.array_equal(editor.segment("liver"), FOUND == 1)
    assert np.array_equal(editor.segment("spleen"), FOUND == 2)
    editor.history.Undo()
    assert np.array_equal(editor.segment("liver"), before[0])
    assert np.array_equal(editor.segment("spleen"), before[1])


def test_apply_keeps_to_masking_and_to_the_editable_intensities(editor: Editor) -> None:
    editor.first_result()
    scan = editor.slicer.util.arrayFromVolume(editor.volume)
    editor.node.SetSourceVolumeIntensityMask(True)
    editor.node.SetSourceVolumeIntensityMaskRange(0.0, 1000.0)
    before = editor.segment("liver")
    editor.session.apply(editor.save)
    assert np.array_equal(editor.segment("liver"), np.where(scan >= 0, FOUND == 1, before))


def test_apply_keeps_to_the_inside_of_one_segment(editor: Editor, slicer: Any) -> None:
    roi = box(slice(0, 4), slice(0, 12), slice(0, 12))
    editor.segmentation.GetSegmentation().AddEmptySegment("roi", "roi")
    set_segment(slicer, editor.segmentation, "roi", roi, editor.volume)
    editor.hide("roi")
    editor.first_result()
    editor.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    editor.node.SetMaskSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName("roi"))
    editor.session.apply(editor.save)
    liver, found = editor.segment("liver"), box(slice(1, 6), slice(4, 9), slice(4, 9))
    np.testing.assert_array_equal(liver[:4], (found & roi)[:4])
    assert not liver[4:].any()


def test_after_apply_what_was_painted_by_hand_stays_the_example(editor: Editor) -> None:
    editor.first_result()
    editor.session.apply(editor.save)
    editor.clock.pass_by()
    editor.session.update()
    assert editor.places == [(0, 2), (0, 5)]


def test_apply_that_is_refused_keeps_the_preview(editor: Editor) -> None:
    from FewShotSegModule.scene.errors import SceneError

    preview = editor.first_result()
    logic = editor.slicer.vtkSlicerSegmentationsModuleLogic
    for number in range(2):
        logic.SetSegmentStatus(editor.segmentation.GetSegmentation().GetNthSegment(number), logic.Completed)
    with pytest.raises(SceneError, match="completed"):
        editor.session.apply(editor.save)
    assert editor.session.live.preview is preview
    assert editor.saved == 0


def test_the_slider_goes_from_inputs_to_results_and_the_end_brings_inputs_back(editor: Editor) -> None:
    editor.segmentation.GetDisplayNode().SetOpacity(0.8)
    preview = editor.first_result()
    assert editor.session.opacity == pytest.approx(0.6)
    editor.session.opacity = 0.25
    assert preview.GetDisplayNode().GetOpacity() == pytest.approx(0.25)
    assert editor.segmentation.GetDisplayNode().GetOpacity() == pytest.approx(0.75)
    editor.session.end()
    assert editor.segmentation.GetDisplayNode().GetOpacity() == pytest.approx(0.8)


def test_3d_is_shown_on_request(editor: Editor) -> None:
    editor.first_result()
    assert not editor.session.isIn3D
    editor.session.isIn3D = True
    assert editor.session.isIn3D
    editor.session.isIn3D = False
    assert not editor.session.isIn3D


def test_the_next_slice_is_shown_with_its_reason(editor: Editor) -> None:
    from dataclasses import replace

    from FewShotSegLib.worker.protocol import Suggestion

    editor.first_result()
    result = replace(
        editor.session.live.result,
        suggestions=[Suggestion(0, 2, (1,), "known"), Suggestion(0, 4, (1,), "liver unsure")],
    )
    editor.session.live.show(editor.volume, result)
    editor.session.showNext()
    assert editor.session.reason.endswith("liver unsure"), "painted slices are passed over"


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("switched", ["segmentation", "volume", "segmentation removed", "volume removed", "cancelled"])
def test_whatever_ends_a_session_takes_preview_and_observers_along(
    editor: Editor, slicer: Any, switched: str, running: bool
) -> None:
    observed = observed_of(editor)
    editor.first_result()
    assert observed_of(editor) != observed
    if running:
        editor.session.update()
    run, changes = editor.run, editor.changes
    if switched == "segmentation":
        editor.node.SetAndObserveSegmentationNode(add_segmentation(slicer, editor.volume, {}, "other"))
    elif switched == "volume":
        editor.node.SetAndObserveSourceVolumeNode(add_volume(slicer, "other"))
    elif switched == "segmentation removed":
        slicer.mrmlScene.RemoveNode(editor.segmentation)
    elif switched == "volume removed":
        slicer.mrmlScene.RemoveNode(editor.volume)
    else:
        editor.session.end()
    assert editor.session.isOver
    assert editor.changes > changes
    assert previews(slicer) == []
    assert run.state == ("cancelled" if running else "finished")
    editor.clock.pass_by()
    assert editor.clock.waiting == {}
    assert observed_of(editor) == observed
    assert len(editor.messages) <= (running and switched == "volume removed"), "that one tells why it ends"


def test_closing_the_scene_during_an_update_ends_it(editor: Editor, slicer: Any) -> None:
    editor.first_result()
    editor.session.update()
    slicer.mrmlScene.Clear(0)
    assert editor.session.isOver
    assert editor.run.state == "cancelled"
    editor.clock.pass_by()
    assert previews(slicer) == []


def test_who_deletes_the_preview_ends_the_update_and_the_next_one_makes_another(editor: Editor, slicer: Any) -> None:
    from FewShotSegModule.scene.removal import remove

    preview = editor.first_result()
    editor.session.update()
    remove(preview)
    assert editor.run.state == "cancelled"
    assert not editor.session.isOver
    editor.session.update()
    editor.run.finish(FOUND.copy())
    assert len(previews(slicer)) == 1


def test_a_run_of_the_panel_is_waited_for(editor: Editor) -> None:
    editor.logic.runs.isBusy = True
    editor.begin().update()
    assert editor.logic.runs.runs == []
    assert editor.session.live.state == "updating"
    editor.logic.runs.isBusy = False
    editor.clock.pass_by()
    assert len(editor.logic.runs.runs) == 1


def test_a_preview_that_came_with_a_scene_is_taken_up(editor: Editor) -> None:
    preview = editor.first_result()
    first = editor.session
    first.live.release()
    first.removeObservers()
    editor.begin()
    assert editor.session.live.preview is preview
    editor.session.apply(editor.save)
    assert np.array_equal(editor.segment("liver"), FOUND == 1)
    first.isOver = True


def test_of_a_segment_that_fills_everything_few_slices_are_taken_and_those_of_rare_ones_first(slicer: Any) -> None:
    from FewShotSegModule.effect.painted_examples import PaintedExamples
    from FewShotSegModule.scene.example_list import MOST_EXAMPLES

    shape = (70, 80, 75)
    volume = add_volume(slicer, "scan", np.zeros(shape, np.int16))
    masks = {
        "body": box(slice(2, 68), slice(2, 78), slice(2, 73), shape=shape),
        "lesion": box(33, slice(30, 35), slice(30, 36), shape=shape),
    }
    segmentation = add_segmentation(slicer, volume, masks)
    examples = PaintedExamples(volume, segmentation)
    examples.choose()
    rows = examples.rows()
    assert 20 <= len(rows) < MOST_EXAMPLES, "there is room for corrections"
    assert (0, 33) in [(row.axis, row.index) for row in rows]
    indices = [row.index for row in rows]
    assert (min(indices), max(indices)) == (2, 67)
    assert examples.leftOut == 66 - len(rows)
    examples.take([(1, 12)], [])
    assert (1, 12) in [(row.axis, row.index) for row in examples.rows()]


def test_slices_along_all_axes_are_found(slicer: Any) -> None:
    from FewShotSegModule.effect.painted_examples import PaintedExamples

    shape = (30, 32, 34)
    volume = add_volume(slicer, "scan", np.zeros(shape, np.int16))
    mask = np.zeros(shape, bool)
    mask[12, 8:20, 8:20] = mask[5:25, 14, 8:20] = mask[5:25, 8:20, 15] = True
    segmentation = add_segmentation(slicer, volume, {"liver": mask})
    examples = PaintedExamples(volume, segmentation)
    examples.choose()
    assert sorted((row.axis, row.index) for row in examples.rows()) == [(0, 12), (1, 14), (2, 15)]
    assert examples.leftOut == 0
