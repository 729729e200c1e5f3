"""The report of a result as a page with pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from FewShotSegLib.files.outputs import check_page_writable, write_page
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.preview import queryOf
from FewShotSegModule.scene.report_table import labelmapOf, measuresOf


def writeReportPage(preview: Any, path: str, confidence: Any = None, rows: Iterable[ExampleSlice] = ()) -> None:
    """Writes volume, surface, painted slices, mean confidence and pictures of each segment, the most doubtful first.

    :param preview: The preview.
    :param path: Of the page; its ending is ".html".
    :param confidence: The volume with its confidence; None where nobody said how sure it is.
    :param rows: The examples; those on its volume are counted.
    :raises FewShotSegError: The volume is gone, or the page can't be written.
    """
    check_page_writable(path)
    from FewShotSegLib.report.page import report_page

    measures = measuresOf(preview, confidence, rows)
    write_page(path, report_page(geometry.volumeOf(queryOf(preview)), labelmapOf(preview), measures))
