"""The methods compared, behind one interface: they see a query volume and examples, and nothing of the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from FewShotSegLib.evaluation import fillers
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

if TYPE_CHECKING:
    from FewShotSegLib.segmenter import Segmenter

Answer = tuple[np.ndarray, np.ndarray | None]
"""Labelmap (k, j, i), and confidence 0..1 of the same shape or None, on the query's grid."""


class Method(Protocol):
    """A way to get from examples to a segmented volume."""

    @property
    def name(self) -> str:
        """Short name, as on the command line."""

    @property
    def within_volume_only(self) -> bool:
        """Whether the examples must be slices of the query itself."""

    def prepare(self) -> None:
        """Loads packages and weights, so that `segment` can be timed without them."""

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query with the examples' labels."""


class NearestSlice:
    """Copies the nearest painted slice."""

    name = "nearest"
    within_volume_only = True

    def prepare(self) -> None:
        """Needs nothing."""

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        return fillers.nearest_slice(painted_labelmap(query, examples), axis=examples[0].axis), None


class FillBetweenSlices:
    """Slicer's Fill between slices."""

    name = "fill"
    within_volume_only = True

    def prepare(self) -> None:
        """Loads Slicer's libraries."""
        fillers.load_slicer()

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        return fillers.fill_between_slices(painted_labelmap(query, examples), query.spacing), None


class GrowFromSeeds:
    """Slicer's Grow from seeds, with all of each painted slice as seeds."""

    name = "grow"
    within_volume_only = True

    def prepare(self) -> None:
        """Loads Slicer's libraries."""
        fillers.load_slicer()

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; no confidence."""
        return fillers.grow_from_seeds(query.array, painted_labelmap(query, examples), query.spacing), None


class Model:
    """The engine through its public interface."""

    name = "model"
    within_volume_only = False

    def __init__(
        self, weights: Path | None = None, options: Mapping[str, Any] | None = None, device: str = "cpu"
    ) -> None:
        """Args: weights file (None: the bundled ones), keyword arguments of `Segmenter.segment`, device."""
        self._weights, self._options, self._device = weights, dict(options or {}), device
        self._segmenter: Segmenter | None = None

    def segment(self, query: Volume, examples: Sequence[Example]) -> Answer:
        """Segments the query; the first call loads the weights if `prepare` has not."""
        self.prepare()
        assert self._segmenter is not None
        result = self._segmenter.segment(query, list(examples), progress=None, **self._options)
        return np.asarray(result.labelmap.array), np.asarray(result.confidence.array)

    def prepare(self) -> None:
        """Loads torch and the weights."""
        if self._segmenter is None:
            from FewShotSegLib.segmenter import Segmenter

            if self._weights is None:
                self._segmenter = Segmenter(device=self._device)
            else:
                self._segmenter = Segmenter(device=self._device, weights=self._weights)


PEERS: dict[str, type[NearestSlice] | type[FillBetweenSlices] | type[GrowFromSeeds]] = {
    peer.name: peer for peer in (NearestSlice, FillBetweenSlices, GrowFromSeeds)
}
METHOD_NAMES = (Model.name, *PEERS)


def make_method(name: str, weights: Path | None, options: Mapping[str, Any], device: str) -> Method:
    """Makes a method by name; weights, options and device concern the model only.

    Raises:
        KeyError: No such method is known.
    """
    if name == Model.name:
        return Model(weights, options, device)
    if name not in PEERS:
        raise KeyError(f"Unknown method {name!r}; known are {', '.join(METHOD_NAMES)}.")
    return PEERS[name]()


def weights_checksum(weights: Path | None) -> str:
    """SHA-256 of a weights file, or of all bundled ones together; "" where there are none."""
    bundled = Path(__file__).resolve().parents[1] / "weights"
    files = sorted(bundled.glob("*.safetensors")) if weights is None else [weights]
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def painted_labelmap(query: Volume, examples: Sequence[Example]) -> np.ndarray:
    """What the examples paint on the query: labels on painted slices, `fillers.UNKNOWN` elsewhere.

    Args:
        query: The volume to segment.
        examples: Slices of that volume.

    Returns:
        int32 array (k, j, i).

    Raises:
        ValueError: There is no example, or one comes from another volume.
    """
    if not examples:
        raise ValueError("There are no examples.")
    painted = np.full(query.array.shape, fillers.UNKNOWN, np.int32)
    for example in examples:
        if example.image is not query:
            raise ValueError("This method needs examples that are slices of the query itself.")
        index: list[slice | int] = [slice(None)] * 3
        index[example.axis] = example.index
        painted[tuple(index)] = example.mask
    return painted
