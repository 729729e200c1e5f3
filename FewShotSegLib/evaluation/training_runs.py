"""What the commands that train networks for comparison share: options, and several trainings within one time limit."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from FewShotSegLib.errors import FewShotSegError, SettingError
from FewShotSegLib.evaluation.datasets import DatasetNotFoundError
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.evaluation.requirements import MissingPackageError
from FewShotSegLib.evaluation.selection import positive
from FewShotSegLib.training.trainer import TrainingPlan

REPOSITORY = Path(__file__).resolve().parents[2]
SCRATCH = "runs"
"""Folder of the repository that version control passes over."""


def run_training(work: Callable[[], None]) -> int:
    """Does a command's work; what is wrong with its data, folder or packages is said in one line.

    Returns:
        Exit code: 0, or 1 after an error.
    """
    try:
        work()
    except ModuleNotFoundError as error:
        print(f"error: {MissingPackageError(str(error.name), 'Training', 'training')}", file=sys.stderr)
        return 1
    except (FewShotSegError, DatasetNotFoundError, ManifestMismatchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def add_options(parser: argparse.ArgumentParser, episodes: int) -> None:
    """Adds the options that all such commands have.

    Args:
        parser: Of the command.
        episodes: Default number of episodes of each training.
    """
    add = parser.add_argument
    add("--episodes", type=positive, default=episodes, help="episodes of each training (default %(default)s)")
    add("--minutes", type=float, default=0.0, help="stop after so many minutes in all, to go on later (default: never)")
    add("--seed", type=int, default=1, help="of weights and episodes, the same for all (default %(default)s)")
    add("--processes", type=positive, default=2, help="that share the work, or the card (default %(default)s)")
    add("--device", default="cpu", help="cpu or cuda (default %(default)s)")


def in_turn(args: argparse.Namespace, caches: Mapping[str, Path]) -> Iterator[tuple[str, TrainingPlan]]:
    """Plans of trainings one after another, each in a folder of its own below the run's, until the time is over.

    Args:
        args: With the options of `add_options`, and "run".
        caches: Name of each training and its folder -> folder of its prepared volumes.
    """
    began = time.monotonic()
    for name, cache in caches.items():
        left = args.minutes - (time.monotonic() - began) / 60
        if args.minutes and left <= 0:
            print(f"{name} and what follows: not begun, the time is over", flush=True)
            return
        plan = TrainingPlan(
            cache=str(cache),
            run=str(args.run / name),
            episodes=args.episodes,
            seed=args.seed,
            processes=args.processes,
            device=args.device,
            minutes=max(left, 0.01) if args.minutes else 0.0,
        )
        yield name, plan


def require_scratch(run: Path, repository: Path = REPOSITORY) -> None:
    """Research weights must not get among the files that are shared.

    Raises:
        SettingError: The folder lies in the repository (or the installed package), and not below its ``runs``.
    """
    place = run.resolve()
    shared = [repository / "FewShotSegLib"] + ([repository] if (repository / "pyproject.toml").exists() else [])
    inside = any(place.is_relative_to(folder.resolve()) for folder in shared)
    if inside and not place.is_relative_to((repository / SCRATCH).resolve()):
        raise SettingError(
            f"{run} lies inside the repository, where research weights must not be; name a folder outside of it, or "
            f"below {SCRATCH}/, which version control passes over."
        )
