"""A result as one page with pictures, which needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from FewShotSegLib.pictures.png import data_uri
from FewShotSegLib.report.measures import SegmentMeasures
from FewShotSegLib.report.slice_png import Window, slice_png, window_of_structures
from FewShotSegLib.volume import Volume

_PICTURE = (220, 220)
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 62em; margin: 2em auto }
h1 { font-size: 1.5em; margin-bottom: 0 }
h2 { font-size: 1.1em }
p { margin: .4em 0 1.2em; color: #555 }
table { border-collapse: collapse; width: 100% }
th, td { padding: .4em .7em; text-align: right; border-bottom: 1px solid #ddd }
th { font-weight: 600; color: #555 }
th:first-child, td:first-child { text-align: left }
.doubtful { background: #fff4dd }
.dot { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .5em }
section { break-inside: avoid; margin-top: 1.6em }
figure { display: inline-block; margin: 0 1em 1em 0 }
figcaption { color: #555; font-size: .85em }
img { display: block; border-radius: 3px }
"""


def report_page(image: Volume, labelmap: Volume, measures: Sequence[SegmentMeasures]) -> str:
    """The page.

    Args:
        image: What was segmented.
        labelmap: Its labels, on the same grid.
        measures: Of `measure`, in the order that they are to be shown in.

    Returns:
        HTML with everything in it. Names are escaped.
    """
    doubtful = [m.name for m in measures if m.is_doubtful]
    said = "To look at first: " + ", ".join(doubtful) + "." if doubtful else "Nothing is doubtful."
    rows = "".join(_row(m) for m in measures)
    window = window_of_structures(image, labelmap)
    sections = "".join(_section(m, image, labelmap, measures, window) for m in measures if m.middle is not None)
    title = escape(image.name or "Segmentation")
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body>
<h1>{title}</h1>
<p>{escape(said)} Confidence is the mean over the voxels of a structure. Made by FewShotSeg from painted slices; no
medical finding.</p>
<table>
<thead><tr><th>Structure</th><th>Volume (ml)</th><th>Surface (cm²)</th><th>Painted slices</th><th>Confidence</th></tr>
</thead>
<tbody>{rows}</tbody>
</table>
{sections}
</body>
</html>
"""


def _row(m: SegmentMeasures) -> str:
    cells = [
        _dot(m) + escape(m.name),
        f"{m.volume_ml:.1f}",
        f"{m.surface_cm2:.1f}",
        str(m.painted),
        "not found" if math.isnan(m.confidence) else f"{m.confidence:.2f}",
    ]
    kind = ' class="doubtful"' if m.is_doubtful else ""
    return f"<tr{kind}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _dot(m: SegmentMeasures) -> str:
    color = ", ".join(str(round(255 * c)) for c in m.color)
    return f'<span class="dot" style="background: rgb({color})"></span>'


def _section(
    m: SegmentMeasures, image: Volume, labelmap: Volume, measures: Sequence[SegmentMeasures], window: Window
) -> str:
    assert m.middle is not None
    assert m.least_sure is not None
    shown = [(m.middle, "largest")] + ([(m.least_sure, "least sure")] if m.least_sure != m.middle else [])
    figures = "".join(
        f'<figure><img alt="" src="{data_uri(slice_png(image, labelmap, measures, k, _PICTURE, window, m))}">'
        f"<figcaption>slice {k}, {why}</figcaption></figure>"
        for k, why in shown
    )
    return f"<section><h2>{_dot(m)}{escape(m.name)}</h2>{figures}</section>"
