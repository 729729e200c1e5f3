"""What is trained and tested in-domain: data set, setting and fold, and which cases and slices each may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from FewShotSegLib.evaluation.slice_rules import slices_with_label, to_ranges

SETS = ("CHAOS_T2", "SABS_CT")
SETTINGS = ("S1", "S2")
FOLDS = 5
LEAST_SLICES = 3
"""Shorter stacks are not trained on: a support slice and a query slice leave nothing to choose from."""
WEIGHTS = "weights.safetensors"
PREFIX = "in-domain"


@dataclass(frozen=True)
class Trial:
    """One training run and the cases held out from it.

    Attributes:
        dataset: One of `SETS`.
        setting: "S1" (all slices) or "S2" (no slice with a tested organ).
        fold: 0 to `FOLDS` - 1.
    """

    dataset: str
    setting: str
    fold: int = 0

    @property
    def name(self) -> str:
        """Of the method that these weights make, and of their folder."""
        return f"{PREFIX}-{self.setting.lower()}-{self.dataset}-{self.fold}"

    @property
    def title(self) -> str:
        """What tables call it: the same for all sets and folds, which stand in one row."""
        return f"model (in-domain, {self.setting})"

    def weights_file(self, folder: Path) -> Path:
        """Where its weights lie below the folder of all runs."""
        return folder / self.name / WEIGHTS

    def test_cases(self, cases: Sequence[str]) -> list[str]:
        """The cases of the fold, which are held out: every fifth of the sorted list."""
        return sorted(cases)[self.fold :: FOLDS]

    def training_cases(self, cases: Sequence[str]) -> list[str]:
        """All other cases."""
        held_out = set(self.test_cases(cases))
        return [case for case in sorted(cases) if case not in held_out]

    def training_stacks(self, label: np.ndarray, tested: Sequence[int]) -> list[tuple[int, int]]:
        """Slices of a training case that may be seen.

        Args:
            label: Labelmap (k, j, i) of the case; under S1 only its number of slices matters.
            tested: Label values of the organs that are tested.

        Returns:
            (first, last) of stacks of neighbouring slices, of `LEAST_SLICES` at least. Under S2 a slice with as much as
            one voxel of any tested organ is in none of them.
        """
        left_out = set(slices_with_label(label, tested)) if self.setting == "S2" else set()
        stacks = to_ranges(k for k in range(len(label)) if k not in left_out)
        return [(first, last) for first, last in stacks if last - first + 1 >= LEAST_SLICES]


TRIALS = {trial.name: trial for trial in (Trial(*parts) for parts in product(SETS, SETTINGS, range(FOLDS)))}
"""All trials by the name of their method."""
METHOD_GROUPS = {PREFIX: tuple(TRIALS)} | {
    f"{PREFIX}-{setting.lower()}": tuple(name for name, trial in TRIALS.items() if trial.setting == setting)
    for setting in SETTINGS
}
"""Names on the command line that stand for all trials, or those of one setting."""
