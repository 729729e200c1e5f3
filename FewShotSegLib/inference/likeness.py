"""Which other volumes' painted slices serve a query best: those of scans that are like it."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import Tick
from ..preprocessing.views import SliceView
from ..registration.painted_stack import PaintedStack
from ..registration.patient_registration import PatientRegistration

# Volumes that are registered to tell how like the query they are; of more, those whose slices are most like its.
_REGISTERED = 8


def likenesses(
    register: PatientRegistration, stacks: Sequence[PaintedStack], tick: Tick
) -> list[tuple[SliceView, float]]:
    """Other volumes with how like the query they are, the likest first.

    Args:
        register: other volumes to the query.
        stacks: painted slices; the first stack of a volume stands for it.
        tick: called with 1 for each volume; may raise to cancel.

    Returns:
        a view of each volume, and -1 to 1 (see `registration.likeness`); of many volumes only those that come into
        question.
    """
    first: dict[int, PaintedStack] = {}
    for stack in stacks:
        first.setdefault(id(stack.view.volume), stack)
    candidates = list(first.values())
    if len(candidates) > _REGISTERED:
        rough = [register.rough_likeness(stack) for stack in candidates]
        order = sorted(range(len(candidates)), key=lambda i: -rough[i])[:_REGISTERED]
        candidates = [candidates[i] for i in sorted(order)]
    found = []
    for stack in candidates:
        found.append((stack.view, register.likeness(stack)))
        tick(1)
    return sorted(found, key=lambda item: -item[1])
