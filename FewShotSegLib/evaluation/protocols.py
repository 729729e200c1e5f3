"""The protocols by name, and how each of them asks a method for its answer.

W-k, A-n and EP1-blind ask once, with the whole query and all examples. EP1, the form in which the field publishes its
"1-shot" figures, also tells which third of the structure's extent each query slice belongs to: the query is cut into
three stacks, and each is segmented from the one support slice of its own third.

S-k, O-3, B-3, J-3 and U-3 (`painting_episodes`) ask once, too. S-k-apart asks about S-k's labels one at a time. C and
its variants ask again and again, see `corrections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from FewShotSegLib.evaluation import manifests, painting_episodes
from FewShotSegLib.evaluation.episodes import Episode
from FewShotSegLib.evaluation.methods import Answer, Method
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

HINTED = "EP1"
BLIND = "EP1-blind"
WITHIN = tuple(f"W-{count}" for count in manifests.WITHIN_COUNTS)
ACROSS = tuple(f"A-{count}" for count in manifests.ACROSS_COUNTS)
STRUCTURES = tuple(f"S-{count}" for count in painting_episodes.OWN_COUNTS)
STRUCTURES_APART = tuple(protocol + manifests.APART for protocol in STRUCTURES)
PLANES = (painting_episodes.THREE_PLANES, painting_episodes.ON_ITS_VOXELS, painting_episodes.TWO_BESIDES)
STROKES, HANDS = (f"{letter}-{painting_episodes.BRUSHED_COUNT}" for letter in "BJ")
UNEVEN = tuple(painting_episodes.UNEVEN)
CORRECTIONS = (painting_episodes.CORRECTIONS, "C-spread", "C-unsure")
"""Slices as the method suggests them, evenly spread ones, and the least confident ones."""
PAINTING = (*STRUCTURES, *STRUCTURES_APART, *PLANES, STROKES, HANDS, *UNEVEN, *CORRECTIONS)
PAINTED_OTHERWISE = {
    **dict(zip(STRUCTURES, STRUCTURES_APART, strict=True)),
    **{protocol: painting_episodes.ON_ITS_VOXELS for protocol in PLANES if protocol != painting_episodes.ON_ITS_VOXELS},
    **dict.fromkeys((STROKES, HANDS, *UNEVEN), f"W-{painting_episodes.BRUSHED_COUNT}"),
}
"""Protocols, and the one each of them is to be compared with."""
PROTOCOLS = (*WITHIN, *ACROSS, HINTED, BLIND, *PAINTING)
PROTOCOL_GROUPS = {
    "W": WITHIN, "A": ACROSS, "S": STRUCTURES, "S-apart": STRUCTURES_APART, "O": PLANES, "U": UNEVEN,
    "corrections": CORRECTIONS, "painting": PAINTING, "all": PROTOCOLS,
}  # fmt: skip
DEFAULT, QUICK = ("W-3", BLIND), ("W-3",)

THIRDS = 3
LEAST_STACK = 3
"""A stack is widened to so many slices, since a volume needs some thickness; the added slices are not used."""


def is_within(protocol: str) -> bool:
    """Whether a protocol's examples are slices of the query itself."""
    return protocol in WITHIN or protocol in PAINTING


def shows_whole_parallel_slices(protocol: str) -> bool:
    """Whether all examples are whole slices along one axis; if not, they cross, or are strokes."""
    return protocol not in (painting_episodes.THREE_PLANES, painting_episodes.TWO_BESIDES, STROKES)


def ask(method: Method, protocol: str, episode: Episode, query: Volume, examples: Sequence[Example]) -> Answer:
    """A method's answer under a protocol.

    Args:
        method: Sees the query (or a part of it) and examples, nothing else.
        protocol: One of `PROTOCOLS`.
        episode: Says which slices are scored; under EP1 their range is the structure's extent in the query.
        query: The whole query volume.
        examples: The episode's examples, by rising slice number under EP1.

    Returns:
        Labelmap and confidence on the query's grid; under EP1 background (with confidence 1) outside the extent.
    """
    if protocol != HINTED or not method.takes_parts:
        return method.segment(query, examples)
    labels = np.zeros(query.shape, np.int32)
    confidence: np.ndarray | None = np.ones(query.shape, np.float32)
    for third, slices in enumerate(thirds(episode.scored)):
        if not slices:
            continue
        first, last = _widened(slices[0], slices[-1], query.shape[0])
        example = examples[min(third, len(examples) - 1)]
        found, sure = method.segment(stack_of(query, first, last), [example])
        inside = slice(slices[0] - first, slices[-1] - first + 1)
        labels[slices[0] : slices[-1] + 1] = found[inside]
        if sure is None:
            confidence = None
        elif confidence is not None:
            confidence[slices[0] : slices[-1] + 1] = sure[inside]
    return labels, confidence


def thirds(extent: Sequence[int]) -> list[list[int]]:
    """Splits an extent into three: slice number n of N belongs to third floor(3 n / N).

    Args:
        extent: Neighbouring slice indices, sorted.
    """
    count = len(extent)
    parts: list[list[int]] = [[] for _ in range(THIRDS)]
    for number, index in enumerate(extent):
        parts[THIRDS * number // count].append(index)
    return parts


def stack_of(volume: Volume, first: int, last: int) -> Volume:
    """The slices first..last along array axis 0 as a volume of their own, where they are in the patient."""
    along = np.asarray(volume.direction, float).reshape(3, 3)[:, 2] * volume.spacing[2]
    x, y, z = (float(value) for value in np.asarray(volume.origin) + along * first)
    return replace(volume, array=volume.array[first : last + 1], origin=(x, y, z))


def _widened(first: int, last: int, depth: int) -> tuple[int, int]:
    """Widens a range to `LEAST_STACK` slices where the volume has them, on both sides in turn."""
    below = True
    while last - first + 1 < min(LEAST_STACK, depth):
        if (below and first > 0) or last == depth - 1:
            first -= 1
        else:
            last += 1
        below = not below
    return first, last
