"""What speaks against the result of a case: reasons, in words, for somebody to look at it first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from FewShotSegLib.cohort.record import DONE, Record
from FewShotSegLib.report.measures import SegmentMeasures, voxels_of
from FewShotSegLib.volume import Volume

# Scans of one protocol and part of the body have at least the first (the likest of three: .76 or more, of eight scans
# each of CHAOS, CMR and SABS), others hardly more; where scans of a library are liker to each other, a case must not
# fall far behind.
LEAST_LIKENESS, BEHIND = 0.70, 0.06
# Volumes of a structure over a cohort: deviations of their logarithms, by the median, beyond which one stands out, and
# how many cases there must be to say so.
_FAR, _LEAST_CASES, _LEAST_SPREAD = 3.5, 6, 0.1


def doubts_about(
    query: Volume, examples: Sequence[Volume], likeness: float, usual: float, measures: Sequence[SegmentMeasures]
) -> list[str]:
    """Doubts that the case itself gives.

    Args:
        query: the volume.
        examples: the scans that the examples are of.
        likeness: of the likest of them, see `Session.likeness`.
        usual: what scans of the library have among themselves; nan where that is not known.
        measures: of what was found.
    """
    from FewShotSegLib.preprocessing.intensity import in_hounsfield_units  # brings torch along

    doubts = []
    is_ct = in_hounsfield_units(query.array)
    if not any(in_hounsfield_units(example.array) == is_ct for example in examples):
        doubts.append(f"the scan is {'a CT, and none' if is_ct else 'no CT, and each'} of the library's is")
    least = LEAST_LIKENESS if math.isnan(usual) else max(LEAST_LIKENESS, usual - BEHIND)
    if likeness < least:
        doubts.append(
            f"the scan is unlike those of the library (likeness {likeness:.2f}, expected {least:.2f} or more): another "
            "modality, contrast or part of the body?"
        )
    for m in measures:
        if not voxels_of(m):
            doubts.append(f"{m.name} was not found")
        elif m.is_doubtful:
            doubts.append(f"{m.name} is unsure (mean confidence {m.confidence:.2f})")
    return doubts


def in_order(records: Sequence[Record]) -> list[tuple[Record, list[str]]]:
    """Cases with all their doubts: failed ones first, then those with most doubts, then the least sure.

    Args:
        records: of all cases.
    """
    by_size = doubts_by_size(records)
    found = [(record, [*record.doubts, *by_size.get(record.case, ())]) for record in records]

    def rank(item: tuple[Record, list[str]]) -> tuple[bool, int, float]:
        record, doubts = item
        sure = record.mean_confidence if doubts else 0.0  # others stay in their order
        return record.status == DONE, -len(doubts), sure if math.isfinite(sure) else 0.0

    return sorted(found, key=rank)


def doubts_by_size(records: Sequence[Record]) -> dict[str, list[str]]:
    """Doubts that the other cases give: structures much larger or smaller than in most.

    Args:
        records: of all cases.

    Returns:
        by case; only cases with such doubts.
    """
    sizes: dict[str, list[tuple[str, float]]] = {}
    for record in records:
        for s in record.structures if record.status == DONE else ():
            if s.volume_ml > 0:
                sizes.setdefault(s.name, []).append((record.case, s.volume_ml))
    doubts: dict[str, list[str]] = {}
    for name, found in sizes.items():
        if len(found) < _LEAST_CASES:
            continue
        logs = np.log([size for _, size in found])
        middle = float(np.median(logs))
        spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)  # as of a normal distribution
        for (case, size), far in zip(found, (logs - middle) / spread, strict=True):
            if abs(far) > _FAR:
                kind = "larger" if far > 0 else "smaller"
                doubts.setdefault(case, []).append(
                    f"{name} is much {kind} than in most cases ({size:.1f} ml, median {math.exp(middle):.1f} ml)"
                )
    return doubts
