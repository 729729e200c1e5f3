"""Weights trained in-domain as methods of the benchmark: the engine, with them in place of the bundled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from FewShotSegLib.errors import WeightsError
from FewShotSegLib.evaluation.engine import Engine
from FewShotSegLib.evaluation.in_domain.trials import FOLDS, TRIALS, Trial

RESEARCH = "research weights of a benchmark, trained in-domain; not to be distributed"


class InDomain(Engine):
    """The engine with the weights of one trial.

    Args:
        name: Key of `TRIALS`.
        folder: Folder with a folder for each trial.
        options: Keyword arguments of `Segmenter.segment`.
        device: As of `Segmenter`.
    """

    def __init__(self, name: str, folder: Path, options: Mapping[str, Any] | None = None, device: str = "cpu") -> None:
        super().__init__(weights=TRIALS[name].weights_file(folder), options=options, device=device)
        self.name = name


def header(trial: Trial, cases: Sequence[str]) -> dict[str, str]:
    """What the weights of a trial say of themselves.

    Args:
        trial: The trial.
        cases: All cases of its data set.
    """
    return _identity(trial) | {"held_out": ",".join(trial.test_cases(cases))}


def held_out_cases(trial: Trial, folder: Path) -> list[str]:
    """The cases that trained weights have not seen, by their own header, whatever the set has become since.

    Raises:
        WeightsError: They have not been trained, can't be read, or are of another set, setting or fold.
    """
    file = trial.weights_file(folder)
    if not file.is_file():
        raise WeightsError(f"No weights at {file}; python -m FewShotSegLib.evaluation.in_domain trains them.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as opened:
            found = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} can't be read as weights ({error}); train them again.") from error
    for key, expected in _identity(trial).items():
        if found.get(key) != expected:
            raise WeightsError(f"{file}: its header's {key} is {found.get(key)!r}, expected {expected!r}.")
    return [case for case in found.get("held_out", "").split(",") if case]


def _identity(trial: Trial) -> dict[str, str]:
    return {
        "research": RESEARCH,
        "set": trial.dataset,
        "setting": trial.setting,
        "fold": f"{trial.fold} of {FOLDS}",
    }
