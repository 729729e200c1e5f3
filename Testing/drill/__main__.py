"""`make drill`: carries out all rows and writes the table of what was done, expected and got."""

from __future__ import annotations

import argparse
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from . import bad_input, shell_faults
from .row import Row

RESULTS = Path(__file__).with_name("results.md")
LEAST = {"Bad inputs": 60, "Injected faults": 40}


def groups() -> dict[str, list[Row]]:
    """All rows that can be carried out here."""
    faults = [*shell_faults.ROWS]
    if find_spec("slicer") is not None:
        from . import scene_faults

        faults += scene_faults.ROWS
    return {"Bad inputs": bad_input.ROWS, "Injected faults": faults}


def main() -> int:
    """Returns 1 if something else was got than expected."""
    parser = argparse.ArgumentParser(prog="drill", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="rows whose name holds this; nothing is written then"
    )
    only = parser.parse_args().only
    text = "# Drill\n\nWhat was done, what was to come of it, and what did. Written by `make drill`.\n"
    failed = 0
    for title, rows in groups().items():
        chosen = [row for row in rows if only in row.did]
        lines = []
        for number, row in enumerate(chosen, start=1):
            begin = time.monotonic()
            good, got = row.carry_out()
            failed += not good
            print(
                f"[{title} {number}/{len(chosen)}] {'ok' if good else 'NOT AS EXPECTED'} {row.did}: {got[:300]}"
                f" ({time.monotonic() - begin:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
            cells = (row.did, row.expected, got if good else f"**{got}**")
            lines.append(f"| {number} | " + " | ".join(_cell(cell) for cell in cells) + " |")
        text += f"\n## {title}: {len(chosen)}\n\n| | done | expected | got |\n| --- | --- | --- | --- |\n"
        text += "\n".join(lines) + "\n"
    if not only:
        RESULTS.write_text(text, encoding="utf-8")
    print(f"{failed} not as expected" if failed else "all as expected", file=sys.stderr)
    return 1 if failed else 0


def _cell(text: str) -> str:
    """A text as a cell of a table: short, and without what differs from run to run."""
    plain = re.sub(r"(/\S*?)?(?:drill|FewShotSeg)-\w+/?", "", " ".join(text.split())).replace("|", r"\|")
    return plain if len(plain) <= 180 else plain[:177] + "..."


if __name__ == "__main__":
    sys.exit(main())
