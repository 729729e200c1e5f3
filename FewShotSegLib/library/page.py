"""What is in a library, as a table of text and as a page with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from FewShotSegLib.library.entry import Entry, LibrarySegment
from FewShotSegLib.library.library import Library
from FewShotSegLib.library.picture import picture_of
from FewShotSegLib.pictures.png import data_uri
from FewShotSegLib.volume import AXIS_NAMES

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 62em; margin: 2em auto }
table { border-collapse: collapse }
th, td { padding: .3em .8em; text-align: left; border-bottom: 1px solid #ddd }
.dot { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .5em }
section { display: inline-block; vertical-align: top; width: 220px; margin: 1.2em 1em 0 0; overflow-wrap: anywhere }
h2 { font-size: 1.05em; margin: .4em 0 0 }
p { margin: 0; color: #555; font-size: .9em }
img { display: block; border-radius: 3px }
"""


def lines_of(library: Library) -> Iterator[str]:
    """What is in a library, line by line. What a stranger's texts could do to a terminal is taken out of them."""
    yield f"{'value':>5}  {'structure':<28} {'scans':>5} {'slices':>6}"
    for segment in library.segments:
        scans, slices = _counts(library, segment)
        yield f"{segment.value:5d}  {_plain(segment.name):<28} {scans:5d} {slices:6d}"
    yield ""
    for entry in library.entries:
        yield f"{entry.id}: {_plain(entry.title)}, {_size(entry)}, painted: {_painted(entry)}"
        if entry.origin:
            yield f"    {_plain(entry.origin)}"


def library_page(library: Library, title: str) -> str:
    """A page with a picture of each scan, which needs nothing but itself.

    Args:
        library: All its scans are read.
        title: Of the page.

    Returns:
        HTML; all texts of the library are escaped.

    Raises:
        ReadError: A scan's file is gone or damaged.
    """
    rows = "".join(_row(library, segment) for segment in library.segments)
    sections = "".join(_section(entry, library.segments) for entry in library.entries)
    title = escape(title)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>
<body>
<h1>{title}</h1>
<table>
<thead><tr><th>Structure</th><th>Value</th><th>Scans</th><th>Painted slices</th></tr></thead>
<tbody>{rows}</tbody>
</table>
{sections}
</body>
</html>
"""


def _row(library: Library, segment: LibrarySegment) -> str:
    color = ", ".join(str(round(255 * share)) for share in segment.color)
    dot = f'<span class="dot" style="background: rgb({color})"></span>'
    scans, slices = _counts(library, segment)
    return f"<tr><td>{dot}{escape(segment.name)}</td><td>{segment.value}</td><td>{scans}</td><td>{slices}</td></tr>"


def _section(entry: Entry, segments: Sequence[LibrarySegment]) -> str:
    texts = [_size(entry), f"painted: {_painted(entry)}", *([entry.origin] if entry.origin else [])]
    lines = "".join(f"<p>{escape(text)}</p>" for text in texts)
    picture = data_uri(picture_of(entry, segments))
    return f'<section><img alt="" src="{picture}"><h2>{escape(entry.title)} ({entry.id})</h2>{lines}</section>'


def _counts(library: Library, segment: LibrarySegment) -> tuple[int, int]:
    """On how many scans and slices a label is painted."""
    counts = [sum(bool((painted.mask == segment.value).any()) for painted in e.slices) for e in library.entries]
    return sum(count > 0 for count in counts), sum(counts)


def _size(entry: Entry) -> str:
    voxels = " x ".join(str(count) for count in reversed(entry.shape))
    return f"{voxels} voxels of {' x '.join(f'{mm:.3g}' for mm in entry.spacing)} mm"


def _painted(entry: Entry) -> str:
    """The slices by axis, runs of them in short: "k 3, 5-9; i 40"."""
    texts = []
    for axis, name in enumerate(AXIS_NAMES):
        indices = sorted(painted.index for painted in entry.slices if painted.axis == axis)
        runs: list[list[int]] = []
        for index in indices:
            if runs and index == runs[-1][1] + 1:
                runs[-1][1] = index
            else:
                runs.append([index, index])
        if runs:
            texts.append(f"{name} " + ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs))
    return "; ".join(texts)


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
