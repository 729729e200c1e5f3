"""One case of a cohort: read, segmented from the library's examples, measured, doubted, written."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from FewShotSegLib import __version__, threads
from FewShotSegLib.cohort.cases import Case
from FewShotSegLib.cohort.doubts import doubts_about
from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.cohort.store import CONFIDENCE, PICTURE, SEGMENTATION, Store
from FewShotSegLib.errors import Cancelled, FewShotSegError, WriteError
from FewShotSegLib.example import Example, check_examples
from FewShotSegLib.files.writing import write_volumes
from FewShotSegLib.memory import is_out_of_memory
from FewShotSegLib.quality import DEFAULT
from FewShotSegLib.report.measures import SegmentMeasures, measure
from FewShotSegLib.report.slice_png import slice_png, window_of_structures
from FewShotSegLib.result import Result
from FewShotSegLib.volume import Volume

_PICTURE = (360, 360)
# Confidence is written in steps that compress well: nobody reads more out of it.
_STEPS = 100
_REGISTERED_WITHIN = 4
Overall = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """What decides results besides volumes and examples.

    Attributes:
        quality: "fast" or "best".
        device: as of `Segmenter`.
        threads: of one case. Their number changes sums in the last digits, and thereby a voxel here and there.
    """

    quality: str = DEFAULT
    device: str = "auto"
    threads: int = 1


class CaseWork:
    """Segments cases from examples; network and examples are loaded, encoded and adapted to once.

    Args:
        examples: painted slices of other volumes.
        settings: see there.
        library: digest of what the examples are from.
        usual: how like each other the examples' scans are, see `usual_likeness`; nan if that is not known.

    Raises:
        ExampleError: the examples can't be used together.
        DeviceError, WeightsError: as of `Segmenter`.
    """

    def __init__(self, examples: Sequence[Example], settings: Settings, library: str, usual: float = math.nan) -> None:
        check_examples(examples)
        threads.use(settings.threads)
        from FewShotSegLib.segmenter import Segmenter  # torch takes seconds
        from FewShotSegLib.weights import BUNDLED, checksum

        self.settings, self.library, self.usual = settings, library, usual
        self._segmenter = Segmenter(device=settings.device)
        self._examples: dict[int, list[Example]] = {}
        for example in examples:
            self._examples.setdefault(id(example.image), []).append(example)
        self._digests = {key: _digest_of(items) for key, items in self._examples.items()}
        self._engine = f"{__version__} {checksum(BUNDLED)} {settings.quality} {settings.threads}"

    def usual_likeness(self, overall: Overall = lambda _: None) -> float:
        """How like the likest other one scans of the library are, -1 to 1, the median of some; nan of a single scan.

        Args:
            overall: called with the part that is done, 0 to 1.
        """
        groups = list(self._examples.values())
        found = []
        for number, group in enumerate(groups[:_REGISTERED_WITHIN]) if len(groups) > 1 else ():
            overall(number / min(len(groups), _REGISTERED_WITHIN))
            session = self._segmenter.session(group[0].image)
            for others in groups[:number] + groups[number + 1 :]:
                for example in others:
                    session.add(example)
            found.append(session.likeness()[0][1])
        return float(np.median(found)) if found else math.nan

    def is_done(self, case: Case, record: Record | None) -> bool:
        """Whether a record is of this case as it is, with this library and these settings; nothing is read."""
        return (
            record is not None
            and record.status == DONE
            and record.library == self.library
            and record.file_state == file_state(case.path)
            and record.work.startswith(self._engine_digest)
        )

    def run(self, case: Case, store: Store, overall: Overall = lambda _: None) -> Record:
        """Segments a case and writes its results; what is there already and would come out the same stays.

        What is wrong with the case is written into its record; the output's troubles are raised.

        Args:
            case: which.
            store: where its results go.
            overall: called with the part that is done, 0 to 1; what it raises stops the work.

        Raises:
            WriteError: its results can't be written.
        """
        before = store.record(case.name)
        if self.is_done(case, before):
            assert before is not None
            return before
        began = time.monotonic()
        said = _Said()
        package = logging.getLogger("FewShotSegLib")
        package.addHandler(said)
        try:
            return self._segmented(case, store, before, said, began, overall)
        except (WriteError, Cancelled):
            raise
        except Exception as error:  # one bad case must not end the run of all others
            text = str(error) if isinstance(error, FewShotSegError) else f"{type(error).__name__}: {error}"
            if is_out_of_memory(error):
                text = "there is not enough memory for it"
            return self._failed(case, store, text, said, began)
        finally:
            package.removeHandler(said)

    def _segmented(
        self, case: Case, store: Store, before: Record | None, said: _Said, began: float, overall: Overall
    ) -> Record:
        state = file_state(case.path)
        query = Volume.read(case.path)
        session = self._segmenter.session(query)
        keys: dict[int, list[int]] = {}
        for number, items in self._examples.items():
            keys[number] = [session.add(example) for example in items]
        alike = session.likeness(lambda *_: overall(0.0))
        # Of a scan that the library has itself, its own slices serve, whatever else is like it.
        own = [items[0].image for items in self._examples.values() if items[0].image.shows_the_same(query)]
        used = [id(volume) for volume in [*own, *session.likest(alike)]]
        for number in keys.keys() - set(used):
            for key in keys[number]:
                session.remove(key)
        digests = tuple(sorted(self._digests[number] for number in used))
        work = self._engine_digest + _digest(repr((_digest_of_volume(query), digests)))
        if before is not None and before.status == DONE and before.work == work:
            same = replace(before, library=self.library, file_state=state, query=case.path)
            store.note(same)
            return same
        result = session.predict(quality=self.settings.quality, overall=overall)
        values = {value for items in self._examples.values() for example in items for value in example.values}
        measures = measure(result.labelmap, result.confidence, {}, values)
        likeness = 1.0 if own else alike[0][1]
        volumes = [*own, *(volume for volume, _ in alike)]
        record = Record(
            case=case.name,
            query=case.path,
            status=DONE,
            work=work,
            file_state=state,
            examples=digests,
            library=self.library,
            doubts=tuple(doubts_about(query, volumes, likeness, self.usual, measures)),
            warnings=tuple(said.texts),
            likeness=round(likeness, 4),
            spacing=query.spacing,
            shape=query.shape,
            seconds=round(time.monotonic() - began, 2),
            structures=tuple(_structure(m, result.labelmap) for m in sorted(measures, key=lambda m: m.value)),
        )
        store.write(record, lambda folder: _write(folder, query, result, measures))
        return record

    def _failed(self, case: Case, store: Store, error: str, said: _Said, began: float) -> Record:
        record = Record(
            case=case.name,
            query=case.path,
            status=FAILED,
            library=self.library,
            error=error,
            warnings=tuple(said.texts),
            seconds=round(time.monotonic() - began, 2),
        )
        store.write(record)
        return record

    @property
    def _engine_digest(self) -> str:
        return _digest(self._engine)[:16]


class _Said(logging.Handler):
    """Collects what the package warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def file_state(path: str) -> str:
    """Size and time of change of a file, or of all files of a folder; "" where there is none."""
    place = Path(path)
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    try:
        found = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    except OSError:
        return ""
    return _digest(json.dumps(found))


