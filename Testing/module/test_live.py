"""The loop: somebody paints, and the preview follows. Here without the engine, whose answers the tests give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loop_fixtures import STROKE, Loop, labels_of, shown_of
from nodes import SHAPE, add_segmentation, add_volume, box, names_of, set_segment


def test_after_the_first_result_a_stroke_updates_it_when_the_brush_pauses(loop: Loop) -> None:
    loop.first_result()
    assert loop.live.state == "idle"
    loop.paint(STROKE)
    assert len(loop.logic.runs) == 1, "not while somebody paints"
    loop.clock.pass_by()
    assert loop.told == [([(0, 6)], [])]
    assert loop.live.state == "updating"
    assert [(row.axis, row.index) for row in loop.run.rows] == [(0, 2), (0, 6)]
    assert loop.run.settings.quality == "fast"
    loop.run.finish(labels_of(liver=STROKE))
    assert loop.live.state == "idle"
    assert np.array_equal(shown_of(loop, "liver"), STROKE)


def test_before_the_first_result_and_without_auto_update_strokes_are_told_and_wait(loop: Loop) -> None:
    loop.paint(STROKE)
    loop.clock.pass_by()
    assert loop.told == [([(0, 6)], [])]
    assert loop.logic.runs == []
    loop.first_result()
    loop.live.autoUpdate = False
    loop.paint(box(slice(None), slice(1, 3), 9))
    loop.clock.pass_by()
    assert loop.told[1:] == [([(2, 9)], [])]
    assert loop.live.state == "outdated"
    assert len(loop.logic.runs) == 1
    loop.live.update()
    assert loop.live.state == "updating"
    assert len(loop.run.rows) == 3


def test_what_is_there_already_is_told_where_that_is_asked_for(loop: Loop, slicer: Any) -> None:
    other = add_segmentation(slicer, loop.volume, {"spleen": box(slice(None), 3, slice(2, 6))}, "other")
    loop.live.watch([(loop.volume, loop.segmentation), (loop.volume, other)], existing=True)
    loop.clock.pass_by()
    assert loop.told == [([(1, 3)], [])], "of the one that was not watched"
    loop.live.watch([(loop.volume, other)])
    loop.paint(STROKE)
    loop.clock.pass_by()
    assert len(loop.told) == 1, "nobody watches it any more"


def test_an_update_takes_what_was_just_painted(loop: Loop) -> None:
    loop.paint(STROKE)
    loop.live.update()
    assert [(row.axis, row.index) for row in loop.run.rows] == [(0, 2), (0, 6)]


def test_a_stroke_during_an_update_is_in_the_next_one(loop: Loop) -> None:
    loop.first_result()
    loop.paint(STROKE)
    loop.clock.pass_by()
    running = loop.run
    loop.paint(box(4, slice(10, 15), slice(4, 9)))
    loop.clock.pass_by()
    assert loop.run is running
    assert running.state == "running"
    running.finish(labels_of(liver=STROKE))
    assert loop.run is not running
    assert [(row.axis, row.index) for row in loop.run.rows] == [(0, 2), (0, 6), (0, 4)]


def test_a_stroke_during_the_first_round_is_in_the_next_one_too(loop: Loop) -> None:
    loop.live.update()
    running = loop.run
    loop.paint(STROKE)
    loop.clock.pass_by()
    running.finish(labels_of(liver=STROKE))
    assert loop.run is not running


def test_the_preview_is_the_same_node_with_the_same_segments_through_all_rounds(loop: Loop, slicer: Any) -> None:
    node = loop.first_result()
    content = node.GetSegmentation()
    content.GetNthSegment(0).SetColor(0.1, 0.2, 0.3)
    nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLDisplayableNode")
    for _round in range(3):
        loop.live.update()
        loop.run.finish(labels_of(liver=STROKE, spleen=box(1, 2, 3)))
        assert loop.live.preview is node
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLDisplayableNode") == nodes
        assert names_of(node) == ["liver", "spleen"]
        assert content.GetNumberOfLayers() == 1
        assert np.array_equal(shown_of(loop, "spleen"), box(1, 2, 3))
    assert content.GetNthSegment(0).GetColor() == pytest.approx((0.1, 0.2, 0.3))
    loop.live.update()
    loop.run.finish(labels_of(spleen=STROKE))
    assert names_of(node) == ["spleen"]
    assert np.array_equal(shown_of(loop, "spleen"), STROKE)


def test_a_first_answer_is_patched_into_the_preview_and_surfaces_stay_until_the_result(loop: Loop, slicer: Any) -> None:
    node = loop.first_result()
    before = shown_of(loop, "liver")
    content = node.GetSegmentation()
    node.GetDisplayNode().SetVisibility3D(True)
    node.CreateClosedSurfaceRepresentation()
    events: list[str] = []
    # What the displayable managers of the slice views listen to.
    node.AddObserver(slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, lambda *_: events.append("redraw"))
    loop.live.update()
    near = np.zeros((2, *SHAPE[1:]), np.int32)
    near[:, 1:3, 1:3] = 1
    loop.run.callbacks["onNear"](0, [4, 5], near, np.ones_like(near, np.float32))
    expected = before.copy()
    expected[4:6] = near == 1
    assert np.array_equal(shown_of(loop, "liver"), expected)
    assert events, "views are told"
    assert content.ContainsRepresentation("Closed surface")
    loop.run.finish(labels_of(liver=STROKE))
    assert not content.ContainsRepresentation("Closed surface"), "they showed what was before"
    loop.clock.pass_by()
    assert content.ContainsRepresentation("Closed surface"), "and are made anew when nobody paints"


def test_a_first_answer_leaves_painted_slices_of_other_axes_alone(loop: Loop) -> None:
    from FewShotSegModule.scene.example_slice import ExampleSlice

    loop.rows += [
        ExampleSlice(loop.volume, loop.segmentation, 2, 5),
        ExampleSlice(loop.volume, loop.segmentation, 1, 7),
    ]
    loop.first_result()
    before = shown_of(loop, "liver")
    loop.live.update()
    near = np.ones((2, *SHAPE[1:]), np.int32)
    loop.run.callbacks["onNear"](0, [4, 5], near, near)
    now = shown_of(loop, "liver")
    assert np.array_equal(now[:, :, 5], before[:, :, 5])
    assert np.array_equal(now[:, 7], before[:, 7])
    assert now[4:6, 8:, 6:].all()


def test_a_cancelled_first_answer_takes_surfaces_away_that_show_less(loop: Loop) -> None:
    node = loop.first_result()
    node.GetDisplayNode().SetVisibility3D(True)
    node.CreateClosedSurfaceRepresentation()
    loop.clock.waiting.clear()
    loop.live.update()
    near = np.ones((1, *SHAPE[1:]), np.int32)
    loop.run.callbacks["onNear"](0, [4], near, near)
    loop.live.cancel()
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    loop.clock.pass_by()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_a_preview_that_comes_back_or_with_a_scene_gets_its_surfaces_where_it_is_in_3d(loop: Loop, slicer: Any) -> None:
    from FewShotSegModule.scene.preview import bringBack
    from FewShotSegModule.scene.removal import keep, remove

    node = loop.first_result()
    kept = keep(node)
    remove(node)
    loop.clock.waiting.clear()
    back = bringBack(kept)
    back.GetDisplayNode().SetVisibility3D(True)
    loop.live.preview = back
    loop.clock.pass_by()
    assert back.GetSegmentation().ContainsRepresentation("Closed surface")


@pytest.mark.parametrize("opened", [False, True])
def test_a_result_that_is_accepted_into_what_is_painted_is_not_painted(loop: Loop, opened: bool) -> None:
    from FewShotSegModule.scene.removal import remove

    node = loop.first_result()
    if opened:  # with a scene, the preview comes without having been computed here
        loop.live.preview = None
        loop.live.preview = node
    loop.clock.waiting.clear()
    loop.paint(STROKE)
    remove(node)
    loop.clock.pass_by()
    assert loop.told == []
    assert loop.live.state == "idle"


def test_a_better_result_comes_when_nobody_paints_and_is_shown_if_it_is_surer(loop: Loop) -> None:
    loop.first_result()
    before = shown_of(loop, "liver")
    loop.clock.pass_by()
    assert loop.live.state == "improving"
    assert loop.run.settings.quality == "best"
    loop.run.finish(labels_of(liver=STROKE), confidence=0.5)
    assert np.array_equal(shown_of(loop, "liver"), before)
    assert loop.shown == 1
    loop.clock.pass_by()
    assert len(loop.logic.runs) == 2, "once is enough"
    loop.live.update()
    loop.run.finish(labels_of(liver=box(1, 1, 1)), confidence=0.9)
    loop.clock.pass_by()
    loop.run.finish(labels_of(liver=STROKE), confidence=0.95)
    assert np.array_equal(shown_of(loop, "liver"), STROKE)
    assert loop.shown == 3


def test_painting_stops_the_improvement_at_once(loop: Loop) -> None:
    loop.first_result()
    loop.clock.pass_by()
    improving = loop.run
    assert loop.live.state == "improving"
    loop.paint(STROKE)
    assert improving.state == "cancelled"
    loop.clock.pass_by()
    assert loop.live.state == "updating"
    assert loop.run.settings.quality == "fast"


def test_best_is_computed_directly_where_it_was_chosen_and_not_at_all_where_it_is_not_wanted(loop: Loop) -> None:
    from dataclasses import replace

    loop.live.improve = False
    loop.first_result()
    loop.clock.pass_by()
    assert len(loop.logic.runs) == 1
    loop.live.improve = True
    loop.settings = replace(loop.settings, quality="best")
    loop.live.update()
    assert loop.run.settings.quality == "best"
    loop.run.finish(labels_of(liver=STROKE))
    loop.clock.pass_by()
    assert len(loop.logic.runs) == 2


def test_other_examples_or_settings_outdate_a_result_and_the_same_ones_do_not(loop: Loop) -> None:
    from dataclasses import replace

    loop.first_result()
    loop.live.review()
    assert loop.live.state == "idle"
    loop.settings = replace(loop.settings, refine=False)
    loop.live.review()
    assert loop.live.state == "outdated"
    loop.clock.pass_by()
    assert loop.run.settings.refine is False
    loop.run.finish(labels_of(liver=STROKE))
    loop.live.review()
    assert loop.live.state == "idle"


def test_a_colour_is_no_stroke(loop: Loop) -> None:
    loop.first_result()
    loop.clock.waiting.clear()
    loop.segmentation.GetSegmentation().GetNthSegment(0).SetColor(0.5, 0.5, 0.1)
    assert loop.clock.waiting == {}


def test_what_was_emptied_is_told_as_such(loop: Loop) -> None:
    set_segment(loop.slicer, loop.segmentation, "liver", np.zeros(SHAPE, bool), loop.volume)
    loop.clock.pass_by()
    assert loop.told == [([], [(0, 2)])]


def test_who_removes_the_preview_ends_the_loop_until_the_next_update(loop: Loop, slicer: Any) -> None:
    from FewShotSegModule.scene.removal import remove

    node = loop.first_result()
    loop.live.update()
    running = loop.run
    remove(node)
    assert running.state == "cancelled"
    assert loop.live.preview is None
    loop.paint(STROKE)
    loop.clock.pass_by()
    assert loop.run is running
    assert loop.first_result() is not None


def test_cancel_leaves_the_preview_and_does_not_start_again_by_itself(loop: Loop) -> None:
    loop.first_result()
    before = shown_of(loop, "liver")
    loop.paint(STROKE)
    loop.clock.pass_by()
    loop.live.cancel()
    assert loop.run.state == "cancelled"
    assert loop.live.state == "outdated"
    loop.clock.pass_by()
    assert len(loop.logic.runs) == 2
    assert np.array_equal(shown_of(loop, "liver"), before)


def test_what_fails_by_itself_is_a_line_and_what_was_asked_for_a_message(loop: Loop) -> None:
    from FewShotSegModule.scene.errors import SceneError

    loop.first_result()
    loop.paint(STROKE)
    loop.clock.pass_by()
    loop.run.fail("out of memory")
    assert loop.live.trouble == "out of memory"
    assert loop.messages == []
    loop.live.update()
    assert loop.live.trouble == ""
    loop.run.fail("again")
    assert loop.messages == ["again"]
    loop.rows.clear()
    with pytest.raises(SceneError, match="no examples"):
        loop.live.update()
    assert loop.live.state == "outdated"


def test_it_waits_for_the_run_of_somebody_else(loop: Loop) -> None:
    loop.logic.isBusy = True
    loop.live.update()
    assert loop.logic.runs == []
    assert loop.live.state == "updating"
    loop.clock.pass_by()
    assert loop.logic.runs == []
    loop.logic.isBusy = False
    loop.clock.pass_by()
    assert len(loop.logic.runs) == 1


def test_a_closing_scene_and_removed_nodes_leave_nothing_behind(loop: Loop, slicer: Any) -> None:
    loop.first_result()
    loop.live.update()
    running = loop.run
    slicer.mrmlScene.RemoveNode(loop.segmentation)
    loop.clock.pass_by()
    slicer.mrmlScene.Clear(0)
    assert running.state == "cancelled"
    assert loop.live.preview is None
    assert loop.live.state == "idle"
    assert loop.clock.waiting == {}


def test_a_preview_of_another_volume_makes_way(loop: Loop, slicer: Any) -> None:
    first = loop.first_result()
    loop.volume = add_volume(slicer, "second")
    loop.live.update()
    loop.run.finish(labels_of(liver=STROKE))
    assert loop.live.preview is not first
    assert first.GetScene() is None
    assert loop.live.preview.GetName() == "second preview"
