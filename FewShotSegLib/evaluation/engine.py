"""The engine through its public interface: as it is, and with one part after the other switched off."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.evaluation.brushes import Strokes
from FewShotSegLib.evaluation.methods import Answer, Scope
from FewShotSegLib.evaluation.sessions import Near, Plane, Session
from FewShotSegLib.example import Example
from FewShotSegLib.inference.steps import Steps
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.quality import BEST, FAST
from FewShotSegLib.volume import Volume

if TYPE_CHECKING:
    from FewShotSegLib.result import Result
    from FewShotSegLib.segmenter import Segmenter

MODEL = "model"
"""The engine in its quality "best"."""
FAST_MODEL = f"{MODEL}-{FAST}"
"""The engine in its quality "fast"."""
_WITHOUT = f"{MODEL}-without-"

NETWORK_SWITCHES = tuple(field.name for field in fields(NetworkConfig) if field.name.startswith("use_"))
"""Modules of the network, switched off when a `Segmenter` is made."""
STEP_SWITCHES = tuple(field.name for field in fields(Steps))
"""Steps of the engine, switched off when a `Segmenter` is made."""
SEGMENT_SWITCHES = ("refine",)
"""Steps of the engine, switched off when a volume is segmented."""


def _variant(switch: str) -> str:
    return _WITHOUT + switch.removeprefix("use_").replace("_", "-")


VARIANTS: dict[str, str] = {
    _variant(switch): switch for switch in (*NETWORK_SWITCHES, *STEP_SWITCHES, *SEGMENT_SWITCHES)
}
"""Method name, as ``model-without-interaction`` or ``model-without-refine``, to the switch that is off."""


def is_variant(method: str) -> bool:
    """Whether a method is the engine with a part off; also a part that earlier engines had."""
    return method.startswith(_WITHOUT)


ACROSS_ONLY = frozenset([_variant("use_position"), _variant("walk")])
"""Variants that differ from the engine only with examples of other volumes."""
COMPLETE = "complete"
"""Option of the examples, not of a run: what is completely painted on them. Without it the engine finds out."""
BACKGROUND = "background"
"""What `Example` calls the label value of strokes of background."""
COMPLETE_VALUES: Mapping[str, str | frozenset[int]] = {"all": "all", "nothing": frozenset()}
"""The option's words on a command line, and what `Example` calls it."""


class Engine:
    """The engine with the bundled or other weights.

    Example:
        >>> labels, confidence = Engine("model-without-refine").segment(query, examples)

    Args:
        name: ``model``, ``model-fast`` or one of `VARIANTS`.
        weights: Weights file; the bundled ones if None.
        options: Keyword arguments of `Segmenter.segment`; ``complete``, one of `COMPLETE_VALUES`, is that of `Example`.
        device: As of `Segmenter`.

    Raises:
        KeyError: There is no such variant, or no such value of ``complete``.
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
        complete = self._options.pop(COMPLETE, None)
        self._complete = None if complete is None else COMPLETE_VALUES[complete]
        self._switches: dict[str, bool] = {}
        if name not in (MODEL, FAST_MODEL):
            switch = VARIANTS[name]
            (self._options if switch in SEGMENT_SWITCHES else self._switches)[switch] = False
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
        network = {name: off for name, off in self._switches.items() if name in NETWORK_SWITCHES}
        steps = Steps(**{name: off for name, off in self._switches.items() if name in STEP_SWITCHES})
        return Segmenter(device=self._device, steps=steps, **chosen, **network)  # type: ignore[arg-type]

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; the first call loads the weights if `prepare` has not."""
        result = self._loaded.segment(query, self._as_painted(examples), progress=None, **self._options)
        return _answer(result)

    def session(self, query: Volume) -> Session:
        """Keeps what can be reused about a query."""
        return EngineSession(self._loaded.session(query), self._as_painted, self._options)

    @property
    def _loaded(self) -> Segmenter:
        self.prepare()
        assert self._segmenter is not None
        return self._segmenter

    def _as_painted(self, examples: Sequence[Example]) -> list[Example]:
        return [as_the_engine_takes_it(example, self._complete) for example in examples]


class EngineSession:
    """A session of the engine, as the benchmark asks it.

    Args:
        session: Of `Segmenter.session`.
        as_painted: Makes the engine's examples of the benchmark's.
        options: Keyword arguments of the session's `predict`.
    """

    def __init__(
        self, session: Any, as_painted: Callable[[Sequence[Example]], list[Example]], options: Mapping[str, Any]
    ) -> None:
        self._session, self._as_painted, self._options = session, as_painted, options

    def add(self, example: Example) -> None:
        """Takes one more painted slice."""
        for painted in self._as_painted([example]):
            self._session.add(painted)

    def predict(self, near: Near | None = None) -> Answer:
        """Segments the query."""
        return _answer(self._session.predict(progress=None, near=near, **self._options))

    def suggest(self) -> Plane | None:
        """The engine's first suggestion."""
        for suggestion in self._session.suggest(count=1):
            return int(suggestion.axis), int(suggestion.index)
        return None


def as_the_engine_takes_it(example: Example, complete: str | Collection[int] | None = None) -> Example:
    """An example with all that the engine can be told of it.

    Args:
        example: Completely painted, or `Strokes`.
        complete: As of `Example`; None says nothing.
    """
    told: dict[str, Any] = {} if complete is None else {COMPLETE: complete}
    mask = example.mask
    if isinstance(example, Strokes):
        told[BACKGROUND] = max(int(mask.max()), *example.names, 0) + 1
        mask = np.where(example.elsewhere, told[BACKGROUND], mask)
    if not told:
        return example
    return Example(
        image=example.image, axis=example.axis, index=example.index, mask=mask, names=example.names,
        colors=example.colors, **told,
    )  # fmt: skip


def _answer(result: Result) -> Answer:
    return np.asarray(result.labelmap.array), np.asarray(result.confidence.array)


def bundled_weights() -> list[Path]:
    """The weights files that come with the package."""
    return sorted((Path(__file__).resolve().parents[1] / "weights").glob("*.safetensors"))
