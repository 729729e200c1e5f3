"""What the worker is told of a run; see `FewShotSegLib.worker`."""

from __future__ import annotations

from typing import Any

import numpy as np

from FewShotSegLib.volume import Volume
from FewShotSegModule.runs.run_input import RunInput


def requestMessage(runInput: RunInput, run: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A request to segment, and the arrays that belong to it by the names of their files.

    :param run: The run's number, with which all its files' names begin.
    """
    arrays: dict[str, np.ndarray] = {}

    def file(name: str, array: np.ndarray) -> str:
        arrays[f"{run}-{name}.npy"] = array
        return f"{run}-{name}.npy"

    volumes: list[Volume] = [runInput.query]
    for example in runInput.examples:
        if not any(example.image is volume for volume in volumes):
            volumes.append(example.image)
    request = {
        "do": "segment",
        "run": run,
        "device": runInput.device,
        "refine": runInput.refine,
        "quality": runInput.quality,
        "volumes": [
            {
                "array": file(f"volume{n}", volume.array),
                "spacing": volume.spacing,
                "origin": volume.origin,
                "direction": volume.direction,
                "name": volume.name,
            }
            for n, volume in enumerate(volumes)
        ],
        "examples": [
            {
                "volume": next(n for n, volume in enumerate(volumes) if volume is example.image),
                "axis": example.axis,
                "index": example.index,
                "mask": file(f"mask{n}", example.mask),
                "names": example.names,
            }
            for n, example in enumerate(runInput.examples)
        ],
    }
    return request, arrays
