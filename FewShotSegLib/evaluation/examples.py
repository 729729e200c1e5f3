"""From an episode's supports to what a method gets: examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from FewShotSegLib.evaluation.brushes import paint
from FewShotSegLib.evaluation.episodes import Episode, Support
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume


def examples_of(
    episode: Episode, support: Support, image: Volume, label: np.ndarray, names: Mapping[int, str]
) -> list[Example]:
    """A support's painted slices, with the labels that are painted on them and no others.

    Args:
        episode: Whose support it is; says the brush.
        support: Which slices.
        image: Image of its case.
        label: Reference labelmap (k, j, i) of its case.
        names: Names by label value.
    """
    painted = episode.labels if support.painted is None else support.painted
    wanted = {value: names[value] for value in painted if value in names}
    seed = f"{episode.dataset}/{support.case}"
    examples = []
    for index in support.slices:
        mask = label.take(index, support.axis)
        mask = np.where(np.isin(mask, painted), mask, 0)
        whole = Example(image=image, axis=support.axis, index=index, mask=mask, names=wanted)
        examples.append(paint(whole, episode.brush, seed))
    return examples
