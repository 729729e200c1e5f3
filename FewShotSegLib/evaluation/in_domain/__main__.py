"""Trains research weights in-domain, by superpixels only: ``python -m FewShotSegLib.evaluation.in_domain``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from FewShotSegLib.evaluation import manifests
from FewShotSegLib.evaluation.in_domain.method import header
from FewShotSegLib.evaluation.in_domain.trials import FOLDS, SETS, SETTINGS, TRIALS, Trial
from FewShotSegLib.evaluation.in_domain.volumes import prepare_trial
from FewShotSegLib.evaluation.runner import CaseStore
from FewShotSegLib.evaluation.selection import names
from FewShotSegLib.evaluation.training_runs import add_options, in_turn, require_scratch, run_training
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.training.export import export
from FewShotSegLib.training.trainer import train

EPISODES = 30_000
EPILOG = """\
examples:
  python -m FewShotSegLib.evaluation.in_domain --data ../shared/data --run runs/in_domain
  python -m FewShotSegLib.evaluation.in_domain --data ../shared/data --run runs/in_domain --set CHAOS_T2 --setting S2
  python -m FewShotSegLib.evaluation.in_domain --data ../shared/data --run runs/in_domain --minutes 60

S1 trains on all slices of the training cases, S2 on those that hold none of the tested organs. No label becomes an
episode. The encoder starts from ImageNet's weights, never from others. Each training gets a folder below the run's
folder, with its volumes, checkpoint, log and weights; the same command goes on where it stopped, and passes over what
is finished. The weights are research weights; they stay out of the repository.
Then: fewshotseg benchmark --protocol EP1,EP1-blind --methods model,in-domain --in-domain runs/in_domain ...
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and trains.

    Returns:
        0; 1 when data, folder or packages are not what is needed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m FewShotSegLib.evaluation.in_domain",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data folder that holds benchmark/<SET>/")
    add("--run", type=Path, required=True, help="folder that gets a folder for each training")
    add("--set", type=names(SETS), default=list(SETS), metavar="SET,...", help=f"of {', '.join(SETS)} (default all)")
    add("--setting", type=names(SETTINGS), default=list(SETTINGS), metavar="S,...",
        help=f"of {', '.join(SETTINGS)} (default both)")  # fmt: skip
    add("--fold", type=int, default=0, choices=range(FOLDS), help="whose cases are held out (default %(default)s)")
    add_options(parser, EPISODES)
    add("--manifests", type=Path, default=manifests.DEFAULT_FOLDER, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    return run_training(lambda: _train_all(args))


def _train_all(args: argparse.Namespace) -> None:
    require_scratch(args.run)
    store = CaseStore(args.data, args.manifests)
    trials = [Trial(dataset, setting, args.fold) for setting in args.setting for dataset in args.set]
    for name, plan in in_turn(args, {trial.name: args.run / trial.name / "volumes" for trial in trials}):
        trial = TRIALS[name]
        volumes = prepare_trial(trial, store, Path(plan.cache))
        print(f"{trial.name}: {len(volumes)} stacks of slices", flush=True)
        train(plan)
        cases = list(store.dataset(trial.dataset)[1].cases)
        about = export(Path(plan.run), trial.weights_file(args.run), NetworkConfig(), header(trial, cases))
        print(f"{trial.name}: {about['episodes']} of {args.episodes} episodes, {about['seconds']} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
