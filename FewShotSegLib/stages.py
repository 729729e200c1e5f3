"""The stages of a run, by the names under which progress tells them."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What a run is at; applications translate these names for their users.

    No run has all of them, and some come again: with every further pass over the slices, for one.
    """

    LOADING = "loading"
    """The network and what it needs; in a worker process only, and long only the first time."""
    PREPARING = "preparing"
    """Images and examples are checked and laid out."""
    REGISTERING = "registering"
    """Other volumes are aligned with the query."""
    ADAPTING = "adapting"
    """The segment head learns from the painted slices."""
    MEASURING = "measuring"
    """Every voxel is compared with what is painted: distances through the intensities."""
    SEARCHING = "searching"
    """All slices, for structures that no slice of the query says the place of."""
    SEGMENTING = "segmenting"
    """All slices, guided by slices of the query."""
    LOOKING_CLOSER = "looking closer"
    """Slices with something found, enlarged."""
    REVIEWING = "reviewing"
    """What was seen so far is put together, to guide a further look."""
    JOINING = "joining"
    """All that was seen becomes labels and confidence, with refined boundaries."""
    FOLLOWING = "following"
    """Structures found by examples of other volumes are fitted to the query's own intensities."""
    CLEANING = "cleaning"
    """Islands go."""
