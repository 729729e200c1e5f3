"""The engine through its public interface: as it is, and with one part after the other switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.evaluation.methods import Answer, Scope
from FewShotSegLib.example import Example
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.quality import BEST, FAST
from FewShotSegLib.volume import Volume

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

MODEL = "model"
"""The engine in its quality "best"."""
FAST_MODEL = f"{MODEL}-{FAST}"
"""The engine in its quality "fast"."""
_WITHOUT = f"{MODEL}-without-"

NETWORK_SWITCHES = tuple(field.name for field in fields(NetworkConfig) if field.name.startswith("use_"))
"""Modules of the network, switched off when a `Segmenter` is made."""
SEGMENT_SWITCHES = ("refine", "zoom", "again", "smooth", "carry", "walk", "tune")
"""Steps of the engine, switched off when a volume is segmented."""


def _variant(switch: str) -> str:
    return _WITHOUT + switch.removeprefix("use_").replace("_", "-")


VARIANTS: dict[str, str] = {_variant(switch): switch for switch in (*NETWORK_SWITCHES, *SEGMENT_SWITCHES)}
"""Method name, as ``model-without-interaction`` or ``model-without-zoom``, to the switch that is off."""
ACROSS_ONLY = frozenset(_variant(switch) for switch in ("use_position", "carry", "walk"))
"""Variants that differ from the engine only with examples of other volumes."""


class Engine:
    """The engine with the bundled or other weights.

    Example:
        >>> labels, confidence = Engine("model-without-zoom").segment(query, examples)

    Args:
        name: ``model``, ``model-fast`` or one of `VARIANTS`.
        weights: Weights file; the bundled ones if None.
        options: Keyword arguments of `Segmenter.segment`.
        device: As of `Segmenter`.

    Raises:
        KeyError: There is no such variant.
    """

    scope: Scope = "both"
    takes_parts = True
    is_network = True

    def __init__(
        self,
        name: str = MODEL,
        weights: Path | None = None,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self._weights, self._device = weights, device
        self._options = {"quality": FAST if name == FAST_MODEL else BEST, **(options or {})}
        self._switches: dict[str, bool] = {}
        if name not in (MODEL, FAST_MODEL):
            switch = VARIANTS[name]
            (self._switches if switch in NETWORK_SWITCHES else self._options)[switch] = False
        self._segmenter: Segmenter | None = None

    def prepare(self) -> None:
        """Loads torch and the weights.

        Raises:
            WeightsError: There are none, or they can't be used.
        """
        if self._segmenter is None:
            self._segmenter = self._make()

    def _make(self) -> Segmenter:
        from FewShotSegLib.segmenter import Segmenter

        chosen = {} if self._weights is None else {"weights": self._weights}
        return Segmenter(device=self._device, **chosen, **self._switches)  # type: ignore[arg-type]

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; the first call loads the weights if `prepare` has not."""
        self.prepare()
        assert self._segmenter is not None
        result = self._segmenter.segment(query, list(examples), progress=None, **self._options)
        return np.asarray(result.labelmap.array), np.asarray(result.confidence.array)


def bundled_weights() -> list[Path]:
    """The weights files that come with the package."""
    return sorted((Path(__file__).resolve().parents[1] / "weights").glob("*.safetensors"))
