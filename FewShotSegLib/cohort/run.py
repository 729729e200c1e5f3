"""A run over the cases of a cohort; it goes on where an earlier one was stopped, by whatever."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from FewShotSegLib.cohort.cases import Case
from FewShotSegLib.cohort.record import Record
from FewShotSegLib.cohort.report import write_report
from FewShotSegLib.cohort.store import Store
from FewShotSegLib.cohort.work import CaseWork

# The report is written anew while the run goes on, at most once in so many seconds.
_REPORT_EVERY = 60.0
_USUAL = "library.json"


class Cases(Protocol):
    """Does the work of cases: one after the other in this process, or many at once on others."""

    def __call__(self, cases: Sequence[Case], store: Store, done: Callable[[float], None]) -> Iterator[Record]:
        """Yields the record of each case when it is written, in any order.

        Args:
            cases: those to do.
            store: where results go.
            done: told how many cases are done, of the one at work a part.
        """


class OneAfterTheOther:
    """Cases in this process."""

    def __init__(self, work: CaseWork) -> None:
        self._work = work

    def __call__(self, cases: Sequence[Case], store: Store, done: Callable[[float], None]) -> Iterator[Record]:
        """See `Cases`."""
        for number, case in enumerate(cases):
            yield self._work.run(case, store, lambda part, number=number: done(number + part))  # type: ignore[misc]


def run_cohort(
    cases: Sequence[Case],
    store: Store,
    work: CaseWork,
    do: Cases | None = None,
    progress: Callable[[str, float, int, str], None] = lambda *_: None,
    told: Callable[[Record], None] = lambda _: None,
) -> tuple[list[Record], list[str]]:
    """Segments what is not segmented yet, and writes the report.

    Args:
        cases: all of them.
        store: where results go.
        work: how.
        do: who does it; this process, one case after the other, if None.
        progress: called with (what, cases done, of how many, time left).
        told: called with the record of each case that was worked on.

    Returns:
        records of all cases in their order, and the report's files.

    Raises:
        SettingError: another run writes into the folder, or workers can't be reached.
        WriteError: something can't be written.
    """
    with store.locked():
        work.usual = _usual_likeness(store, work, progress)
        records = {case.name: store.record(case.name) for case in cases}
        left = [case for case in cases if not work.is_done(case, records[case.name])]
        before = len(cases) - len(left)
        began = reported = time.monotonic()

        def done(count: float) -> None:
            progress("segmenting", before + count, len(cases), _left(count, len(left), time.monotonic() - began))

        if left:
            done(0.0)
        finished = 0
        try:
            for record in (do or OneAfterTheOther(work))(left, store, done):
                finished += 1
                records[record.case] = record
                told(record)
                done(float(finished))
                if time.monotonic() - reported > _REPORT_EVERY:
                    write_report(store, _known(cases, records))
                    reported = time.monotonic()
        finally:
            files = write_report(store, _known(cases, records))  # also of what a stopped run has done
        return _known(cases, records), files


def _known(cases: Sequence[Case], records: dict[str, Record | None]) -> list[Record]:
    return [record for case in cases if (record := records[case.name]) is not None]


def _left(count: float, total: int, seconds: float) -> str:
    """The time that is left, once it can be told."""
    if count < 0.2:
        return ""
    left = seconds / count * (total - count)
    if left < 90:
        return f"{max(round(left), 1)} s left"
    return f"{round(left / 60)} min left" if left < 5400 else f"{left / 3600:.1f} h left"


def _usual_likeness(store: Store, work: CaseWork, progress: Callable[[str, float, int, str], None]) -> float:
    """How like each other the library's scans are; found once for a library, and kept beside the results."""
    path = store.folder / _USUAL
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["library"] == work.library:
            return math.nan if kept["likeness"] is None else float(kept["likeness"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is found anew
    found = work.usual_likeness(lambda part: progress("comparing the scans", 100 * part, 100, ""))
    kept = {"library": work.library, "likeness": None if math.isnan(found) else found}
    path.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return found
