"""Which steps of the engine are done; all of them but for ablation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    """Steps that can be left out.

    Attributes:
        adapt: the segment head is adapted to the painted slices.
        guide: pseudo-labels guide further passes.
        walk: across patients, a random walk fits what was found to the query's own intensities.
    """

    adapt: bool = True
    guide: bool = True
    walk: bool = True
