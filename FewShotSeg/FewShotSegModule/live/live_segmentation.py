"""The loop: somebody paints, and the segmentation of the volume follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.util import VTKObservationMixin

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.quality import BEST, FAST
from FewShotSegModule.live.one_shot import OneShot, Pause
from FewShotSegModule.live.surer import isSurer
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.runs.run_result import RunResult
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.live_preview import LivePreview
from FewShotSegModule.scene.painted_changes import PaintedChanges

#: Milliseconds after the last stroke before what was painted is looked at, and the segmentation updated.
PAUSE_MS = 1000
#: Milliseconds without a stroke after an update, before a better result is computed in the background.
REST_MS = 2000
#: Milliseconds between two attempts while the worker is at a run of somebody else.
_WAIT_MS = 200

Slices = list[tuple[int, int]]


def _nothing(*_arguments: Any) -> None:
    pass


class LiveSegmentation:
    """Keeps a preview in step with what is painted.

    The first update is asked for; from then on, as long as the preview is there, the others follow by themselves if
    `autoUpdate` is on. While one is on its way, painting goes on; what is painted meanwhile is in the next. Nothing
    that is called while somebody paints reads a voxel.

    Example::

        live = LiveSegmentation(
            logic,
            query=lambda: volume,
            examples=lambda: rows,
            settings=lambda: RunSettings(),
            onPainted=lambda volume, segmentation, painted, emptied: rows.extend(...),
            onChanged=showState,
        )
        live.watch([(volume, segmentation)])
        live.update()
        ...
        live.release()

    :param logic: The module's FewShotSegLogic; all loops share one, since it has the worker.
    :param query: Gives the volume to segment.
    :param examples: Gives the painted slices to use.
    :param settings: Gives the settings. The quality "fast" is followed by a better result in the background, if
        `improve` is on; "best" is computed directly.
    :param onPainted: Called with (volume, segmentation, painted, emptied) when somebody has painted and paused, before
        the examples are asked for: the slices (axis, index) of the volume that changed and have something painted on
        them, and those that have nothing any more. What is to be an example is up to whoever is called.
    :param onChanged: Called after `state`, `progress`, `trouble` or `preview` changed.
    :param onResult: Called with the finished SegmentationRun, after its result is in the preview.
    :param onFailed: Called with a message when an update that was asked for failed. Where one that started by itself
        failed, there is `trouble` instead.
    :param timer: Makes what waits, of milliseconds and a callback; can be replaced in tests.
    """

    def __init__(
        self,
        logic: Any,
        *,
        query: Callable[[], Any],
        examples: Callable[[], Sequence[ExampleSlice]],
        settings: Callable[[], RunSettings],
        onPainted: Callable[[Any, Any, Slices, Slices], None],
        onChanged: Callable[[], None] = _nothing,
        onResult: Callable[[Any], None] = _nothing,
        onFailed: Callable[[str], None] = _nothing,
        timer: Callable[[int, Callable[[], Any]], Pause] = OneShot,
    ) -> None:
        ...

    #: Whether the preview follows what is painted by itself.
    autoUpdate: bool
    #: Whether a better result is computed in the background.
    improve: bool
    #: What the latest round said last, (stage, done, total, seconds left or None); None while there is none.
    progress: tuple[str, int, int, float | None] | None
    #: Why the latest round that started by itself failed; "" if it didn't.
    trouble: str

    @property
    def state(self) -> str:
        """ "updating" or "improving" while a round is on its way, else "outdated" if something changed, else "idle"."""

    @property
    def preview(self) -> Any:
        """The segmentation node that shows the latest result, None if there is none.

        It stays the same node through all rounds, until somebody removes it (as `logic.accept` and `logic.discard` do),
        which also ends the round that is on its way. A preview of a scene that was opened can be set.
        """

    @property
    def result(self) -> RunResult | None:
        """What the preview shows: also confidence, notes and suggestions."""

    def watch(self, pairs: Iterable[tuple[Any, Any]], *, existing: bool = False) -> None:
        """Notices what is painted in these segmentations from now on, and in no others.

        :param pairs: Volume that is painted on, and segmentation.
        :param existing: Whether what is painted already is told `onPainted`, too, of those that were not watched.
        """

    def outdate(self) -> None:
        """Takes note that something else has changed that a result depends on: examples or settings."""

    def update(self) -> None:
        """Starts a round at once; if one is on its way, another one follows it.

        :raises FewShotSegError: It can't be started.
        """

    def cancel(self) -> None:
        """Ends the round that is on its way; the preview stays as it is."""

    def release(self) -> None:
        """Lets go of everything: a round is cancelled, nothing is watched; the preview stays in the scene."""