def _write(folder: Path, query: Volume, result: Result, measures: Sequence[SegmentMeasures]) -> None:
    confidence = result.confidence
    rounded = (np.rint(confidence.array * _STEPS) / _STEPS).astype(np.float32)
    write_volumes(
        [
            (result.labelmap, folder / SEGMENTATION),
            (confidence.with_array(rounded, name=confidence.name), folder / CONFIDENCE),
        ]
    )
    labels = result.labelmap.array
    areas = np.count_nonzero(labels, axis=(1, 2))
    k = int(areas.argmax()) if areas.any() else len(labels) // 2
    window = window_of_structures(query, result.labelmap)
    (folder / PICTURE).write_bytes(slice_png(query, result.labelmap, measures, k, _PICTURE, window))


def _structure(m: SegmentMeasures, labelmap: Volume) -> Structure:
    voxels = round(m.volume_ml * 1000 / labelmap.voxel_volume)
    return Structure(
        m.value, m.name, m.color, voxels, round(m.volume_ml, 4), round(m.surface_cm2, 3), round(m.confidence, 4)
    )


def _digest_of(examples: Sequence[Example]) -> str:
    """Of one scan's painted slices, with the scan."""
    digest = hashlib.blake2b(_digest_of_volume(examples[0].image).encode(), digest_size=16)
    for e in sorted(examples, key=lambda e: (e.axis, e.index)):
        complete = e.complete if e.complete is None or isinstance(e.complete, str) else sorted(e.complete)
        names = sorted((v, e.names.get(v, "")) for v in e.values)
        digest.update(repr((e.axis, e.index, complete, e.background, names)).encode())
        digest.update(e.mask.tobytes())
    return digest.hexdigest()


def _digest_of_volume(volume: Volume) -> str:
    grid = volume.shape, volume.array.dtype.str, volume.spacing, volume.origin, volume.direction
    digest = hashlib.blake2b(repr(grid).encode(), digest_size=16)
    for plane in volume.array:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
