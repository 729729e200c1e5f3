"""What the module's logic does for libraries and cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from FewShotSegLib.quality import DEFAULT
from FewShotSegModule.cohort.cohort_run import CohortInput, CohortRun
from FewShotSegModule.cohort.libraries import keepInLibrary, takeFromLibrary
from FewShotSegModule.cohort.review import CaseInScene, keepCorrections
from FewShotSegModule.cohort.scene_cases import casesOf, writing
from FewShotSegModule.runs.errors import RunError
from FewShotSegModule.runs.run_timer import RunTimer
from FewShotSegModule.scene.example_list import ExampleList
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.given_examples import givenExamples
from FewShotSegModule.scene.required import requireKind


class CohortLogic:
    """Part of FewShotSegLogic."""

    _cohort: CohortRun | None = None

    def keepInLibrary(self, examples: Sequence[Any], path: str, background: str = "") -> int:
        """Adds examples to a library, which is made where it is missing; how many scans it has then.

        Slices that it has already are replaced: they were painted on since.

        :param examples: Each an ExampleSlice or (volume, segmentation, axis, indices), as of `segmentFromExamples`.
        :param path: A .zip file or a folder.
        :param background: Name of the segments that are painted on what is no structure.
        :raises FewShotSegError: There are none, or the library can't be opened or written.
        """
        return keepInLibrary(givenExamples(None, examples=examples), path, background)

    def takeFromLibrary(self, path: str, examples: ExampleList | None = None) -> list[ExampleSlice]:
        """Makes a library's scans and painted slices examples of the scene, in a folder of the subject hierarchy.

        :param examples: The list to add them to; that of the panel if None.
        :raises FewShotSegError: The library can't be opened.
        """
        parameters = self.getParameterNode()  # type: ignore[attr-defined]  # of the logic
        rows, background = takeFromLibrary(path, examples or ExampleList(parameters.parameterNode), slicer.mrmlScene)
        parameters.background = parameters.background or background
        return rows

    def casesOf(self, examples: Sequence[ExampleSlice] = ()) -> list[Any]:
        """The scene's volumes that can be cases of a cohort: those that no example is of."""
        return casesOf(examples)

    def startCohort(
        self,
        library: str,
        queries: str | Sequence[Any],
        output: str,
        quality: str = DEFAULT,
        device: str = "auto",
        **callbacks: Any,
    ) -> CohortRun:
        """Segments many volumes with a library, in the background; goes on where an earlier run was stopped.

        It is looked after by a timer of the application (without Qt, by whoever calls `run.poll()`), and ends with the
        scene and at `run.cancel()`; what is finished stays.

        :param library: Path of the library.
        :param queries: A folder of volumes, a pattern or a CSV; or volumes of the scene, which are written into the
            output folder, one at each turn of the application.
        :param output: Folder for the results, made where it is missing.
        :param callbacks: onProgress, onCase, onEnd; see `CohortRun`.
        :raises FewShotSegError: It can't be started, or another one is going on.
        """
        if self._cohort is not None and self._cohort.state == "running":
            raise RunError(_("A cohort is being segmented; wait for it or stop it first."))
        before = None
        if not isinstance(queries, str):
            for node in queries:
                requireKind(node, "vtkMRMLScalarVolumeNode", _("volume to segment"))
            before, queries = writing(output, queries), ""
        self._cohort = CohortRun(CohortInput(library, queries, output, quality, device), before=before, **callbacks)
        RunTimer(self._cohort).start()
        return self._cohort

    def keepCorrections(self, case: CaseInScene, path: str) -> tuple[int, int]:
        """Adds the slices that were corrected on a case to a library, as completely painted; how many, of how many.

        :raises FewShotSegError: Nothing was corrected, or the library can't be opened or written.
        """
        return keepCorrections(case, path)

    def endCohort(self) -> None:
        """Ends a cohort's run; what is finished stays."""
        if self._cohort is not None:
            self._cohort.cancel()
            self._cohort = None
