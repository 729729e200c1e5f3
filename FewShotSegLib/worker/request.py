"""A request to segment, as it comes in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume


@dataclass(frozen=True)
class SegmentRequest:
    """What is to be segmented, and how.

    Attributes:
        run: number of the run, which all answers name.
        device: "auto", "cpu", "cuda", "cuda:1".
        refine: whether boundaries are refined, or how strongly.
        quality: how thorough the run is.
        query: the volume to segment.
        examples: painted slices of it and of other volumes.
    """

    run: int
    device: str
    refine: bool | float
    quality: str
    query: Volume
    examples: list[Example]

    @classmethod
    def read(cls, message: dict[str, Any], folder: Path) -> SegmentRequest:
        """Loads what a message names, and removes the files.

        Raises:
            FewShotSegError: a volume or an example is none.
        """
        volumes = [
            Volume.from_array(
                _take(folder, v["array"]), v["spacing"], v["origin"], v["direction"], name=str(v.get("name", ""))
            )
            for v in message["volumes"]
        ]
        examples = [
            Example(
                image=volumes[e["volume"]],
                axis=e["axis"],
                index=e["index"],
                mask=_take(folder, e["mask"]),
                names={int(value): str(name) for value, name in e.get("names", {}).items()},
            )
            for e in message["examples"]
        ]
        return cls(message["run"], message["device"], message["refine"], message["quality"], volumes[0], examples)


def _take(folder: Path, name: str) -> np.ndarray:
    file = folder / name
    array = np.load(file, allow_pickle=False)
    file.unlink()
    return array
