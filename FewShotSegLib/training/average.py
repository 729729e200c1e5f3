"""Means of weights that were trained from the same start: ``python -m FewShotSegLib.training.average A B --output C``.

What several short trainings have in common is kept, what each of them has learned for itself counts less ("model
soups", Wortsman et al., ICML 2022).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import FewShotSegError, WeightsError
from ..weights import checksum, load_network, save_network


def average(shares: Mapping[Path, float], output: Path, about: Mapping[str, str] | None = None) -> None:
    """Writes the mean of some weights.

    Args:
        shares: of each weights file, any positive numbers.
        output: weights file to write, ending in .safetensors; its header says what it is the mean of.
        about: further strings for the header.

    Raises:
        WeightsError: a file can't be used, or is of a network with another configuration.
    """
    networks = {path: load_network(path) for path in shares}
    config = next(iter(networks.values())).config
    for path, network in networks.items():
        if network.config != config:
            raise WeightsError(f"{path} has the configuration {network.config}, expected {config} as the first file.")
    total = sum(shares.values())
    states = [(network.state_dict(), shares[path] / total) for path, network in networks.items()]
    mean = {name: sum(state[name].float() * share for state, share in states) for name in states[0][0]}
    parts = " ".join(f"{checksum(path)[:8]}:{share:g}" for path, share in shares.items())
    save_network(mean, config, output, {"mean_of": parts, **(about or {})})


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and averages.

    Returns:
        0; 1 where a file can't be used, or the output's folder is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.training.average", description=__doc__)
    add = parser.add_argument
    add("weights", nargs="+", metavar="FILE[=SHARE]", help="weights and what they count (default 1)", type=_part)
    add("--output", type=Path, required=True, help="weights file (.safetensors) to write")
    add("--about", action="append", default=[], metavar="NAME=TEXT", help="kept in the header", type=_named)
    args = parser.parse_args(arguments)
    if not args.output.parent.is_dir():
        print(f"error: there is no folder {args.output.parent}; make it, or name another output", file=sys.stderr)
        return 1
    try:
        average(dict(args.weights), args.output, dict(args.about))
    except FewShotSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _part(text: str) -> tuple[Path, float]:
    path, given, share = text.partition("=")
    try:
        value = float(share) if given else 1.0
    except ValueError:
        value = 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"got the share {share!r} in {text!r}, expected a positive number")
    return Path(path), value


def _named(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=TEXT")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
