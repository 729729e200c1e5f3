"""How thorough a run is: an answer soon, or all that helps."""

from __future__ import annotations

from FewShotSegLib.errors import SettingError

FAST = "fast"
"""One pass over all slices. Only where no slice of the volume is painted is the network adapted before, to those of
other volumes: there much depends on it, and it takes less of the time."""
BEST = "best"
"""The network is adapted to the painted slices too, and what is found guides further passes: several times the work."""
QUALITIES = (FAST, BEST)
DEFAULT = FAST


def is_thorough(quality: str) -> bool:
    """Whether a run of this quality does all that helps.

    Raises:
        SettingError: there is no such quality.
    """
    if quality not in QUALITIES:
        raise SettingError(f"The quality is {quality!r}, expected {' or '.join(QUALITIES)}.")
    return quality == BEST
