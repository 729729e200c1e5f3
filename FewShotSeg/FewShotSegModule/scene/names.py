"""Names for new nodes."""

from __future__ import annotations

from typing import Any


def freeName(scene: Any, wanted: str) -> str:
    """A name that no node has: the wanted one, else with the first number that is free.

    The scene's own `GenerateUniqueName` counts on also where the nodes before are gone.
    """
    name, number = wanted, 0
    while scene.GetFirstNodeByName(name) is not None:
        number += 1
        name = f"{wanted}_{number}"
    return name
