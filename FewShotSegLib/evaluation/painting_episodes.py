"""The rules of the protocols of how people really paint, as episodes within a volume.

* ``S-k``: structure by structure, each label on k slices of its own (`slice_rules.own_slices`), nothing else on them.
* ``O-3``: the middle one of the labelled slices along each axis. ``W-3+2``: W-3 and two slices along axis 1 besides.
  ``W-3-on-O``: W-3. All three are scored on the same voxels, those that none of them paints, and the same labels.
* ``B-3``: W-3's slices with strokes instead of areas; ``J-3``: W-3's with outlines as hands draw them (`brushes`).
* ``U-3-middle``, ``U-3-end``: three slices at 30, 50 and 70, and at 10, 20 and 30 % of the labelled slices.
* ``C``: corrections, from the middle slice on, until the set's mean Dice is reached (`corrections`).

Where nothing else is said, all slices without paint are scored, and the labels that are painted. A volume with fewer
than `SPARE` labelled slices left has no such episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from FewShotSegLib.evaluation.brushes import HANDS, STROKES, painting_checksum
from FewShotSegLib.evaluation.episodes import AREAS, Episode, Support
from FewShotSegLib.evaluation.examples import examples_of
from FewShotSegLib.evaluation.slice_rules import own_slices, slices_with_label, uneven_slices, within_volume_slices
from FewShotSegLib.volume import Volume

SPARE = 2
OWN_COUNTS = (1, 3, 5)
BRUSHED_COUNT = 3
UNEVEN = {"U-3-middle": (30, 50, 70), "U-3-end": (10, 20, 30)}
THREE_PLANES, ON_ITS_VOXELS, TWO_BESIDES = "O-3", "W-3-on-O", "W-3+2"
CORRECTIONS = "C"
PAINTING_PROTOCOLS = (
    *(f"S-{count}" for count in OWN_COUNTS), THREE_PLANES, ON_ITS_VOXELS, TWO_BESIDES,
    f"B-{BRUSHED_COUNT}", f"J-{BRUSHED_COUNT}", *UNEVEN, CORRECTIONS,
)  # fmt: skip


def painting_episodes(dataset: str, labels: Mapping[str, np.ndarray], target: float) -> dict[str, list[Episode]]:
    """The episodes of all these protocols.

    Args:
        dataset: Name of the set.
        labels: Labelmap (k, j, i) of each case.
        target: Mean Dice at which corrections of this set end.
    """
    found: dict[str, list[Episode]] = {protocol: [] for protocol in PAINTING_PROTOCOLS}
    for case, label in labels.items():
        rules = _Rules(dataset, case, label)
        for episode in rules.episodes(target):
            found[episode.protocol].append(episode)
    return found


def unpainted_slices(depth: int, supports: Iterable[Support]) -> tuple[int, ...]:
    """Slices along axis 0 that none of the supports along this axis paints."""
    painted = {k for support in supports if support.axis == 0 for k in support.slices}
    return tuple(k for k in range(depth) if k not in painted)


class _Rules:
    """The protocols' rules on one case."""

    def __init__(self, dataset: str, case: str, label: np.ndarray) -> None:
        self._dataset, self._case, self._label = dataset, case, label
        self._labelled = slices_with_label(label)

    def episodes(self, target: float) -> Iterable[Episode]:
        for count in OWN_COUNTS:
            yield from self._structure_by_structure(count)
        yield from self._three_planes()
        if len(self._labelled) >= BRUSHED_COUNT + SPARE:
            for letter, brush in (("B", STROKES), ("J", HANDS)):
                yield from self._brushed(f"{letter}-{BRUSHED_COUNT}", brush)
        for protocol, percents in UNEVEN.items():
            slices = uneven_slices(self._labelled, percents)
            if len(slices) == len(percents) and len(self._labelled) >= len(slices) + SPARE:
                supports = [self._support(slices)]
                yield self._episode(protocol, supports, self._present(supports))
        if self._labelled:
            start = self._support(within_volume_slices(self._labelled, 1))
            labels = tuple(int(value) for value in np.unique(self._label) if value > 0)
            every = tuple(range(self._label.shape[0]))  # of them, what is unpainted in each round
            yield Episode(self._dataset, CORRECTIONS, self._case, self._case, (start,), labels, every, target=target)

    def _structure_by_structure(self, count: int) -> Iterable[Episode]:
        values = [int(value) for value in np.unique(self._label) if value > 0]
        own = own_slices({value: slices_with_label(self._label, [value]) for value in values}, count)
        supports = [self._support(slices, painted=(value,)) for value, slices in own.items() if slices]
        scored = unpainted_slices(self._label.shape[0], supports)
        if len(set(self._labelled) & set(scored)) < SPARE:
            return
        painted = {value for support in supports for value in support.painted or ()}
        left = painted & set(np.unique(self._label[list(scored)]).tolist())
        yield self._episode(f"S-{count}", supports, sorted(left))

    def _three_planes(self) -> Iterable[Episode]:
        if len(self._labelled) < BRUSHED_COUNT + SPARE:
            return
        along = [slices_with_label(self._label, axis=axis) for axis in range(self._label.ndim)]
        axial = self._support(within_volume_slices(along[0], 3))
        painted = {
            THREE_PLANES: [self._support(within_volume_slices(along[axis], 1), axis) for axis in range(len(along))],
            ON_ITS_VOXELS: [axial],
            TWO_BESIDES: [axial, self._support(within_volume_slices(along[1], 2), 1)],
        }
        shared = set.intersection(*(set(self._present(supports)) for supports in painted.values()))
        everything = {(s.axis, s.slices) for supports in painted.values() for s in supports}
        for protocol, supports in painted.items():
            others = tuple(sorted(everything - {(s.axis, s.slices) for s in supports}))
            yield self._episode(protocol, self._all_painted(supports, shared), sorted(shared), beside=others)

    def _brushed(self, protocol: str, brush: str) -> Iterable[Episode]:
        support = self._support(within_volume_slices(self._labelled, BRUSHED_COUNT))
        episode = self._episode(protocol, [support], self._present([support]), brush=brush)
        blank = Volume(self._label)
        examples = examples_of(episode, support, blank, self._label, {})
        # What is too small for a stroke is not scored, yet no background is painted on it.
        painted = {int(value) for example in examples for value in np.unique(example.mask) if value > 0}
        supports = self._all_painted([support], painted)
        yield self._episode(protocol, supports, sorted(painted), brush=brush, painting=painting_checksum(examples))

    def _support(self, slices: Sequence[int], axis: int = 0, painted: tuple[int, ...] | None = None) -> Support:
        return Support(self._case, tuple(slices), axis, painted)

    def _all_painted(self, supports: Sequence[Support], scored: set[int]) -> list[Support]:
        """Supports that say which labels they show where these are more than the scored ones."""
        shown = self._present(supports)
        return [replace(support, painted=shown) if set(shown) > scored else support for support in supports]

    def _present(self, supports: Iterable[Support]) -> tuple[int, ...]:
        """Labels that the reference has on slices."""
        values: set[int] = set()
        for support in supports:
            values.update(np.unique(self._label.take(support.slices, support.axis)).tolist())
        return tuple(sorted(values - {0}))

    def _episode(
        self,
        protocol: str,
        supports: Sequence[Support],
        labels: Sequence[int],
        brush: str = AREAS,
        beside: tuple[tuple[int, tuple[int, ...]], ...] = (),
        painting: str = "",
    ) -> Episode:
        scored = unpainted_slices(self._label.shape[0], supports)
        return Episode(
            self._dataset, protocol, self._case, self._case, tuple(supports), tuple(int(value) for value in labels),
            scored, brush=brush, beside=beside, painting=painting,
        )  # fmt: skip
