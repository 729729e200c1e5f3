"""Runs with the real engine in a real process of its own, and what happens when they end otherwise."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import add_segmentation, add_volume, mask_of, names_of, set_segment
from run_case import PAINTED, Case, dice, poll_until, start

from FewShotSegLib.demo.sample_scan import SampleScan

LONGEST_S = 600.0


@pytest.fixture(scope="module")
def host(installed_slicer: Any) -> Iterator[Any]:
    """One worker for all tests, as all runs of a session have."""
    from FewShotSegModule.runs.worker_host import WorkerHost

    made = WorkerHost()
    yield made
    made.close()


@pytest.fixture
def logic(slicer: Any, host: Any) -> Iterator[Any]:
    from FewShotSegModule.logic import FewShotSegLogic

    made = FewShotSegLogic(host)
    yield made
    made.removeObservers()
    if made._run is not None:
        made._run.cancel()


@pytest.fixture
def case(slicer: Any, sample_scan: SampleScan) -> Case:
    return Case(slicer, sample_scan)


def node_ids(slicer: Any) -> list[str]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())]


def test_one_call_segments_with_all_segments_and_confidence(slicer: Any, logic: Any, case: Case, host: Any) -> None:
    confidence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "confidence")
    seen: list[tuple[str, int, int]] = []
    result = logic.segmentFromExamples(
        case.volume,
        case.segmentation,
        device="cpu",
        confidenceVolume=confidence,
        onProgress=lambda stage, done, total, left: seen.append((stage, done, total)),
    )
    assert names_of(result) == ["liver", "left kidney"]
    for name, truth in case.truth.items():
        found = mask_of(slicer, result, name, case.volume)
        assert np.array_equal(found & case.painted, truth & case.painted), "painted slices come back as painted"
        assert dice(found & ~case.painted, truth & ~case.painted) > 0.8, name
    sure = slicer.util.arrayFromVolume(confidence)
    assert sure.shape == case.array.shape
    assert (sure[list(PAINTED)] == 1).all()
    assert sure.min() < 0.9
    assert "segmenting" in {stage for stage, _done, _total in seen}
    assert host.client.alive, "the worker stays for the next run"
    assert list(host.client.folder.glob("*.npy")) == [], "nothing is left over"

    # Another run, in the same process: a range, one segment, weaker refinement, into what is there.
    worker = host.client.processId
    liver = mask_of(slicer, result, "liver", case.volume)
    logic.segmentFromExamples(
        case.volume,
        sliceIndices=PAINTED,
        axis=0,
        exampleSegmentation=case.segmentation,
        outputSegmentation=result,
        segmentNames=["left kidney"],
        sliceRange=(2, 2),
        refineStrength=1.0,
        device="cpu",
    )
    assert host.client.processId == worker
    assert names_of(result) == ["liver", "left kidney"]
    assert np.array_equal(mask_of(slicer, result, "liver", case.volume), liver)
    assert dice(mask_of(slicer, result, "left kidney", case.volume)[2], case.truth["left kidney"][2]) > 0.8


def test_background_is_in_no_result_and_what_is_said_of_structures_holds(slicer: Any, logic: Any, case: Case) -> None:
    away = np.zeros(case.array.shape, bool)
    away[list(PAINTED), 2:9, 2:9] = True
    painted = add_segmentation(
        slicer,
        case.volume,
        {"liver": case.truth["liver"] & case.painted, "left kidney": np.zeros_like(away), "not this": away},
    )
    one = case.truth["left kidney"].copy()
    one[PAINTED[1] :] = False
    set_segment(slicer, painted, "left kidney", one & case.painted, case.volume)

    def found(**said: Any) -> Any:
        return logic.segmentFromExamples(case.volume, painted, device="cpu", background="not this", **said)

    result = found(complete=["liver", "left kidney"])
    assert set(names_of(result)) == {"liver", "left kidney"}
    assert not mask_of(slicer, result, "left kidney", case.volume)[PAINTED[1]].any(), "said not to be there"
    assert not (mask_of(slicer, result, "liver", case.volume) & away).any()
    assert mask_of(slicer, found(complete=["liver"]), "left kidney", case.volume)[PAINTED[1]].any()


def test_cancelling_takes_less_than_half_a_second_and_leaves_the_scene_as_it_was(
    slicer: Any, logic: Any, case: Case, host: Any
) -> None:
    before = node_ids(slicer)
    stages: list[str] = []
    ended: list[str] = []
    run = start(logic, case, stages, onCancelled=lambda: ended.append("cancelled"), onFinished=ended.append)
    poll_until(run, lambda: "segmenting" in stages)
    worker = host.client
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 0.5
    assert (run.state, ended) == ("cancelled", ["cancelled"])
    run.poll()
    run.cancel()
    assert ended == ["cancelled"]
    assert node_ids(slicer) == before
    # The worker stops soon, and has kept the network for the run that waits for it.
    again = start(logic, case, stages := [])
    poll_until(again, lambda: "segmenting" in stages)
    assert host.client is worker
    assert worker.alive
    assert "loading" not in stages, "the session is open"
    assert stages.index("preparing") < stages.index("adapting") < stages.index("segmenting")
    again.cancel()
    poll_until(host, lambda: host.state == "idle")
    assert host.client is worker
    assert list(worker.folder.glob("*.npy")) == []


def test_a_killed_worker_is_explained_and_the_next_run_starts_a_fresh_one(
    slicer: Any, logic: Any, case: Case, host: Any
) -> None:
    before = node_ids(slicer)
    stages: list[str] = []
    messages: list[str] = []
    run = start(logic, case, stages, onFailed=messages.append)
    poll_until(run, lambda: stages)
    killed = host.client.processId
    folder = host.client.folder
    os.kill(killed, signal.SIGKILL)
    poll_until(run, lambda: run.state != "running")
    assert run.state == "failed"
    (message,) = messages
    assert "memory" in message
    assert "scene is as it was" in message
    assert not folder.exists()
    assert node_ids(slicer) == before
    again = start(logic, case, stages := [])
    poll_until(again, lambda: stages)
    assert host.client.processId != killed
    again.cancel()


def test_a_worker_that_slicers_launcher_saw_killed_is_explained_alike(slicer: Any) -> None:
    from types import SimpleNamespace

    from FewShotSegModule.runs.segmentation_run import SegmentationRun

    def cause(code: int, log: str) -> str:
        client = SimpleNamespace(exitCode=code, logTail=lambda: log)
        run = SimpleNamespace(_host=SimpleNamespace(client=client, kill=lambda: None))
        return SegmentationRun._causeOfDeath(run)  # type: ignore[arg-type]

    assert "memory" in cause(1, "error: [PythonSlicer] exit abnormally - Report the problem.")
    assert "exit code 1" in cause(1, "ImportError: broken installation")


def test_a_second_run_at_the_same_time_is_refused(logic: Any, case: Case) -> None:
    run = start(logic, case, [])
    with pytest.raises(RuntimeError, match="A run is going on"):
        start(logic, case, [])
    assert run.state == "running"
    run.cancel()


def test_the_engines_own_words_reach_a_caller_who_waits(logic: Any, case: Case) -> None:
    with pytest.raises(ValueError, match=r"'cuda:7'.*choose cpu"):
        logic.segmentFromExamples(case.volume, case.segmentation, device="cuda:7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queryVolume": None}, "volume to segment is nothing, expected a vtkMRMLScalarVolumeNode"),
        ({"queryVolume": "CT"}, "volume to segment is 'CT', expected"),
        ({"exampleSegmentation": "painted"}, "example segmentation is 'painted', expected a vtkMRMLSegmentationNode"),
        ({"outputSegmentation": 3}, "output segmentation is 3, expected"),
        ({"confidenceVolume": "sure"}, "confidence volume is 'sure', expected"),
        ({"roi": [1, 2]}, "region of interest is \\[1, 2\\], expected a vtkMRMLMarkupsROINode"),
        ({"segmentNames": "liver"}, "'liver' was given as segments' names, expected a list"),
        ({"sliceRange": 4}, "4 was given as slice range, expected a list"),
        ({"sliceRange": (1, 2, 3)}, "slice range has 3 values, expected 2"),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_by_its_role(
    logic: Any, case: Case, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        logic.segmentFromExamples(**{"queryVolume": case.volume, "exampleSegmentation": case.segmentation} | arguments)


def test_the_confidence_does_not_overwrite_the_image(logic: Any, case: Case) -> None:
    with pytest.raises(ValueError, match="would overwrite CT"):
        logic.segmentFromExamples(case.volume, case.segmentation, confidenceVolume=case.volume)


def test_a_result_that_can_not_be_written_fails_the_run_of_a_caller_who_does_not_wait(
    slicer: Any, logic: Any, case: Case, host: Any
) -> None:
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "output")
    messages: list[str] = []
    run = start(logic, case, [], onFailed=messages.append, outputSegmentation=output, segmentNames=["left kidney"])
    slicer.mrmlScene.RemoveNode(output)
    poll_until(run, lambda: run.state != "running")
    assert run.state == "failed"
    assert messages == [str(run.error)]
    assert "output segmentation was removed" in messages[0]


def test_while_a_caller_waits_events_are_handled_and_no_second_run_starts(
    slicer: Any, logic: Any, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def a_click() -> None:
        if len(refused) < 2:
            with pytest.raises(RuntimeError, match="A run is going on") as caught:
                logic.segmentFromExamples(case.volume, case.segmentation, device="cpu")
            refused.append(str(caught.value))
        else:
            slicer.mrmlScene.RemoveNode(case.volume)

    monkeypatch.setattr(slicer.app, "processEvents", a_click)
    with pytest.raises(RuntimeError, match="volume was removed"):
        logic.segmentFromExamples(case.volume, case.segmentation, device="cpu")
    assert len(refused) == 2


def test_the_call_for_scripts_takes_its_arguments_in_the_promised_order(logic: Any) -> None:
    parameters = list(inspect.signature(logic.segmentFromExamples).parameters.values())
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == [
        *("queryVolume", "exampleSegmentation", "exampleVolume", "sliceIndices", "axis"),
        *("outputSegmentation", "device", "refine", "wait"),
    ]
    assert [p.default for p in positional[2:]] == [None, None, None, None, "auto", True, True]


def test_what_is_wrong_with_the_volume_is_said_before_anything_starts(slicer: Any, logic: Any, case: Case) -> None:
    bad = case.array.astype(np.float32)
    bad[0, 0, 0] = np.nan
    volume = add_volume(slicer, "with holes", bad)
    with pytest.raises(ValueError, match="1 NaN"):
        logic.segmentFromExamples(volume, case.segmentation, case.volume)


def test_removing_the_volume_stops_the_run_with_a_message(slicer: Any, logic: Any, case: Case) -> None:
    messages: list[str] = []
    stages: list[str] = []
    run = start(logic, case, stages, onFailed=messages.append)
    poll_until(run, lambda: stages)
    slicer.mrmlScene.RemoveNode(case.segmentation)
    assert run.state == "running", "examples were copied"
    slicer.mrmlScene.RemoveNode(case.volume)
    assert run.state == "failed"
    assert "removed" in messages[0]


def test_closing_the_scene_stops_the_run_with_a_message(slicer: Any, logic: Any, case: Case) -> None:
    messages: list[str] = []
    stages: list[str] = []
    run = start(logic, case, stages, onFailed=messages.append)
    poll_until(run, lambda: stages)
    slicer.mrmlScene.Clear(0)
    assert run.state == "failed"
    assert "closed" in messages[0]


def test_a_shutdown_in_mid_run_leaves_neither_process_nor_files(logic: Any, case: Case, host: Any) -> None:
    stages: list[str] = []
    ended: list[str] = []
    run = start(logic, case, stages, onCancelled=lambda: ended.append("cancelled"))
    poll_until(run, lambda: "adapting" in stages)
    worker = host.client
    began = time.monotonic()
    logic.shutdown()
    assert time.monotonic() - began < 2
    assert (run.state, ended) == ("cancelled", ["cancelled"])
    assert not worker.alive
    assert not worker.folder.exists()
    assert host.state == "idle"


def test_the_worker_ends_with_its_application(repository: Path, tmp_path: Path) -> None:
    script = (
        "import sys, os; sys.path[:0] = sys.argv[1:]\n"
        "from standin.install import install; install()\n"
        "from FewShotSegModule.runs.worker_client import WorkerClient\n"
        "c = WorkerClient()\n"
        "while not c.receive(): pass\n"
        "print(c.processId, c.folder, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    paths = [str(repository), str(repository / "FewShotSeg"), str(repository / "Testing" / "module")]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, timeout=LONGEST_S)
    number, folder = done.stdout.split(maxsplit=1)
    end = time.monotonic() + 30
    while Path(folder.strip()).exists() or Path("/proc", number).exists():
        assert time.monotonic() < end, "the worker goes on without its application"
        time.sleep(0.05)


# What is asked for


def gathered(rows: list[Any], volume: Any, values: dict[str, int] | None = None, **settings: Any) -> Any:
    from FewShotSegModule.runs.run_input import RunSettings
    from FewShotSegModule.scene.gather import gather

    return gather(volume, rows, RunSettings(**settings), {} if values is None else values)


def rows_of(case: Case, segmentation: Any = None, indices: tuple[int, ...] = PAINTED) -> list[Any]:
    from FewShotSegModule.scene.given_examples import givenExamples

    return givenExamples(case.volume, segmentation or case.segmentation, indices=indices, axis=0)


def test_same_named_segments_of_several_segmentations_are_one_structure(slicer: Any, case: Case) -> None:
    other = add_segmentation(slicer, case.volume, {"spleen": case.truth["left kidney"], "liver": case.truth["liver"]})
    rows = rows_of(case, indices=(1,)) + rows_of(case, other, indices=(3,))
    given = gathered(rows, case.volume)
    assert [s.name for s in given.structures] == ["liver", "left kidney", "spleen"]
    assert np.array_equal(given.examples[1].mask == 1, case.truth["liver"][3])
    assert np.array_equal(given.examples[1].mask == 3, case.truth["left kidney"][3])


def test_a_slice_painted_in_two_segmentations_is_one_slice_unless_they_disagree(slicer: Any, case: Case) -> None:
    other = add_segmentation(slicer, case.volume, {"spleen": ~case.truth["liver"] & ~case.truth["left kidney"]})
    given = gathered(rows_of(case, indices=(1,)) + rows_of(case, other, indices=(1,)), case.volume)
    assert all((e.mask > 0).all() for e in given.examples)
    clash = add_segmentation(slicer, case.volume, {"spleen": case.truth["liver"]})
    with pytest.raises(ValueError, match="disagree"):
        gathered(rows_of(case, indices=(1,)) + rows_of(case, clash, indices=(1,)), case.volume)


def test_a_range_is_computed_with_the_painted_slices_around_it(case: Case) -> None:
    given = gathered(rows_of(case, indices=(0, 1, 4, 5)), case.volume, sliceRange=(2, 3))
    assert (given.box[0][0], given.box[1][0]) == (1, 5)
    assert (given.allowed[0][0], given.allowed[1][0]) == (2, 4)
    assert [e.index for e in given.examples] == [0, 1, 4, 5]
    assert all(e.image is given.query for e in given.examples)
    assert given.query.shape == case.array.shape


def test_structures_keep_their_labels_while_examples_come_and_go(slicer: Any, case: Case) -> None:
    other = add_segmentation(slicer, case.volume, {"spleen": case.truth["left kidney"], "liver": case.truth["liver"]})
    values: dict[str, int] = {}
    gathered(rows_of(case, indices=(1,)), case.volume, values)
    given = gathered(rows_of(case, other, indices=(3,)), case.volume, values)
    assert {s.name: s.value for s in given.structures} == {"liver": 1, "spleen": 3}
    assert given.examples[0].names == {1: "liver", 3: "spleen"}


def test_segments_are_chosen_by_name(case: Case) -> None:
    given = gathered(rows_of(case), case.volume, segmentNames=["left kidney"])
    assert [s.name for s in given.structures] == ["left kidney"]
    assert np.array_equal(given.examples[0].mask > 0, case.truth["left kidney"][1])
    with pytest.raises(ValueError, match="No example shows heart; there are left kidney, liver"):
        gathered(rows_of(case), case.volume, segmentNames=["heart"])


def test_strength_of_refinement_and_quality_are_taken_along(case: Case) -> None:
    cases = ((True, 1.0, 1.0, "best"), (True, 0.4, 0.4, "fast"), (False, 0.4, 0.0, "fast"))
    for refine, strength, expected, quality in cases:
        given = gathered(rows_of(case), case.volume, refine=refine, refineStrength=strength, quality=quality)
        assert (given.refine, given.quality) == (expected, quality)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no examples"),
        ({"indices": [1]}, "belong to an example segmentation"),
        ({"examples": [3]}, "expected \\(volume, segmentation, axis, indices\\)"),
    ],
)
def test_a_script_that_forgets_something_is_told(case: Case, arguments: dict[str, Any], message: str) -> None:
    from FewShotSegModule.scene.given_examples import givenExamples

    with pytest.raises(ValueError, match=message):
        givenExamples(case.volume, **arguments)
    with pytest.raises(ValueError, match="has no slice 6 along k"):
        givenExamples(case.volume, case.segmentation, indices=[6], axis=0)


def test_painted_slices_and_their_axis_are_found(case: Case) -> None:
    from FewShotSegModule.scene.given_examples import givenExamples

    assert [(r.axis, r.index) for r in givenExamples(case.volume, case.segmentation)] == [(0, 1), (0, 4)]
    assert [(r.axis, r.index) for r in givenExamples(case.volume, case.segmentation, indices=[4])] == [(0, 4)]


def test_importing_the_module_imports_nothing_that_slicer_does_not_bring_along(repository: Path) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from standin.install import install; install()\n"
        "before = set(sys.modules)\n"
        "import FewShotSegModule.logic\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))\n"
    )
    paths = [str(repository), str(repository / "FewShotSeg"), str(repository / "Testing" / "module")]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, timeout=LONGEST_S)
    assert "FewShotSegModule" in done.stdout, done.stderr
    assert set(done.stdout.split()) <= {"FewShotSegModule", "FewShotSegLib", "numpy", "slicer", "vtk", "vtkmodules"}
