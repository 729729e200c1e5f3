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
from FewShotSegLib.example import Example
from FewShotSegLib.library import Library
from FewShotSegModule.cohort.scene_cases import markReviewed, volumeOfFile
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import evenlySpread, paintedSlices
from FewShotSegModule.scene.removal import remove
from FewShotSegModule.scene.required import inScene

_SEGMENTATION, _PICTURE, _RECORD = "segmentation.seg.nrrd", "picture.png", "record.json"
#: How many slices of one case are kept at once; neighbouring ones show nearly the same.
_MOST_KEPT = 24


@dataclass(frozen=True)
class ReviewCase:
    """A case of a cohort, as far as its files tell.

    :param name: What it is called.
    :param query: Path of its volume.
    :param folder: Its results.
    :param doubts: Why somebody should look at it; of a failed case, why it failed.
    :param failed: Whether there is no result.
    :param written: When the results were written, in nanoseconds.
    """

    name: str
    query: str
    folder: Path
    doubts: tuple[str, ...]
    failed: bool
    written: int

    @property
    def picture(self) -> Path:
        """A picture of the result; it may be missing."""
        return self.folder / _PICTURE


class CaseReader:
    """Reads the cases in an output folder, again and again: each file once, as long as it stays the same."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, Record]] = {}

    def read(self, output: str | Path) -> list[ReviewCase]:
        """The cases, those first that somebody should look at."""
        known: dict[Path, tuple[int, Record]] = {}
        for path in sorted(Path(output).glob(f"cases/*/{_RECORD}")):
            try:
                written = path.stat().st_mtime_ns
                before = self._known.get(path)
                if before is not None and before[0] == written:
                    known[path] = before
                else:
                    known[path] = written, Record.from_json(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):  # it is being replaced, or is no record
                continue
        self._known = known
        times = {record.case: written for written, record in known.values()}
        return [
            ReviewCase(
                record.case,
                record.query,
                Path(output) / "cases" / record.case,
                (record.error,) if record.status == FAILED else tuple(doubts),
                record.status == FAILED,
                times[record.case],
            )
            for record, doubts in in_order([record for _written, record in known.values()])
        ]


class CaseInScene:
    """A case's volume and segmentation as nodes, to be looked at and corrected.

    A volume of the scene that was segmented is taken as it is there, and stays there.

    :param case: The case.
    :raises SceneError: Its volume or result can't be loaded.
    """

    def __init__(self, case: ReviewCase) -> None:
        self.case = case
        self.segmentation: Any = None
        own = volumeOfFile(case.query)
        self._isLoaded = own is None
        self.volume = _load(slicer.util.loadVolume, _fileOf(Path(case.query)), case.name) if own is None else own
        if self._isLoaded:
            markReviewed(self.volume)
        if case.failed:
            return
        try:
            self.segmentation = _load(slicer.util.loadSegmentation, case.folder / _SEGMENTATION, case.name)
            self.takeAsFound()
            #: Files of results have no terminology, so Slicer says "tissue" of each segment.
            self._tags = {info.name: info.tag for info in Painted(self.volume, self.segmentation).segments()}
        except SceneError:
            self.remove()
            raise

    @property
    def isThere(self) -> bool:
        """Whether its nodes are in the scene."""
        return inScene(self.volume) and (self.segmentation is None or inScene(self.segmentation))

    def correctedSlices(self) -> list[tuple[int, int]]:
        """Slices (axis, index) of the volume that show something else now than the result did.

        :raises SceneError: A node was removed, or there is no result.
        """
        if self.segmentation is None or not self.isThere:
            raise SceneError(_("The case is not in the scene any more; open it again."))
        now = Painted(self.volume, self.segmentation)
        names = ["", *(info.name for info in now.segments())]
        labels = now.whole()
        if names[1:] != self._segments:  # added, removed or sorted since
            places = {name: number for number, name in enumerate(["", *self._segments])}
            labels = np.array([places.get(name, -1) for name in names])[labels]
        spacing = np.linalg.norm(geometry.ijkToRas(self.volume)[:3, :3], axis=0)[::-1]
        return paintedSlices(np.argwhere(labels != self._found), spacing.tolist())

    def examplesOn(self, slices: list[tuple[int, int]]) -> tuple[list[Example], dict[int, str]]:
        """Slices of the case as examples on which all of its segments are painted completely.

        :return: The examples, and terminology by label value, where somebody has said it since.
        """
        painted = Painted(self.volume, self.segmentation)
        infos = painted.segments()
        values = {name: value for value, name in enumerate(dict.fromkeys(info.name for info in infos), start=1)}
        table = np.array([0, *(values[info.name] for info in infos)])
        # Also of those that are on none of the slices: where all was erased, they are not.
        names = {value: name for name, value in values.items()}
        colors = {values[info.name]: info.color for info in reversed(infos)}
        image = geometry.volumeOf(self.volume)
        examples = [
            Example(image, axis, index, table[painted.plane(axis, index)], names, colors, complete="all")
            for axis, index in slices
        ]
        said = {values[info.name]: info.tag for info in infos if info.tag != self._tags.get(info.name)}
        return examples, said

    def takeAsFound(self) -> None:
        """What is there now counts as the result from here on."""
        painted = Painted(self.volume, self.segmentation)
        self._found, self._segments = painted.whole(), [info.name for info in painted.segments()]

    def remove(self) -> None:
        """Takes the case out of the scene."""
        remove(self.segmentation)
        if self._isLoaded:
            remove(self.volume)


def keepCorrections(case: CaseInScene, path: str) -> tuple[int, int]:
    """Adds corrected slices of a case to a library, as completely painted; they count as its result from here on.

    :param path: The library, which is made where it is missing.
    :return: How many slices were added, of how many that were corrected: of very many, some that are spread over them.
    :raises FewShotSegError: Nothing was corrected, or the library can't be opened or written; then it stays as it was.
    """
    corrected = case.correctedSlices()
    if not corrected:
        raise SceneError(
            _("Nothing was changed in {name} yet; correct it on some slices first.").format(name=case.case.name)
        )
    kept = evenlySpread(corrected, _MOST_KEPT)
    examples, terminology = case.examplesOn(kept)
    library = Library.open(path) if Path(path).exists() else Library()
    library.add(examples, terminology=terminology, replace_slices=True)
    library.save(path)
    case.takeAsFound()
    return len(kept), len(corrected)


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
