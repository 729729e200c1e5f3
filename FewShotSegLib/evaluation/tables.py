"""All tables from raw results, without data or weights: ``python -m FewShotSegLib.evaluation.tables FILE ...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from FewShotSegLib.evaluation import comparison, engine, report
from FewShotSegLib.evaluation.results import Record, ResultsFile


def all_tables(records: Sequence[Record], reference: str, title: str = "Benchmark") -> str:
    """Markdown of everything that is measured: means, published figures, differences, Dice per label.

    Args:
        records: Results of any methods and protocols.
        reference: Name of the method that the others are compared with.
        title: Heading.
    """
    sections = [comparison.published_section(records), comparison.difference_section(records, reference)]
    return report.to_markdown(records, title, [section for section in sections if section])


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the tables.

    Returns:
        0; 1 where a file is missing or holds no result.
    """
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.evaluation.tables", description=__doc__)
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="results.jsonl of a run or several; the last one counts")
    add("--reference", default=engine.MODEL, metavar="METHOD", help="method the others are compared with")
    add("--title", default="Benchmark", help="heading (default %(default)s)")
    args = parser.parse_args(arguments)
    records: dict[str, Record] = {}
    for file in args.files:
        if not file.is_file():
            print(f"error: there is no file {file}", file=sys.stderr)
            return 1
        records |= ResultsFile(file.parent, file.name).finished()
    if not records:
        print(f"error: there are no results in {', '.join(str(file) for file in args.files)}", file=sys.stderr)
        return 1
    print(all_tables(list(records.values()), args.reference, args.title), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
