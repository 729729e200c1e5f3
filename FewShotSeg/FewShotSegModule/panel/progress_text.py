"""Says what a run is at and how long it will take, in words."""

from __future__ import annotations

from slicer.i18n import tr as _

from FewShotSegLib.stages import Stage
from FewShotSegModule.runs.segmentation_run import STARTING, WAITING


def stageText(stage: str, done: int, total: int) -> str:
    """What a run is at, with the count of slices where these are its steps.

    :param stage: One of `FewShotSegLib.stages` or of a run's own.
    :param done: Steps done.
    :param total: Steps of the stage, 0 while unknown.
    """
    title = titles().get(stage, stage)
    if stage in _OF_SLICES and total > 0:
        return _("{stage}: slice {done} of {total}").format(stage=title, done=done, total=total)
    return title


def titles() -> dict[str, str]:
    """All stages as users read them; the language is that of the application when this is called."""
    return {
        STARTING: _("Starting the process that segments"),
        WAITING: _("Waiting for the cancelled run to stop"),
        Stage.LOADING: _("Loading the network"),
        Stage.PREPARING: _("Preparing images and examples"),
        Stage.REGISTERING: _("Aligning the volumes"),
        Stage.ADAPTING: _("Learning from the painted slices"),
        Stage.MEASURING: _("Comparing with the painted slices"),
        Stage.SEARCHING: _("Searching"),
        Stage.SEGMENTING: _("Segmenting"),
        Stage.LOOKING_CLOSER: _("Looking closer"),
        Stage.REVIEWING: _("Reviewing what was found"),
        Stage.JOINING: _("Joining and refining"),
        Stage.FOLLOWING: _("Following the intensities"),
        Stage.CLEANING: _("Removing islands"),
    }


#: Stages of which each step is a slice.
_OF_SLICES = (Stage.SEARCHING, Stage.SEGMENTING, Stage.LOOKING_CLOSER, Stage.REVIEWING, Stage.JOINING)


def timeLeftText(seconds: float | None) -> str:
    """How long it will still take, no more exact than it is known; empty while unknown.

    :param seconds: Seconds left.
    """
    if seconds is None or seconds < 0:
        return ""
    if seconds < 10:
        return _("a few seconds left")
    if seconds < 90:
        return _("about {seconds} s left").format(seconds=round(seconds / 5) * 5)
    if seconds < 5400:
        return _("about {minutes} min left").format(minutes=round(seconds / 60))
    return _("about {hours} h left").format(hours=round(seconds / 3600))
