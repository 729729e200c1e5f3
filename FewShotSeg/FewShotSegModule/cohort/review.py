"""A cohort's results: which cases there are, a case in the scene, and what was corrected on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FewShotSegLib.cohort.doubts import in_order
from FewShotSegLib.cohort.record import FAILED, Record
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import paintedSlices
from FewShotSegModule.scene.removal import remove
from FewShotSegModule.scene.required import inScene

_SEGMENTATION, _PICTURE, _RECORD = "segmentation.seg.nrrd", "picture.png", "record.json"


@dataclass(frozen=True)
class ReviewCase:
    """A case of a cohort, as far as its files tell.

    :param name: What it is called.
    :param query: Path of its volume.
    :param folder: Its results.
    :param doubts: Why somebody should look at it; of a failed case, why it failed.
    :param failed: Whether there is no result.
    """

    name: str
    query: str
    folder: Path
    doubts: tuple[str, ...]
    failed: bool

    @property
    def picture(self) -> Path:
        """A picture of the result; it may be missing."""
        return self.folder / _PICTURE


def readCases(output: str | Path) -> list[ReviewCase]:
    """The cases in an output folder, those first that somebody should look at."""
    records = []
    for path in sorted(Path(output).glob(f"cases/*/{_RECORD}")):
        try:
            records.append(Record.from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # it is being written
            continue
    return [
        ReviewCase(
            record.case,
            record.query,
            Path(output) / "cases" / record.case,
            (record.error,) if record.status == FAILED else tuple(doubts),
            record.status == FAILED,
        )
        for record, doubts in in_order(records)
    ]


class CaseInScene:
    """A case's volume and segmentation as nodes, to be looked at and corrected.

    :param case: The case.
    :raises SceneError: Its volume or result can't be loaded.
    """

    def __init__(self, case: ReviewCase) -> None:
        self.case = case
        self.volume = _load(slicer.util.loadVolume, _fileOf(Path(case.query)), case.name)
        self.segmentation: Any = None
        if case.failed:
            return
        try:
            self.segmentation = _load(slicer.util.loadSegmentation, case.folder / _SEGMENTATION, case.name)
            self._found = Painted(self.volume, self.segmentation).whole()
        except SceneError:
            self.remove()
            raise
        self._segments = [info.name for info in Painted(self.volume, self.segmentation).segments()]

    def correctedSlices(self) -> list[tuple[int, int]]:
        """Slices (axis, index) of the volume that show something else now than the result did.

        :raises SceneError: A node was removed.
        """
        if self.segmentation is None or not (inScene(self.volume) and inScene(self.segmentation)):
            raise SceneError(_("The case is not in the scene any more; open it again."))
        now = Painted(self.volume, self.segmentation)
        changed = now.whole() != self._found
        if [info.name for info in now.segments()] != self._segments:
            changed |= self._renumbered(now)
        spacing = np.linalg.norm(geometry.ijkToRas(self.volume)[:3, :3], axis=0)[::-1]
        return paintedSlices(np.argwhere(changed), spacing.tolist())

    def _renumbered(self, now: Painted) -> np.ndarray:
        """Where a structure is another one by name, since segments were added, removed or sorted."""
        names = ["", *(info.name for info in now.segments())]
        places = {name: number for number, name in enumerate(["", *self._segments])}
        table = np.array([places.get(name, -1) for name in names])
        return table[now.whole()] != self._found

    def correctedRows(self) -> list[ExampleSlice]:
        """Corrected slices as examples on which everything is painted.

        :raises SceneError: Nothing was corrected, or a node was removed.
        """
        slices = self.correctedSlices()
        if not slices:
            raise SceneError(
                _("Nothing was changed in {name} yet; correct it on some slices first.").format(name=self.case.name)
            )
        # Also those on which all was erased: structures are not there.
        return [ExampleSlice(self.volume, self.segmentation, axis, index, complete="all") for axis, index in slices]

    def takeAsFound(self) -> None:
        """What is there now counts as the result from here on."""
        painted = Painted(self.volume, self.segmentation)
        self._found, self._segments = painted.whole(), [info.name for info in painted.segments()]

    def remove(self) -> None:
        """Takes the case out of the scene."""
        for node in (self.segmentation, self.volume):
            remove(node)


def _fileOf(path: Path) -> Path:
    """The file to load a volume by; of a DICOM folder one of its slices."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return files[0] if files else path
    return path


def _load(load: Any, path: Path, name: str) -> Any:
    if not path.is_file():
        raise SceneError(_("{path} is not there any more; run the cohort again.").format(path=path))
    try:
        node = load(str(path), {"name": name})
    except RuntimeError as error:
        raise SceneError(_("{path} can't be loaded: {error}").format(path=path, error=error)) from error
    if node is None:
        raise SceneError(_("{path} can't be loaded; see the error log.").format(path=path))
    return node
