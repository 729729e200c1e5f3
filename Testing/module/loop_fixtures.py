"""The loop on real MRML, with runs and timers that a test moves on by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nodes import SHAPE, add_segmentation, add_volume, box, mask_of, set_segment

VALUES = {"liver": 1, "spleen": 2}


class Clock:
    """Timers that fire when a test says so."""

    def __init__(self) -> None:
        self.waiting: dict[int, Callable[[], Any]] = {}
        self.made: list[Any] = []

    def __call__(self, milliseconds: int, callback: Callable[[], Any]) -> Any:
        clock, key = self, len(self.made)

        class Timer:
            def start(self) -> None:
                clock.waiting[key] = callback

            def stop(self) -> None:
                clock.waiting.pop(key, None)

        self.made.append(milliseconds)
        return Timer()

    def pass_by(self) -> None:
        """Everything that waits now is called."""
        waiting, self.waiting = self.waiting, {}
        for callback in waiting.values():
            callback()


class Run:
    """A run whose end the test decides."""

    def __init__(self, settings: Any, rows: list[Any], callbacks: dict[str, Any]) -> None:
        self.settings, self.rows, self.callbacks = settings, rows, callbacks
        self.state = "running"
        self.result: Any = None

    def poll(self) -> None:
        pass

    def cancel(self) -> None:
        if self.state == "running":
            self.state = "cancelled"
            self.callbacks["onCancelled"]()

    def finish(self, labels: np.ndarray, confidence: float = 0.9) -> None:
        from FewShotSegModule.runs.run_input import Structure
        from FewShotSegModule.runs.run_result import RunResult

        structures = [Structure(v, n, (1.0, 0.0, 0.1 * v)) for n, v in VALUES.items() if (labels == v).any()]
        sure = np.full(SHAPE, confidence, np.float32)
        self.result = RunResult(labels, sure, ((0, 0, 0), SHAPE), SHAPE, structures)
        self.state = "finished"
        self.callbacks["onFinished"](self)

    def fail(self, message: str) -> None:
        self.state = "failed"
        self.callbacks["onFailed"](message)


class Logic:
    """Starts runs and looks after none."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.query: Any = None
        self.isBusy = False

    def startRun(self, query: Any, rows: Any, settings: Any, *, background: bool, **callbacks: Any) -> Run:
        from FewShotSegModule.scene.errors import SceneError

        if not rows:
            raise SceneError("There are no examples.")
        self.query = query
        self.runs.append(Run(settings, list(rows), callbacks))
        return self.runs[-1]

    def volumeOf(self, _run: Any) -> Any:
        return self.query

    def showIn3D(self, node: Any) -> None:
        node.CreateClosedSurfaceRepresentation()


class Loop:
    """A loop on a volume with a segmentation that is painted in."""

    def __init__(self, slicer: Any) -> None:
        from FewShotSegModule.live.live_segmentation import LiveSegmentation
        from FewShotSegModule.runs.run_input import RunSettings
        from FewShotSegModule.scene.example_slice import ExampleSlice

        self.slicer, self.logic, self.clock = slicer, Logic(), Clock()
        self.volume = add_volume(slicer)
        self.segmentation = add_segmentation(slicer, self.volume, {"liver": box(2, slice(4, 9), slice(4, 9))})
        self.rows = [ExampleSlice(self.volume, self.segmentation, 0, 2)]
        self.settings = RunSettings()
        self.told: list[tuple[list[Any], list[Any]]] = []
        self.messages: list[str] = []
        self.shown = 0

        def painted(volume: Any, segmentation: Any, slices: list[Any], emptied: list[Any]) -> None:
            self.told.append((slices, emptied))
            self.rows += [ExampleSlice(volume, segmentation, *place) for place in slices]

        def shown(_result: Any) -> None:
            self.shown += 1

        self.live = LiveSegmentation(
            self.logic,
            query=lambda: self.volume,
            examples=lambda: self.rows,
            settings=lambda: self.settings,
            onPainted=painted,
            onResult=shown,
            onFailed=self.messages.append,
            timer=self.clock,
        )
        self.live.watch([(self.volume, self.segmentation)])

    @property
    def run(self) -> Run:
        return self.logic.runs[-1]

    def paint(self, mask: np.ndarray, segment: str = "liver") -> None:
        """A stroke: adds to a segment, as an editor's effect does."""
        before = mask_of(self.slicer, self.segmentation, segment, self.volume)
        set_segment(self.slicer, self.segmentation, segment, before | mask, self.volume)

    def first_result(self) -> Any:
        self.live.update()
        self.run.finish(labels_of(liver=box(slice(1, 6), slice(4, 9), slice(4, 9))))
        return self.live.preview


def labels_of(**masks: np.ndarray) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    for name, mask in masks.items():
        labels[mask] = VALUES[name]
    return labels


def shown_of(loop: Loop, name: str) -> np.ndarray:
    return mask_of(loop.slicer, loop.live.preview, name, loop.volume)


@pytest.fixture
def loop(slicer: Any) -> Any:
    made = Loop(slicer)
    yield made
    made.live.release()


STROKE = box(6, slice(10, 15), slice(4, 9))
