"""Runs the benchmark: ``python -m FewShotSegLib.evaluation --data DIR --output DIR``."""

import argparse
import sys

from FewShotSegLib.evaluation.command import add_arguments, run


def main() -> int:
    """Parses the command line and runs the benchmark.

    Returns:
        0; 1 when something failed; 130 when it was stopped with Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.evaluation")
    add_arguments(parser)
    args = parser.parse_args()
    try:
        return run(args)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
