"""The trained baselines as methods of the benchmark: each network in the place of the engine's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from FewShotSegLib.evaluation.engine import Engine

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

PREFIX = "baseline-"
IPL_SL = "ipl-sl"
TRAINED = (IPL_SL, "adnet", "alpnet", "ssp", "universeg")
"""Folders below the baselines' folder: IPL+SL at the equal budget, and the baselines (`catalogue.BASELINES`)."""
METHOD_NAMES = tuple(PREFIX + name for name in TRAINED)


class TrainedBaseline(Engine):
    """A baseline inside the engine: its network answers, the engine frames, merges and refines.

    No network is adapted to the examples, IPL+SL neither: what differs is then the networks, as they were trained.

    Args:
        name: One of `METHOD_NAMES`.
        folder: Folder with a folder for each method.
        options: Keyword arguments of `Segmenter.segment`.
        device: As of `Segmenter`.
    """

    def __init__(self, name: str, folder: Path, options: Mapping[str, Any] | None = None, device: str = "cpu") -> None:
        super().__init__(weights=weights_file(name, folder), options=options, device=device)
        self._switches["adapt"] = False
        self.name = name

    def _make(self) -> Segmenter:
        short = self.name.removeprefix(PREFIX)
        if short == IPL_SL:
            return super()._make()
        import torch

        from FewShotSegLib.evaluation.baselines.catalogue import load_baseline
        from FewShotSegLib.inference.steps import Steps
        from FewShotSegLib.segmenter import Segmenter

        assert self._weights is not None
        network = load_baseline(short, self._weights)
        segmenter = Segmenter(device=self._device, steps=Steps(adapt=False))
        network.to(segmenter.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        segmenter.network = network  # type: ignore[assignment]  # the same interface
        return segmenter


def weights_file(name: str, folder: Path) -> Path:
    """Where a method's weights lie."""
    return folder / name.removeprefix(PREFIX) / "weights.safetensors"
