"""Few-shot segmentation of 3D medical volumes: from a few painted slices to a segmented volume.

Example:
    >>> from FewShotSegLib import Example, Segmenter, Volume
    >>> query = Volume.read("query.nii.gz")
    >>> examples = Example.from_labelmap(query, Volume.read("painted.seg.nrrd"), slices=[12, 20])
    >>> result = Segmenter(device="auto").segment(query, examples)
    >>> result.labelmap.write("segmented.seg.nrrd")

Names are loaded on first use: importing the package is quick, and torch is loaded only when `Segmenter` is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from FewShotSegLib.errors import (
        Cancelled,
        DeviceError,
        ExampleError,
        FewShotSegError,
        GeometryError,
        ReadError,
        SettingError,
        VolumeError,
        WeightsError,
        WriteError,
    )
    from FewShotSegLib.example import Example, match_labels_by_name
    from FewShotSegLib.result import Result
    from FewShotSegLib.segmenter import Segmenter
    from FewShotSegLib.volume import Volume

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "DeviceError",
    "Example",
    "ExampleError",
    "FewShotSegError",
    "GeometryError",
    "ReadError",
    "Result",
    "Segmenter",
    "SettingError",
    "Volume",
    "VolumeError",
    "WeightsError",
    "WriteError",
    "__version__",
    "match_labels_by_name",
]

_MODULE_OF = {
    "Example": "example",
    "Result": "result",
    "Segmenter": "segmenter",
    "Volume": "volume",
    "match_labels_by_name": "example",
}


def __getattr__(name: str) -> object:
    """Imports a public name's module when the name is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
