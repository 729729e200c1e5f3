"""``python -m FewShotSegLib.demo``: segment the sample scan from a few of its slices, score it, draw it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.progress import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the shell.

    Returns:
        0, or 1 when the engine had a reason not to segment; the reason is on standard error.
    """
    options = _parser().parse_args(arguments)
    # Imported late, so that --help answers at once.
    from FewShotSegLib.demo.run import run_demo, write_outcome
    from FewShotSegLib.demo.sample_scan import load_sample_scan
    from FewShotSegLib.demo.scores import NOT_ACCURACY
    from FewShotSegLib.segmenter import Segmenter

    try:
        scan = load_sample_scan()
        segmenter = Segmenter(device=options.device)
        progress = Progress()
        try:
            outcome = run_demo(scan, segmenter, options.slices, progress)
        finally:
            progress.close()
        files = write_outcome(outcome, scan, options.output, options.device)
    except FewShotSegError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"Painted slices {', '.join(map(str, outcome.painted))} of {scan.image.shape[0]}; scored on all others.\n")
    print(outcome.table)
    print(f"\n{NOT_ACCURACY}\n")
    print("Written:", *files, sep="\n  ")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m FewShotSegLib.demo",
        description="Segment the sample scan (CT of abdomen and pelvis) from a few of its slices with the bundled "
        "weights, compare the result with the scan's labels and with what needs no network, and draw it.",
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the results (%(default)s)")
    parser.add_argument("--slices", type=int, default=5, choices=range(1, 11), help="painted slices (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
