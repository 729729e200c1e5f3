"""How sure a mean and a difference are: bootstrap intervals over cases, and paired tests, by SciPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 9999
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class PairedDifference:
    """How much better one method is than another on the same cases.

    Attributes:
        mean: Mean over cases of the first minus the second.
        low: Lower end of its 95 % bootstrap interval; None with fewer than two cases.
        high: Upper end.
        p: Two-sided p of Wilcoxon's signed-rank test, not corrected for the number of comparisons; None with fewer
            than two cases.
        cases: Number of cases that both have.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    cases: int


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a mean by the percentile bootstrap over cases (Efron 1979), always with the same resamples.

    Args:
        values: One value a case.

    Returns:
        Lower and upper end, or None with fewer than two cases.
    """
    data = np.asarray(values, np.float64)
    if len(data) < 2:
        return None
    if np.ptp(data) == 0:  # every resample has the same mean
        return float(data[0]), float(data[0])
    found = stats.bootstrap(
        (data,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
        random_state=np.random.default_rng(SEED),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_difference(first: Mapping[str, float], second: Mapping[str, float]) -> PairedDifference | None:
    """Compares two methods case by case.

    Args:
        first: Case to value.
        second: Case to value; cases that only one has are left out.

    Returns:
        The difference, or None where they share no case.
    """
    cases = sorted(set(first) & set(second))
    if not cases:
        return None
    differences = np.asarray([first[case] - second[case] for case in cases], np.float64)
    interval = bootstrap_interval(differences.tolist())
    p = None
    if len(cases) >= 2:
        # Without any difference there is nothing to rank; SciPy would divide by zero.
        p = float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    low, high = interval or (None, None)
    return PairedDifference(float(differences.mean()), low, high, p, len(cases))
