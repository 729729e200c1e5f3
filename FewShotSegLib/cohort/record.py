"""What is written of one case: a line of the report, and what tells whether it is still what would be computed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from FewShotSegLib.colors import Color

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Structure:
    """One structure of a case.

    Attributes:
        label: value in the segmentation.
        name: its name.
        color: red, green, blue, 0..1.
        voxels: how many.
        volume_ml: by the volume's own spacing.
        surface_cm2: by Crofton's formula.
        confidence: mean over its voxels, 0..1; nan where nothing was found.
    """

    label: int
    name: str
    color: Color
    voxels: int
    volume_ml: float
    surface_cm2: float
    confidence: float


@dataclass(frozen=True)
class Record:
    """One case.

    Attributes:
        case: its name.
        query: path of the volume.
        status: `DONE` or `FAILED`.
        work: what decides the result (volume, examples, engine, settings), as a digest.
        file_state: size and time of change of the volume, to see whether it is the same without reading it.
        examples: digests of the library's volumes that served.
        library: digest of the library that they were chosen from.
        error: why it failed.
        doubts: why somebody should look at it, in words.
        warnings: what was said while it was computed.
        likeness: of the likest scan of the library, -1 to 1.
        spacing: of the volume in mm, i, j, k.
        shape: voxels, k, j, i.
        seconds: it took.
        structures: what was found.
    """

    case: str
    query: str
    status: str
    work: str = ""
    file_state: str = ""
    examples: tuple[str, ...] = ()
    library: str = ""
    error: str = ""
    doubts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    likeness: float = math.nan
    spacing: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    seconds: float = 0.0
    structures: tuple[Structure, ...] = field(default=())

    @property
    def mean_confidence(self) -> float:
        """Over all voxels of its structures; nan where nothing was found."""
        voxels = sum(s.voxels for s in self.structures)
        total = sum(s.confidence * s.voxels for s in self.structures if s.voxels)
        return total / voxels if voxels else math.nan

    def to_json(self) -> str:
        """As text; numbers that are none become null."""
        return json.dumps(_plain(asdict(self)), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record of a text; what it does not know is left out.

        Raises:
            ValueError: it is no record.
        """
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("no record of a case")
        try:
            structures = tuple(Structure(**_numbers(Structure, one)) for one in data.get("structures", ()))
            known = {name: data[name] for name in cls.__dataclass_fields__ if name in data and name != "structures"}
            for name in ("examples", "doubts", "warnings", "spacing", "shape"):
                known[name] = tuple(known.get(name, ()))
            if known.get("likeness") is None:
                known["likeness"] = math.nan
            return cls(**known, structures=structures)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no record of a case: {error}") from error


def _numbers(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    values = {name: data[name] for name in kind.__dataclass_fields__ if name in data}  # type: ignore[attr-defined]
    values["color"] = tuple(values["color"])
    if values.get("confidence") is None:
        values["confidence"] = math.nan
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
