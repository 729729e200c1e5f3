"""What an episode is: a query, what is painted of it or of other volumes, and which of its voxels are scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

AREAS = "areas"
"""Slices are painted completely: the structures' areas."""
ADDED_LATER: dict[str, Any] = {
    "axis": 0, "painted": None, "brush": AREAS, "beside": (), "target": None, "painting": ""
}  # fmt: skip
"""Fields that the first protocols did without, and what they are there."""


@dataclass(frozen=True)
class Support:
    """Painted slices of one case.

    Attributes:
        case: Its name.
        slices: Slice indices along the axis.
        axis: Array axis across the slices.
        painted: Label values that are painted on them; the episode's where None.
    """

    case: str
    slices: tuple[int, ...]
    axis: int = 0
    painted: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Episode:
    """One query volume with its examples, the labels painted and scored, and the slices scored.

    Attributes:
        dataset: Name of the data set.
        protocol: ``W-3``, ``A-1``, ``EP1`` ...
        name: Unique within data set and protocol.
        query: Case that is segmented.
        supports: Cases and slices that give the examples.
        labels: Label values that are scored, and painted where a support says no other.
        scored: Indices of the query's scored slices along axis 0; of them, voxels of `beside` and of the query's
            painted slices along other axes are not scored.
        draw: Number of the draw of support cases, 0 where there is but one.
        brush: How slices are painted, one of `brushes.BRUSHES`.
        beside: Further planes of the query that are not scored, (axis, indices along it): what protocols paint that are
            compared with this one.
        target: Mean Dice at which corrections end, None where there are none.
        painting: Checksum of what the brush paints, "" for whole areas, which the labels' checksum covers.
    """

    dataset: str
    protocol: str
    name: str
    query: str
    supports: tuple[Support, ...]
    labels: tuple[int, ...]
    scored: tuple[int, ...]
    draw: int = 0
    brush: str = AREAS
    beside: tuple[tuple[int, tuple[int, ...]], ...] = ()
    target: float | None = None
    painting: str = ""

    @property
    def cases(self) -> list[str]:
        """All cases whose data the episode uses."""
        return sorted({self.query, *(support.case for support in self.supports)})

    def region(self, shape: tuple[int, ...]) -> np.ndarray:
        """The scored voxels, as a bool array of the query's shape (k, j, i)."""
        inside = np.zeros(shape, bool)
        inside[list(self.scored)] = True
        own = [(s.axis, s.slices) for s in self.supports if s.case == self.query and s.axis]
        for axis, slices in (*own, *self.beside):
            np.moveaxis(inside, axis, 0)[list(slices)] = False
        return inside

    def identity(self) -> dict[str, Any]:
        """All that defines the episode, for checksums.

        Fields that were added later are left out where they are not used, so that checksums of older episodes stay.
        """
        content = _used(asdict(self))
        return content | {"supports": [_used(support) for support in content["supports"]]}


def _used(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in ADDED_LATER or value != ADDED_LATER[name]}


def one_label_at_a_time(episodes: Iterable[Episode]) -> list[Episode]:
    """The same slices, painted with one label only, and for each label an episode of its own."""
    return [
        replace(
            episode,
            protocol=f"{episode.protocol}-apart",
            name=f"{episode.name}_label{value}",
            supports=tuple(
                replace(support, painted=(value,))
                for support in episode.supports
                if value in (episode.labels if support.painted is None else support.painted)
            ),
            labels=(value,),
        )
        for episode in episodes
        for value in episode.labels
    ]
