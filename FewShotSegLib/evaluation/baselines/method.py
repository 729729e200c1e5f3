"""The trained baselines as methods of the benchmark: each network in the place of the engine's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.evaluation.methods import Answer, Scope
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

PREFIX = "baseline-"
IPL_SL = "ipl-sl"
TRAINED = (IPL_SL, "adnet", "alpnet", "ssp", "universeg")
"""Folders below the baselines' folder: IPL+SL at the equal budget, and the baselines (`catalogue.BASELINES`)."""
METHOD_NAMES = tuple(PREFIX + name for name in TRAINED)


class TrainedBaseline:
    """A baseline inside the engine: its network answers, the engine frames, merges and refines.

    Args:
        name: One of `METHOD_NAMES`.
        folder: Folder with a folder for each method.
        options: Keyword arguments of `Segmenter.segment`.
        device: As of `Segmenter`.
    """

    scope: Scope = "both"
    takes_parts = True
    is_network = True

    def __init__(self, name: str, folder: Path, options: Mapping[str, Any] | None = None, device: str = "cpu") -> None:
        self.name = name
        self._file = weights_file(name, folder)
        self._options, self._device = dict(options or {}), device
        self._segmenter: Segmenter | None = None

    def prepare(self) -> None:
        """Loads torch and the weights.

        Raises:
            WeightsError: The baseline has not been trained.
        """
        if self._segmenter is not None:
            return
        from FewShotSegLib.evaluation.baselines.catalogue import load_baseline
        from FewShotSegLib.segmenter import Segmenter

        short = self.name.removeprefix(PREFIX)
        if short == IPL_SL:
            self._segmenter = Segmenter(device=self._device, weights=self._file)
            return
        network = load_baseline(short, self._file)
        segmenter = Segmenter(device=self._device)
        segmenter.network = network.to(segmenter.device)  # type: ignore[assignment]  # the same interface
        self._segmenter = segmenter

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; the first call loads the weights if `prepare` has not."""
        self.prepare()
        assert self._segmenter is not None
        result = self._segmenter.segment(query, list(examples), progress=None, **self._options)
        return np.asarray(result.labelmap.array), np.asarray(result.confidence.array)


def weights_file(name: str, folder: Path) -> Path:
    """Where a method's weights lie."""
    return folder / name.removeprefix(PREFIX) / "weights.safetensors"
