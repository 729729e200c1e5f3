"""Trains all baselines, and IPL+SL once more, for an equal budget: ``python -m FewShotSegLib.evaluation.baselines``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from FewShotSegLib.evaluation.baselines.catalogue import BASELINES
from FewShotSegLib.evaluation.baselines.method import IPL_SL, TRAINED
from FewShotSegLib.evaluation.baselines.trainer import WEIGHTS, train_baseline
from FewShotSegLib.evaluation.selection import names
from FewShotSegLib.evaluation.training_runs import add_options, in_turn, require_scratch, run_training
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.training.export import export
from FewShotSegLib.training.prepare import prepare
from FewShotSegLib.training.trainer import train

EPISODES = 20_000
EPILOG = """\
examples:
  python -m FewShotSegLib.evaluation.baselines --data ../shared/data --run runs/baselines
  python -m FewShotSegLib.evaluation.baselines --data ../shared/data --run runs/baselines --methods ssp --minutes 60

One folder a method below the run's folder gets checkpoint, log and weights. The same command goes on where it
stopped, and passes over what is finished. The weights are research weights, for comparison only; they don't belong into
version control.
Then: fewshotseg benchmark --methods baselines --baselines runs/baselines ...
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and trains.

    Returns:
        0; 1 when data, folder or packages are not what is needed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m FewShotSegLib.evaluation.baselines",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data folder that holds open/")
    add("--run", type=Path, required=True, help="folder that gets a folder for each method")
    add("--cache", type=Path, help="folder of prepared volumes (default: <run>/../cache)")
    add("--methods", type=names(TRAINED), default=list(TRAINED), metavar="M,...",
        help=f"of {', '.join(TRAINED)} (default all)")  # fmt: skip
    add_options(parser, EPISODES)
    args = parser.parse_args(arguments)
    return run_training(lambda: _train_all(args))


def _train_all(args: argparse.Namespace) -> None:
    require_scratch(args.run)
    cache = args.cache or args.run.parent / "cache"
    prepare(args.data, cache)
    for name, plan in in_turn(args, dict.fromkeys(args.methods, cache)):
        if name in BASELINES:
            about = train_baseline(plan, name)
        else:
            assert name == IPL_SL
            train(plan)
            about = export(args.run / name, args.run / name / WEIGHTS, NetworkConfig())
        print(f"{name}: {about['episodes']} of {args.episodes} episodes, {about['seconds']} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
