"""Command that fits the temperature of the confidence on open volumes.

    python -m FewShotSegLib.evaluation.calibration --cache runs/cache --output runs/calibration.json

Networks are surer than they are right. One number, by which log-odds are divided, mends most of it (temperature
scaling; Guo et al., ICML 2017, section 4.2). Stacks of the open volumes are segmented from a few painted slices of
their own, as a user does, and the temperature that makes their confidence likeliest is told. `CONFIDENCE_TEMPERATURE`
of `inference.finish` says what was made of it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from FewShotSegLib.evaluation.measures import calibration_error, region_around
from FewShotSegLib.example import Example
from FewShotSegLib.inference.finish import CONFIDENCE_TEMPERATURE
from FewShotSegLib.quality import BEST
from FewShotSegLib.segmenter import Segmenter
from FewShotSegLib.training.sources import TrainingVolume, load_volumes
from FewShotSegLib.training.stack_episodes import StackEpisode, choose_volume, draw_stack
from FewShotSegLib.volume import Volume

_VOXELS = 4000
_EDGE = 1e-6


def confidence_and_outcome(
    rng: np.random.Generator, segmenter: Segmenter, episode: StackEpisode
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of some voxels around the structures, and whether their labels are right.

    Args:
        rng: chooses the voxels.
        segmenter: under test.
        episode: what is segmented; its painted slices don't count.

    Returns:
        (N,) floats in 0..1, and (N,) bool.
    """
    query = Volume(episode.image, spacing=episode.spacing[::-1])
    names = {int(v): str(v) for v in np.unique(episode.labels[episode.painted]) if v}
    labelmap = query.with_array(episode.labels, names=names)
    examples = Example.from_labelmap(query, labelmap, slices=episode.painted, axis=0)
    result = segmenter.segment(query, examples, quality=BEST)
    region = region_around(result.labelmap.array, episode.labels, query.spacing)
    region[episode.painted] = False
    voxels = np.flatnonzero(region)
    voxels = rng.choice(voxels, min(_VOXELS, len(voxels)), replace=False)
    right = result.labelmap.array.ravel()[voxels] == episode.labels.ravel()[voxels]
    return result.confidence.array.ravel()[voxels], right


def fitted_temperature(confidence: np.ndarray, right: np.ndarray) -> float:
    """Temperature under which the outcomes are likeliest (least cross entropy), between 0.2 and 10.

    Args:
        confidence: (N,) in 0..1, before any temperature.
        right: (N,) bool.
    """
    odds = _log_odds(confidence)

    def cross_entropy(logarithm: float) -> float:
        scaled = odds * np.exp(-logarithm)
        return float(np.mean(np.logaddexp(0, np.where(right, -scaled, scaled))))

    found = minimize_scalar(cross_entropy, bounds=(np.log(0.2), np.log(10)), method="bounded")
    return float(np.exp(found.x))


def tempered(confidence: np.ndarray, temperature: float) -> np.ndarray:
    """Confidence whose log-odds are divided by a temperature."""
    return 1 / (1 + np.exp(-_log_odds(confidence) / temperature))


def _log_odds(confidence: np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(confidence, np.float64), _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _episodes(
    seed: int, count: int, volumes: list[TrainingVolume]
) -> Iterator[tuple[np.random.Generator, StackEpisode]]:
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        episode = draw_stack(rng, choose_volume(rng, volumes))
        if episode is not None:
            yield rng, episode


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="prepared open volumes, see training.prepare")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the figures")
    parser.add_argument("--weights", type=Path, help="weights file (default: bundled)")
    parser.add_argument("--stacks", type=int, default=150, help="to segment (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    segmenter = Segmenter(device="cpu", weights=args.weights)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"all": [], "one painted slice": [], "more": []}
    for rng, episode in _episodes(args.seed, args.stacks, load_volumes(args.cache)):
        confidence, right = confidence_and_outcome(rng, segmenter, episode)
        # What comes out has its temperature already.
        pair = tempered(confidence, 1 / CONFIDENCE_TEMPERATURE), right
        found["all"].append(pair)
        found["one painted slice" if len(episode.painted) == 1 else "more"].append(pair)
        print(f"{len(found['all'])} {episode.source}: {right.mean():.3f} right", flush=True)
    figures = {}
    for name, pairs in found.items():
        if pairs:
            confidence, right = (np.concatenate(x) for x in zip(*pairs, strict=True))
            best = fitted_temperature(confidence, right)
            figures[name] = {
                "stacks": len(pairs),
                "temperature": round(best, 3),
                "error_without": round(calibration_error(confidence, right), 4),
                "error_with_it": round(calibration_error(tempered(confidence, best), right), 4),
                "error_in_use": round(calibration_error(tempered(confidence, CONFIDENCE_TEMPERATURE), right), 4),
            }
    part = args.output.with_name(args.output.name + ".part")
    part.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    os.replace(part, args.output)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
