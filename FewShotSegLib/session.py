"""A session: one volume, examples that come and go, and predictions that use what earlier ones found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .errors import ExampleError, SettingError
from .example import Example, check_examples
from .inference.encodings import Encodings
from .inference.finish import finished
from .inference.near import near_changes
from .inference.pipeline import MOST_VOLUMES, likeness_of_others, run_passes
from .inference.query import lay_out
from .inference.steps import Steps
from .inference.suggest import Doubts, Suggestion, suggestions
from .kept import KeptByVolume
from .network.model import FewShotNetwork
from .plan import Plan
from .preprocessing.mending import MendedImages
from .quality import DEFAULT, is_thorough
from .result import Note, Result
from .stages import Stage
from .volume import Volume

Progress = Callable[[str, int, int], None]
Near = Callable[[list[int], np.ndarray, np.ndarray], None]


class Session:
    """Segments one volume again and again while its examples change.

    What of a prediction depends on the volume alone is kept for the next one.

    Example:
        >>> session = Segmenter().session(query)
        >>> key = session.add(Example(query, axis=0, index=12, mask=liver))
        >>> result = session.predict()
        >>> for suggestion in session.suggest(count=1):
        ...     print(suggestion.index, suggestion.reason)

    Args:
        network: in evaluation mode.
        device: where it is.
        query: the volume.
        steps: which steps are done, for ablation.
        kept: what was found of other volumes that serve several queries; of the same network.

    Raises:
        VolumeError: the query is no finite 3D image of at least two slices along each axis.
    """

    def __init__(
        self, network: FewShotNetwork, device: torch.device, query: Volume, steps: Steps, kept: KeptByVolume
    ) -> None:
        query.require_image()
        self.query = query
        self._network, self._device, self._steps, self._kept = network, device, steps, kept
        self._images = MendedImages(query, kept)
        self._encodings = Encodings()
        self._examples: dict[int, Example] = {}
        self._next_key = 0
        self._last: Doubts | None = None
        self._changed: list[int] = []

    @property
    def examples(self) -> dict[int, Example]:
        """The examples by their keys."""
        return dict(self._examples)

    def add(self, example: Example, key: int | None = None) -> int:
        """Adds an example, or replaces one.

        Args:
            example: a painted slice of the query or of another volume.
            key: of the example to replace; None for a new one.

        Returns:
            the example's key.

        Raises:
            ExampleError: it is no example, or there is none with that key.
        """
        if not isinstance(example, Example):
            raise ExampleError(
                f"An example is a {type(example).__name__}, expected Example; see Example.from_labelmap."
            )
        if key is None:
            key = self._next_key
            self._next_key += 1
        else:
            self._require(key)
        self._examples[key] = example
        self._changed.append(key)
        return key

    def remove(self, key: int) -> None:
        """Removes an example.

        Raises:
            ExampleError: there is none with that key.
        """
        self._require(key)
        del self._examples[key]

    def _require(self, key: int) -> None:
        if key not in self._examples:
            known = ", ".join(map(str, self._examples)) or "none"
            raise ExampleError(f"There is no example with the key {key!r}; there are {known}.")

    def predict(
        self,
        progress: Progress | None = None,
        quality: str = DEFAULT,
        near: Near | None = None,
        refine: bool | float = True,
        overall: Callable[[float], None] | None = None,
    ) -> Result:
        """Segments the volume with the examples as they are now.

        Args:
            progress: called with (stage, steps done, steps of the stage), often, at times without a new step; the
                stages are those of `FewShotSegLib.stages`. What it raises stops the work; the session stays usable.
            quality: one of `FewShotSegLib.quality`: "fast" or "best".
            near: called with (slices, labels, confidence) as soon as the slices next to what changed since the last
                prediction are segmented, roughly: slice numbers along the axis of most painted slices, and two arrays
                (slices, rows, columns) of label values and confidences.
            refine: whether boundaries are fitted to the query's own intensities, or how strongly, from 0 to 1.
            overall: called before each call of `progress` with the part of the whole work that is done: 0 to 1, as far
                as it can be told ahead, never less than before.

        Returns:
            labels and confidence on the query's grid. What is painted on slices of the query comes back exactly as
            painted.

        Raises:
            ExampleError: the examples can't be used together.
            SettingError: the strength of the refinement is not between 0 and 1, or the quality is unknown.
            VolumeError: an image has one intensity only.
        """
        strength = float(refine)
        if not 0 <= strength <= 1:
            raise SettingError(f"The refinement's strength is {refine}, expected 0 (none) to 1 (full).")
        thorough = is_thorough(quality)
        examples = list(self._examples.values())
        values = check_examples(examples)
        plan = Plan(progress, overall)
        tick = plan.begin(Stage.PREPARING, 1)
        volume, examples = self._images.mend(examples)
        query = lay_out(volume, examples, values)
        tick(1)
        with torch.inference_mode():
            if self._last is not None and self._last.query.view.volume is not volume:
                self._encodings = Encodings()  # what is painted decided otherwise which intensities matter
            if near is not None and self._last is not None:
                changed = [self._examples[key] for key in self._changed if key in self._examples]
                changed = [example for example in changed if example.image.shows_the_same(self.query)]
                near_changes(self._network, self._device, self._encodings, query, changed, near, tick)
            passes = run_passes(
                self._network, self._device, plan, self._encodings, self._kept, thorough, self._steps, query
            )
            labels, confidence = finished(query, passes, strength, self._steps, plan)
        colors = {v: c for e in examples for v, c in e.colors.items() if v in values}
        findings = passes.painting.findings if passes.painting else []
        notes = tuple(Note(f.axis, f.index, values[f.segment - 1], query.name_of(f.segment)) for f in findings)
        result = Result(
            self.query.with_array(labels, names=query.names, colors=colors, name="segmentation"),
            self.query.with_array(confidence, name="confidence"),
            notes,
        )
        self._last, self._changed = Doubts.of(query, labels, confidence), []
        return result

    def likeness(self, progress: Progress | None = None) -> list[tuple[Volume, float]]:
        """How like the query the other volumes are that the examples are from, the likest first.

        Examples of a scan of another modality, contrast or part of the body serve badly: scans of one protocol have
        .7 and more, others hardly over .65.

        Args:
            progress: as of `predict`.

        Returns:
            each volume with -1 to 1; of more than eight only those whose slices are likest.

        Raises:
            ExampleError: there are no examples, or they can't be used together.
            VolumeError: an image has one intensity only.
        """
        examples = list(self._examples.values())
        values = check_examples(examples)
        volume, mended = self._images.mend(examples)
        given = {id(new.image): old.image for old, new in zip(examples, mended, strict=True)}
        query = lay_out(volume, mended, values)
        with torch.inference_mode():
            found = likeness_of_others(self._network, self._device, Plan(progress, None), self._kept, query)
        return [(given[id(view.volume)], value) for view, value in found]

    @staticmethod
    def likest(found: list[tuple[Volume, float]]) -> list[Volume]:
        """The volumes whose examples a prediction uses, where no slice of the query is painted.

        Args:
            found: from `likeness`.
        """
        return [volume for volume, _ in found[:MOST_VOLUMES]]

    def suggest(self, count: int = 3) -> list[Suggestion]:
        """Slices whose painting would help most, best first, as far as the last prediction tells.

        Args:
            count: how many at most.

        Raises:
            ExampleError: nothing was predicted yet.
        """
        if self._last is None:
            raise ExampleError("Nothing was predicted yet, expected a prediction to judge; call predict first.")
        return suggestions(self._last, count)
