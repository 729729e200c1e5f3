"""Every method by name, what it is made from, and names that stand for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation import engine, peers, protocols
from FewShotSegLib.evaluation.baselines import method as baselines
from FewShotSegLib.evaluation.in_domain import method as in_domain
from FewShotSegLib.evaluation.in_domain import trials
from FewShotSegLib.evaluation.methods import Method, file_checksum

ENGINE_NAMES = (engine.MODEL, engine.FAST_MODEL, *engine.VARIANTS)
METHOD_NAMES = (*ENGINE_NAMES, *peers.PEERS, *baselines.METHOD_NAMES)
STANDARD = (engine.MODEL, engine.FAST_MODEL, *peers.PEERS)
METHOD_GROUPS = {
    "standard": STANDARD,
    "peers": tuple(peers.PEERS),
    "ablation": (engine.MODEL, *engine.VARIANTS),
    "baselines": baselines.METHOD_NAMES,
    **trials.METHOD_GROUPS,
}
BASELINES_FOLDER = Path("runs/baselines")
IN_DOMAIN_FOLDER = Path("runs/in_domain")


@dataclass(frozen=True)
class Ingredients:
    """What methods are made from; can be pickled.

    Attributes:
        weights: Weights file of the engine, None for the bundled ones.
        options: Keyword arguments of `Segmenter.segment`; the engine's variants add their own.
        device: Of networks.
        baselines: Folder of the trained baselines.
        in_domain: Folder of the weights trained in-domain.
    """

    weights: Path | None = None
    options: Mapping[str, Any] | None = None
    device: str = "cpu"
    baselines: Path = BASELINES_FOLDER
    in_domain: Path = IN_DOMAIN_FOLDER


def make_method(name: str, ingredients: Ingredients | None = None) -> Method:
    """Makes a method by name.

    Raises:
        KeyError: No such method is known.
    """
    made_from = ingredients or Ingredients()
    if name in ENGINE_NAMES:
        return engine.Engine(name, made_from.weights, made_from.options, made_from.device)
    if name in baselines.METHOD_NAMES:
        return baselines.TrainedBaseline(name, made_from.baselines, made_from.options, made_from.device)
    if name in trials.TRIALS:
        return in_domain.InDomain(name, made_from.in_domain, made_from.options, made_from.device)
    if name not in peers.PEERS:
        raise KeyError(f"Unknown method {name!r}; known are {', '.join(METHOD_NAMES)}.")
    return peers.PEERS[name]()


def weights_checksum(name: str, ingredients: Ingredients) -> str:
    """SHA-256 of the weights that a method uses; "" for a method without, or where there are none."""
    if name in baselines.METHOD_NAMES:
        file = baselines.weights_file(name, ingredients.baselines)
        return file_checksum([file]) if file.is_file() else ""
    if name in trials.TRIALS:
        return file_checksum([trials.TRIALS[name].weights_file(ingredients.in_domain)])
    if name not in ENGINE_NAMES:
        return ""
    return file_checksum(engine.bundled_weights() if ingredients.weights is None else [ingredients.weights])


def serves(name: str, protocol: str) -> bool:
    """Whether a method can be asked under a protocol.

    Not where examples are of elsewhere than it needs, or painted in a way that it can't take, or the next slice is
    chosen by what it does not tell. Variants of the engine that lack what is not used there would only repeat it.
    """
    within = protocols.is_within(protocol)
    if name in engine.ACROSS_ONLY:
        return not within
    if name not in peers.PEERS:
        return True
    peer = peers.PEERS[name]
    if peer.scope != "both" and within != (peer.scope == "within"):
        return False
    if protocol in protocols.CORRECTIONS:
        return protocol == "C-spread" or (protocol == "C-unsure" and peer.tells_confidence)
    return peer.takes_any_paint or protocols.shows_whole_parallel_slices(protocol)


def query_cases(name: str, ingredients: Ingredients, dataset: str, cases: Sequence[str]) -> list[str]:
    """The cases of a set that a method may be asked about: of weights trained in-domain, those they have not seen.

    Args:
        name: Of the method.
        ingredients: What it is made from.
        dataset: Name of the set.
        cases: All of its cases.

    Raises:
        WeightsError: In-domain weights are not what they should be.
    """
    trial = trials.TRIALS.get(name)
    if trial is None:
        return list(cases)
    if trial.dataset != dataset:
        return []
    held_out = set(in_domain.held_out_cases(trial, ingredients.in_domain))
    return [case for case in cases if case in held_out]


def trained_only(names: Sequence[str], ingredients: Ingredients) -> list[str]:
    """Leaves out in-domain weights that nobody trained, since few folds ever are.

    Raises:
        WeightsError: In-domain weights are asked for, and none at all have been trained.
    """
    asked = [trials.TRIALS[name] for name in names if name in trials.TRIALS]
    missing = {trial.name for trial in asked if not trial.weights_file(ingredients.in_domain).is_file()}
    if asked and len(missing) == len(asked):
        in_domain.held_out_cases(asked[0], ingredients.in_domain)
    return [name for name in names if name not in missing]
