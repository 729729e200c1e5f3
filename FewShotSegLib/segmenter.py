"""The public engine: examples in, labels and confidence out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import threads

if "torch" not in sys.modules:  # how its threads wait is settled when it is loaded
    threads.prepare()

import torch

from .errors import DeviceError
from .example import Example
from .inference.steps import Steps
from .kept import KeptByVolume
from .quality import DEFAULT
from .result import Result
from .session import Progress, Session
from .volume import Volume
from .weights import load_network


class Segmenter:
    """Few-shot segmentation of volumes with the bundled IPL+SL weights.

    Example:
        >>> examples = Example.from_labelmap(image, labelmap, slices=[12, 20])
        >>> result = Segmenter(device="cpu").segment(image, examples)
        >>> result.labelmap.write("out.seg.nrrd")

    Args:
        device: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1".
        weights: weights file; the bundled one if None.
        steps: which steps are done, for ablation.
        **switches: `use_*` fields of the network's configuration to turn modules off, for ablation.

    Raises:
        DeviceError: the device is unknown or not there.
        WeightsError: the weights are missing, truncated or altered.
    """

    def __init__(
        self, device: str = "auto", weights: str | Path | None = None, steps: Steps | None = None, **switches: bool
    ) -> None:
        self.device = choose_device(device)
        self.network = load_network(weights, **switches).to(self.device)
        self._steps = steps or Steps()
        self._kept = KeptByVolume()

    def session(self, query: Volume) -> Session:
        """Starts segmenting a volume whose examples come one after the other.

        Args:
            query: the volume.

        Raises:
            VolumeError: the query is no finite 3D image of at least two slices along each axis.
        """
        return Session(self.network, self.device, query, self._steps, self._kept)

    def segment(
        self,
        query: Volume,
        examples: Sequence[Example],
        progress: Progress | None = None,
        refine: bool | float = True,
        quality: str = DEFAULT,
        overall: Callable[[float], None] | None = None,
    ) -> Result:
        """Segments a volume: a session of one prediction; see `Session.predict` for the arguments.

        Args:
            query: the volume.
            examples: 1 to 50 painted slices, of the query, of other volumes, or both.
            progress, refine, quality, overall: as of `Session.predict`.

        Raises:
            ExampleError: the examples can't be used together.
            SettingError: the strength of the refinement is not between 0 and 1, or the quality is unknown.
            VolumeError: the query is no finite 3D image of at least two slices along each axis.
        """
        session = self.session(query)
        for example in examples:
            session.add(example)
        return session.predict(progress=progress, quality=quality, refine=refine, overall=overall)


def choose_device(name: str) -> torch.device:
    """Turns a device name into a device that exists; "auto" prefers CUDA.

    Raises:
        DeviceError: the name is unknown, or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"The device is {name!r}, expected auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"The device is {name!r}, expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"The device is {name!r}, but this computer offers {count} CUDA devices to torch; choose cpu or auto, "
                "or install a torch build with CUDA."
            )
    return device
