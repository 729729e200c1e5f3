"""Runs the benchmark: ``python -m FewShotSegLib.evaluation --data DIR --output DIR``."""

import argparse
import sys

from FewShotSegLib.evaluation.command import add_arguments, run


def main() -> int:
    """Parses the command line and runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.evaluation")
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
