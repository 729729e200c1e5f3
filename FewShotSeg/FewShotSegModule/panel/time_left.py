"""Says how long something will take, in words."""

from __future__ import annotations

from slicer.i18n import tr as _


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
    return _("about {minutes} min left").format(minutes=round(seconds / 60))
