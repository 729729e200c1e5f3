"""The report of a cohort: tables for statistics, and one page with pictures, doubtful cases first."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from FewShotSegLib.cohort.doubts import in_order
from FewShotSegLib.cohort.record import DONE, FAILED, Record, Structure
from FewShotSegLib.cohort.store import PICTURE, SEGMENTATION, Store
from FewShotSegLib.files.outputs import write_page
from FewShotSegLib.report.page import STYLE

CASES, STRUCTURES, PAGE = "cases.csv", "structures.csv", "report.html"
_MORE_STYLE = """
body { max-width: 78em }
article { display: flex; gap: 1.2em; border-top: 1px solid #ddd; padding: 1em 0; break-inside: avoid }
article > div { flex: 1 }
article img { width: 240px; height: 240px; object-fit: contain; background: #000 }
article h2 { margin: 0 0 .3em }
article table { width: auto; font-size: .9em }
ul { margin: .2em 0 .6em; padding-left: 1.2em; color: #8a5a00 }
.failed h2, .failed p { color: #a02020 }
"""


def write_report(store: Store, records: Sequence[Record]) -> list[str]:
    """Writes tables and page into the output folder, each whole or not at all.

    Args:
        store: with the cases' results.
        records: of all cases that were tried, in their order.

    Returns:
        paths of the files.

    Raises:
        WriteError: one can't be written.
    """
    found = in_order(records)
    doubts = {record.case: doubts for record, doubts in found}
    files = {
        CASES: _table(_CASE_COLUMNS, (_case_row(r, doubts[r.case]) for r in records)),
        STRUCTURES: _table(_STRUCTURE_COLUMNS, (row for r in records for row in _structure_rows(r))),
        PAGE: _page(found),
    }
    for name, text in files.items():
        write_page(store.folder / name, text)
    return [str(store.folder / name) for name in files]


_CASE_COLUMNS = [
    "case",
    "status",
    "doubtful",
    "doubts",
    "likeness",
    "mean_confidence",
    "seconds",
    "warnings",
    "error",
    "segmentation",
    "query",
]
_STRUCTURE_COLUMNS = [
    "case",
    "structure",
    "label",
    "voxels",
    "volume_ml",
    "surface_cm2",
    "confidence",
    "spacing_i_mm",
    "spacing_j_mm",
    "spacing_k_mm",
]


def _case_row(r: Record, doubts: list[str]) -> list[object]:
    segmentation = f"cases/{r.case}/{SEGMENTATION}" if r.status == DONE else ""
    return [
        r.case,
        r.status,
        int(bool(doubts) or r.status == FAILED),
        "; ".join(doubts),
        _number(r.likeness, 3),
        _number(r.mean_confidence, 3),
        _number(r.seconds, 1),
        "; ".join(r.warnings),
        r.error,
        segmentation,
        r.query,
    ]


def _structure_rows(r: Record) -> Iterable[list[object]]:
    for s in r.structures if r.status == DONE else ():
        numbers = (_number(s.volume_ml, 4), _number(s.surface_cm2, 3), _number(s.confidence, 4))
        yield [r.case, s.name, s.label, s.voxels, *numbers, *(f"{mm:.6g}" for mm in r.spacing)]


def _number(value: float, digits: int) -> str:
    """Nothing where there is no number: pandas and R read that as missing."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _page(found: Sequence[tuple[Record, list[str]]]) -> str:
    failed = sum(r.status == FAILED for r, _ in found)
    doubtful = sum(r.status == DONE and bool(doubts) for r, doubts in found)
    fine = len(found) - failed - doubtful
    said = f"{len(found)} cases: {failed} failed, {doubtful} to look at first, {fine} without doubt."
    articles = "".join(_article(r, doubts) for r, doubts in found)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Cohort</title><style>{STYLE}{_MORE_STYLE}</style></head>
<body>
<h1>Cohort</h1>
<p>{said} Confidence is the mean over the voxels of a structure. Made by FewShotSeg from examples of other patients; no
medical finding.</p>
{articles}
</body>
</html>
"""


def _article(r: Record, doubts: list[str]) -> str:
    if r.status == FAILED:
        return f'<article class="failed"><div><h2>{escape(r.case)}</h2><p>{escape(r.error)}</p></div></article>\n'
    folder = f"cases/{quote(r.case)}"
    reasons = "".join(f"<li>{escape(text)}</li>" for text in (*doubts, *r.warnings))
    rows = "".join(_row(s) for s in r.structures)
    return f"""<article>
<a href="{folder}/{SEGMENTATION}"><img alt="" loading="lazy" src="{folder}/{PICTURE}"></a>
<div><h2>{escape(r.case)}</h2>{f"<ul>{reasons}</ul>" if reasons else ""}
<table><thead><tr><th>Structure</th><th>Volume (ml)</th><th>Surface (cm²)</th><th>Confidence</th></tr></thead>
<tbody>{rows}</tbody></table></div>
</article>
"""


def _row(s: Structure) -> str:
    color = ", ".join(str(round(255 * c)) for c in s.color)
    dot = f'<span class="dot" style="background: rgb({color})"></span>'
    sure = f"{s.confidence:.2f}" if math.isfinite(s.confidence) else "not found"
    cells = (dot + escape(s.name), f"{s.volume_ml:.1f}", f"{s.surface_cm2:.1f}", sure)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
