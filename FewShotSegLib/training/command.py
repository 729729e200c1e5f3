"""`fewshotseg train`: prepares the data, trains (or goes on training), draws learning curves, writes the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..network.config import NetworkConfig
from .curves import draw_curves
from .export import export
from .prepare import prepare
from .trainer import TrainingPlan, train

_EPILOG = """\
examples:
  fewshotseg train --data ../shared/data --run runs/main
  fewshotseg train --data ../shared/data --run runs/main --episodes 400000     # goes on from the last checkpoint
  fewshotseg train --data ../shared/data --run runs/gpu --device cuda --processes 6 --samplers 2 --minutes 9

The run's folder gets the checkpoint (every few minutes; the same command goes on from it), the log, the learning curves
(curves.png) and the weights (ipl_sl.safetensors with checksum). Nothing in it belongs into version control.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    plan = TrainingPlan(cache="", run="")
    parser.epilog = _EPILOG
    parser.add_argument("--data", type=Path, required=True, help="folder that holds open/")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint, log, curves and weights")
    parser.add_argument("--cache", type=Path, help="folder of prepared volumes (default: <run>/../cache)")
    parser.add_argument("--episodes", type=int, default=plan.episodes, help="total number of episodes")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so many minutes, to go on later")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    text = "that share the work, or the card (default %(default)s)"
    parser.add_argument("--processes", type=int, default=plan.processes, help=text)
    parser.add_argument("--within", type=float, default=plan.within, help="share of groups within one volume")
    parser.add_argument("--rate", type=float, default=plan.rate, help="learning rate of the new layers")
    parser.add_argument("--cooldown", type=float, default=plan.cooldown, help="part of the run in which the rate falls")
    parser.add_argument("--start-from", default="", help="weights (.safetensors) to start from instead of ImageNet's")
    parser.add_argument("--frozen-encoder", action="store_true", help="train what follows the encoder only: quicker")
    parser.add_argument("--only-head", action="store_true", help="train the segment head only")
    text = "processes that draw episodes for each that learns; 0 for none (default %(default)s)"
    parser.add_argument("--samplers", type=int, default=plan.samplers, help=text)
    text = "compute most of a step in bfloat16: quicker on processors that have it"
    parser.add_argument("--bfloat16", action="store_true", help=text)
    parser.add_argument("--only-export", action="store_true", help="write curves and weights of the last checkpoint")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    cache = args.cache or args.run.parent / "cache"
    if not args.only_export:
        prepare(args.data, cache)
        train(
            TrainingPlan(
                cache=str(cache),
                run=str(args.run),
                episodes=args.episodes,
                seed=args.seed,
                processes=args.processes,
                device=args.device,
                rate=args.rate,
                cooldown=args.cooldown,
                within=args.within,
                minutes=args.minutes,
                start_from=args.start_from,
                frozen=args.frozen_encoder,
                only_head=args.only_head,
                samplers=args.samplers,
                bfloat16=args.bfloat16,
            )
        )
    about = export(args.run, args.run / "ipl_sl.safetensors", NetworkConfig())
    draw_curves(args.run)
    print(f"{about['episodes']} episodes in {float(about['seconds']) / 3600:.2f} hours; see {args.run}")
    return 0
