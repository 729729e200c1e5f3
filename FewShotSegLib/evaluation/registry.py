"""Every method by name, what it is made from, and names that stand for several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation import engine, peers
from FewShotSegLib.evaluation.baselines import method as baselines
from FewShotSegLib.evaluation.methods import Method, file_checksum

ENGINE_NAMES = (engine.MODEL, *engine.VARIANTS)
METHOD_NAMES = (*ENGINE_NAMES, *peers.PEERS, *baselines.METHOD_NAMES)
STANDARD = (engine.MODEL, *peers.PEERS)
METHOD_GROUPS = {
    "standard": STANDARD,
    "peers": tuple(peers.PEERS),
    "ablation": ENGINE_NAMES,
    "baselines": baselines.METHOD_NAMES,
}
BASELINES_FOLDER = Path("runs/baselines")


@dataclass(frozen=True)
class Ingredients:
    """What methods are made from; can be pickled.

    Attributes:
        weights: Weights file of the engine, None for the bundled ones.
        options: Keyword arguments of `Segmenter.segment`; the engine's variants add their own.
        device: Of networks.
        baselines: Folder of the trained baselines.
    """

    weights: Path | None = None
    options: Mapping[str, Any] | None = None
    device: str = "cpu"
    baselines: Path = BASELINES_FOLDER


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
    if name not in peers.PEERS:
        raise KeyError(f"Unknown method {name!r}; known are {', '.join(METHOD_NAMES)}.")
    return peers.PEERS[name]()


def weights_checksum(name: str, ingredients: Ingredients) -> str:
    """SHA-256 of the weights that a method uses; "" for a method without, or where there are none."""
    if name in baselines.METHOD_NAMES:
        file = baselines.weights_file(name, ingredients.baselines)
        return file_checksum([file]) if file.is_file() else ""
    if name not in ENGINE_NAMES:
        return ""
    return file_checksum(engine.bundled_weights() if ingredients.weights is None else [ingredients.weights])


def serves(name: str, within: bool) -> bool:
    """Whether a method can be asked when the examples are slices of the query itself (within), or of other volumes."""
    scope = peers.PEERS[name].scope if name in peers.PEERS else "both"
    return scope in ("both", "within" if within else "across")
