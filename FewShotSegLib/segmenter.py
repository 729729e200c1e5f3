"""The public engine: examples in, labels and confidence out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import threads

if "torch" not in sys.modules:  # how its threads wait is settled when it is loaded
    threads.prepare()

import numpy as np
import torch

from .errors import DeviceError, SettingError
from .example import Example, check_examples
from .inference.components import in_one_piece, remove_islands
from .inference.course import Course
from .inference.feature_store import FeatureStore
from .inference.layers import CONFIDENCE_TEMPERATURE, merge
from .inference.pipeline import Pipeline
from .inference.random_walk import RandomWalk
from .inference.refinement import refiner, trials
from .inference.request import lay_out, paste_painted
from .memory import give_back
from .preprocessing.mending import mended_images
from .quality import DEFAULT, is_thorough
from .result import Result
from .stages import Stage
from .volume import Volume
from .weights import load_network

Progress = Callable[[str, int, int], None]


class Segmenter:
    """Few-shot segmentation of volumes with the bundled IPL+SL weights.

    Example:
        >>> examples = Example.from_labelmap(image, labelmap, slices=[12, 20])
        >>> result = Segmenter(device="cpu").segment(image, examples)
        >>> result.labelmap.write("out.seg.nrrd")

    Args:
        device: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1".
        weights: weights file; the bundled one if None.
        **switches: `use_*` fields of the network's configuration to turn modules off, for ablation.

    Raises:
        DeviceError: the device is unknown or not there.
        WeightsError: the weights are missing, truncated or altered.
    """

    def __init__(self, device: str = "auto", weights: str | Path | None = None, **switches: bool) -> None:
        self.device = choose_device(device)
        self.network = load_network(weights, **switches).to(self.device)
        self._store = FeatureStore()

    def segment(
        self,
        query: Volume,
        examples: Sequence[Example],
        progress: Progress | None = None,
        refine: bool | float = True,
        zoom: bool = True,
        again: bool = True,
        tune: bool = True,
        smooth: bool = True,
        carry: bool = True,
        walk: bool = True,
        overall: Callable[[float], None] | None = None,
        quality: str = DEFAULT,
    ) -> Result:
        """Segments a volume.

        Args:
            query: the volume.
            examples: 1 to 50 completely painted slices, of the query, of other volumes, or both.
            progress: called with (stage, steps done, steps of the stage), often, at times without a new step; the
                stages are those of `FewShotSegLib.stages`. What it raises stops the work.
            refine: whether boundaries are fitted to the query's own intensities, or how strongly, from 0 to 1.
            zoom: whether small structures get a closer look.
            again: whether slices as a first look saw them guide a second one, and whether what it is unsure of in a
                volume without painted slices is looked for once more, darker and brighter.
            tune: whether the segment head is tuned to the query's painted slices, or where it has none to those of
                other volumes; there must be two or more.
            smooth: whether logits are smoothed through the slices.
            carry: whether examples of other volumes are registered to the query to say where structures are to be
                expected; else places are compared relative to the bodies.
            walk: whether a random walk fits what was found to the query's own intensities where no slice of it is
                painted.
            overall: called before each call of `progress` with the part of the whole work that is done: 0 to 1, as far
                as it can be told ahead, never less than before.
            quality: one of `FewShotSegLib.quality`: "fast", for which `again` is off, and `tune` where slices of the
                query are painted, or "best".

        Returns:
            labels and confidence on the query's grid. Painted slices of the query come back exactly as painted.

        Raises:
            ExampleError: the examples can't be used together.
            SettingError: the strength of the refinement is not between 0 and 1, or the quality is unknown.
            VolumeError: the query is no finite 3D image of at least two slices along each axis.
        """
        strength = float(refine)
        if not 0 <= strength <= 1:
            raise SettingError(f"The refinement's strength is {refine}, expected 0 (none) to 1 (full).")
        thorough = is_thorough(quality)
        query.require_image()
        values = check_examples(examples)
        query, examples = mended_images(query, examples)
        course = Course(progress, overall)
        tick = course.begin(Stage.PREPARING, 1)
        request = lay_out(query, examples, values)
        tick(1)
        with torch.inference_mode():
            again, tune = again and thorough, tune and (thorough or not request.painted.positions)
            steps = (zoom, again, tune, self._store, smooth, carry)
            layers = Pipeline(self.network, self.device, course, *steps).run(request)
            refinement = None
            if strength > 0:
                tick = course.begin(Stage.REFINING, trials(request))
                refinement = refiner(request, layers[0].frame, strength, tick)
            give_back()  # the results are large
            # Filled through views in the order of the slices, so that large volumes exist once only.
            labels = np.zeros(query.shape, np.uint8 if max(values) < 256 else np.uint16)
            confidence = np.zeros(query.shape, np.float32)
            stacks = np.moveaxis(labels, request.view.axis, 0), np.moveaxis(confidence, request.view.axis, 0)
            walker = RandomWalk(request.view, len(values)) if walk and not request.painted.positions else None
            tick = course.begin(Stage.JOINING, len(stacks[0]))
            note = None if walker is None else walker.note
            merge(layers, *stacks, values, refinement, tick=tick, temperature=CONFIDENCE_TEMPERATURE, note=note)
            if walker is not None:
                walker.relabel(*stacks, values, course.begin(Stage.FOLLOWING, len(values)))
        clean = in_one_piece([e.mask for e in examples], values)
        planes = paste_painted(query, examples, labels, confidence)
        remove_islands(labels, confidence, clean, planes, course.begin(Stage.CLEANING, len(clean)))
        names = {v: n for e in examples for v, n in e.names.items() if v in values}
        colors = {v: c for e in examples for v, c in e.colors.items() if v in values}
        return Result(
            query.with_array(labels, names=names, colors=colors, name="segmentation"),
            query.with_array(confidence, name="confidence"),
        )


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
