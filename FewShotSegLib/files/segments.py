"""The segments of a segmentation, brought into one labelmap."""

from __future__ import annotations

import logging

import numpy as np

from FewShotSegLib.colors import Color
from FewShotSegLib.errors import VolumeError
from FewShotSegLib.files.segmentation_header import NO_LAYER, Segment
from FewShotSegLib.labels import label_problem, label_values

_log = logging.getLogger(__name__)


def merge_layers(
    array: np.ndarray, segments: list[Segment], label: str
) -> tuple[np.ndarray, dict[int, str], dict[int, Color]]:
    """Brings a segmentation's layers into one labelmap, in the segments' order: later over earlier.

    Args:
        array: Voxels (k, j, i), or (k, j, i, layers).
        segments: What the header says.
        label: How messages call the volume.

    Returns:
        Labels (k, j, i), names and colours by value. Where two layers use the same value, the later segment gets the
        next free one. Voxels that no segment names stay, as labels without a name.

    Raises:
        VolumeError: A segment is in no layer of the file, has no value or that of the background, or shares its value
            with another one.
    """
    if array.ndim == 3:
        array = array[..., None]
    layers = array.shape[3]
    _require_own_values(segments, layers, label)
    if layers == 1:
        names = {segment.value: segment.name for segment in segments}
        colors = {segment.value: segment.color for segment in segments if segment.color is not None}
        return array[..., 0], names, colors
    problem = label_problem(array)
    if problem:
        raise VolumeError(f"{label} is a segmentation that holds no labels: {problem}; save it again.")
    merged = np.zeros(array.shape[:3], np.int32)
    names, colors = {}, {}
    covered = 0
    for segment in [*segments, *_unnamed(array, segments, label)]:
        value = segment.value
        while value in names:
            value += 1
        mask = array[..., segment.layer] == segment.value
        covered += int(np.count_nonzero(merged[mask]))
        merged[mask] = value
        names[value] = segment.name
        if segment.color is not None:
            colors[value] = segment.color
    if covered:
        _log.warning(
            "%s has segments that overlap; in %d voxels a later segment covers an earlier one.", label, covered
        )
    return merged, {value: name for value, name in names.items() if name}, colors


def _require_own_values(segments: list[Segment], layers: int, label: str) -> None:
    """Raises VolumeError unless each segment has a layer that exists and a value there that is its own."""
    owners: dict[tuple[int, int], str] = {}
    for segment in segments:
        title = f"{label} says its segment '{segment.name}'"
        if segment.layer == NO_LAYER:
            raise VolumeError(f"{title} is in none of its {layers} layers, expected one; save the segmentation again.")
        if not 0 <= segment.layer < layers:
            raise VolumeError(
                f"{title} is in layer {segment.layer}, but has layers 0 to {layers - 1}; save the segmentation again."
            )
        if segment.value < 1:
            raise VolumeError(
                f"{title} has the value {segment.value}, expected 1 or more, since 0 is the background; "
                "save the segmentation again."
            )
        place = (segment.layer, segment.value)
        if place in owners:
            raise VolumeError(
                f"{label} has two segments in one place: '{owners[place]}' and '{segment.name}' both have the value "
                f"{segment.value} in layer {segment.layer}, or no LabelValue of their own. Expected a value for each; "
                "correct the fields Segment0_LabelValue, Segment1_LabelValue and so on, or save the segmentation again."
            )
        owners[place] = segment.name


def _unnamed(array: np.ndarray, segments: list[Segment], label: str) -> list[Segment]:
    """Segments without a name for what a layer holds beyond those that the header describes."""
    described = {(segment.layer, segment.value) for segment in segments}
    there = {(layer, value) for layer in range(array.shape[3]) for value in label_values(array[..., layer])}
    if there - described:
        _log.warning(
            "%s holds %d labels that its header does not describe; they are kept without a name.",
            label, len(there - described),
        )  # fmt: skip
    return [Segment("", None, layer, value) for layer, value in sorted(there - described)]
