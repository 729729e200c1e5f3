"""The baselines by name, and their weights files (safetensors; nothing here uses pickle)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from FewShotSegLib.errors import WeightsError
from FewShotSegLib.evaluation.baselines.adnet import ADNet
from FewShotSegLib.evaluation.baselines.alpnet import ALPNet
from FewShotSegLib.evaluation.baselines.base import Baseline
from FewShotSegLib.evaluation.baselines.ssp import SSP
from FewShotSegLib.evaluation.baselines.universeg import UniverSeg

FORMAT = "fewshotseg-baseline-1"
BASELINES: dict[str, type[Baseline]] = {"adnet": ADNet, "alpnet": ALPNet, "ssp": SSP, "universeg": UniverSeg}


def save_baseline(name: str, state: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Writes weights, under a temporary name first.

    Args:
        name: Key of `BASELINES`, kept in the header.
        state: State dict.
        path: Ends in .safetensors.
        about: Strings kept in the header, such as the number of episodes.
    """
    part = path.with_name(path.name + ".part")
    whole = {key: value.float().contiguous() for key, value in state.items()}
    save_file(whole, str(part), metadata={"format": FORMAT, "method": name, **about})
    os.replace(part, path)


def load_baseline(name: str, path: Path) -> Baseline:
    """A trained baseline in evaluation mode, float32, on the CPU.

    Raises:
        KeyError: There is no baseline of that name.
        WeightsError: The file is missing, unreadable, or holds something else.
    """
    network = BASELINES[name]()
    if not path.is_file():
        raise WeightsError(
            f"No weights of the baseline {name} at {path}; python -m FewShotSegLib.evaluation.baselines trains it."
        )
    try:
        with safe_open(str(path), framework="pt", device="cpu") as opened:
            metadata = opened.metadata() or {}
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} can't be read as weights ({error}); train the baseline again.") from error
    found = metadata.get("format"), metadata.get("method")
    if found != (FORMAT, name):
        raise WeightsError(f"{path} holds {found[1]!r} in format {found[0]!r}, expected {name!r} in {FORMAT!r}.")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path} doesn't fit the baseline {name}: {error}") from error
    return network.eval().requires_grad_(False)
