"""Intensities that tell nothing of the patient, mended before anything is made of them.

Windows, bodies and distances come from how often intensities are found. Padding of 32767, a slice that a fault made
twenty times as bright, metal, or diffusion in square metres a second would decide them alone. An ordinary scan is given
back as it is, the very same object.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from scipy.ndimage import binary_dilation, median_filter

from ..example import Example
from ..kept import KeptByVolume
from ..volume import Volume
from .intensity import in_hounsfield_units, sample_of

_Painted = list[tuple[np.ndarray, np.ndarray]]
"""(rows, columns) labels and intensities of slices."""

_SAMPLES = 1_000_000
# Padding is one extreme value that many voxels have and that lies apart: by so many ranges of all others, and for a CT,
# whose air is where it always is, by less.
_LEAST_SHARE, _APART, _APART_BELOW_AIR = 0.001, 1.0, 0.3
_AIR = (-1100.0, -500.0)
# And it is so often at the volume's borders.
_AT_BORDERS = 0.1
_MOST_PADDINGS = 3
# A slice is too bright if its intensities spread so many times as far as those around it and show the same things.
_TOO_BRIGHT, _SAME_THINGS, _AROUND, _SIDE = 5.0, 0.5, 11, 64
# What differs by so many ranges from what is in and around painted structures (in pixels), is as good as nearer.
# CT from air to bone is ordinary, and beyond that less is far.
_TAIL, _RIM, _LEAST_TAIL = 7.0, 5, 0.002
_TAIL_OF_CT, _ORDINARY_CT = 2.0, (-1100.0, 1000.0)
# Beyond these, 32 bits or small constants no longer tell intensities apart.
_MOST_OFFSET, _RANGES = 1e4, (1e-2, 1e6)


class MendedImages:
    """A volume and the images of its examples, mended; each once, however often it is asked for.

    Args:
        query: the volume to segment.
        kept: keeps other volumes, mended, for further queries.

    Raises:
        VolumeError: it has one intensity only, padding apart.
    """

    def __init__(self, query: Volume, kept: KeptByVolume | None = None) -> None:
        self._query = query
        self._kept = kept or KeptByVolume()
        # By identity, with the image itself so that no other gets its identity: what it became, None for the query.
        self._known: dict[int, tuple[Volume, Volume | None]] = {}
        self._mended = self._last = mended(query)

    def mend(self, examples: Sequence[Example]) -> tuple[Volume, list[Example]]:
        """The volume and examples with mended images.

        Args:
            examples: checked examples. Those of the query refer to the same object, or one with equal voxels and grid.

        Returns:
            both, ordinary images as they are; the volume as the same object as before where it did not change.

        Raises:
            VolumeError: an image has one intensity only, padding apart.
        """
        images = {id(example.image): example.image for example in examples}
        self._known = {key: self._known.get(key) or (image, self._become(image)) for key, image in images.items()}
        found: dict[int, Volume] = {}
        for key, (_, image) in self._known.items():
            if image is not None:
                found[key] = self._without_tails(image, [e for e in examples if id(e.image) == key])
        own = [e for e in examples if id(e.image) not in found]
        others = [_with_image(e, found[id(e.image)]) for e in examples if id(e.image) in found]
        query = without_tails(self._mended, own, others)
        if query is not self._last and not np.array_equal(query.array, self._last.array):
            self._last = query
        return self._last, [_with_image(e, found.get(id(e.image), self._last)) for e in examples]

    def _become(self, image: Volume) -> Volume | None:
        return None if image.shows_the_same(self._query) else self._changed(image, "mended", lambda: mended(image))

    def _without_tails(self, image: Volume, examples: list[Example]) -> Volume:
        painted = tuple(sorted((e.axis, e.index, e.mask.tobytes()) for e in examples))
        return self._changed(image, ("without tails", hash(painted)), lambda: without_tails(image, examples))

    def _changed(self, image: Volume, how: Hashable, change: Callable[[], Volume]) -> Volume:
        """An image as a change leaves it; kept without a reference to itself where it stays as it is."""

        def find() -> Volume | None:
            result = change()
            return None if result is image else result

        return self._kept.get(image, how, find) or image


def mended(volume: Volume) -> Volume:
    """A volume without what tells nothing of the patient.

    NaN, infinite and padding voxels become as dark as the darkest others, slices that are far too bright as bright as
    their neighbours, and scale and offset are changed where 32 bits would not do.

    Returns:
        the same object if there is nothing to mend; else one with float32 voxels.

    Raises:
        VolumeError: it has one intensity only, padding apart.
    """
    array = volume.array
    for mend in (_without_gaps, _without_padding, _without_bright_slices, _near_zero):
        array = mend(array)
    result = volume if array is volume.array else volume.with_array(array.astype(np.float32), name=volume.name)
    result.require_contrast()
    return result


def without_tails(volume: Volume, examples: Sequence[Example] = (), others: Sequence[Example] = ()) -> Volume:
    """A volume with intensities far from all that is in and around painted structures brought nearer.

    Args:
        volume: a mended volume.
        examples: painted slices of it.
        others: painted slices of other mended volumes. Where there are none of a CT, these tell what matters in it.

    Returns:
        the same object if there is little that far; else one with float32 voxels.
    """
    array = volume.array
    painted = _painted_on(array, examples) or _painted_elsewhere(array, others)
    if not painted:
        return volume
    around = [image[binary_dilation(mask > 0, iterations=_RIM)].astype(np.float64) for mask, image in painted]
    low, high = np.median([np.percentile(values, [2, 98]) for values in around], axis=0)
    if in_hounsfield_units(array):
        far = _TAIL_OF_CT * (high - low)
        least, most = min(low - far, _ORDINARY_CT[0]), max(high + far, _ORDINARY_CT[1])
    else:
        least, most = low - _TAIL * (high - low), high + _TAIL * (high - low)
    sample = sample_of(array, _SAMPLES)
    if high <= low or float(((sample < least) | (sample > most)).mean()) < _LEAST_TAIL:
        return volume
    return volume.with_array(np.clip(array.astype(np.float32), least, most), name=volume.name)


def _with_image(example: Example, image: Volume) -> Example:
    return example if image is example.image else replace(example, image=image)


def _painted_on(array: np.ndarray, examples: Sequence[Example]) -> _Painted:
    """What is painted on an image, beside the intensities there."""
    return [(e.mask, np.moveaxis(array, e.axis, 0)[e.index]) for e in examples if e.mask.any()]


def _painted_elsewhere(array: np.ndarray, others: Sequence[Example]) -> _Painted:
    """What is painted on other images of the same scale: of CT, where this image is one; else nothing."""
    if not in_hounsfield_units(array):
        return []
    return [(e.mask, e.image_slice) for e in others if e.mask.any() and in_hounsfield_units(e.image.array)]


def _float_copy(array: np.ndarray) -> np.ndarray:
    """A copy to calculate with: 32 bits are enough for what has as many or fewer."""
    return array.astype(np.float32 if array.dtype.itemsize <= 2 or array.dtype == np.float32 else np.float64)


def _without_gaps(array: np.ndarray) -> np.ndarray:
    """NaN and infinite voxels as dark as the darkest others."""
    if array.dtype.kind != "f":
        return array
    finite = np.isfinite(array)
    if finite.all():
        return array
    lowest = array[finite].min() if finite.any() else 0.0
    return np.where(finite, array, lowest)


def _without_padding(array: np.ndarray) -> np.ndarray:
    """Padding as dark as the darkest others."""
    for _ in range(_MOST_PADDINGS):
        sample = sample_of(array, _SAMPLES)
        for value in (array.min(), array.max()):
            if _is_padding(value, sample, array):
                darkest = sample[sample != value].min()
                array = np.where(array == value, darkest, array)
                break
        else:
            break
    return array


def _is_padding(value: np.generic, sample: np.ndarray, array: np.ndarray) -> bool:
    others = sample[sample != value].astype(np.float64)
    if not len(others) or 1 - len(others) / len(sample) < _LEAST_SHARE:
        return False
    low, high = np.percentile(others, [1, 99])
    darkest, brightest = others.min(), others.max()
    below = float(value) < darkest
    gap = darkest - float(value) if below else float(value) - brightest
    is_ct = _AIR[0] <= darkest <= _AIR[1]
    if high <= low or gap <= (_APART_BELOW_AIR if below and is_ct else _APART) * (high - low):
        return False
    faces = [np.take(array, (0, -1), axis=axis).ravel() for axis in range(3)]
    return float((np.concatenate(faces) == value).mean()) >= _AT_BORDERS


def _without_bright_slices(array: np.ndarray) -> np.ndarray:
    """Slices that are far brighter than all around them brought to the brightness of their neighbours."""
    for axis in range(3):
        planes = np.moveaxis(array, axis, 0)
        steps = [ceil(size / _SIDE) for size in planes.shape[1:]]
        small = planes[:, :: steps[0], :: steps[1]].astype(np.float64)
        low, middle, high = np.percentile(small, [5, 50, 95], axis=(1, 2))
        spread = high - low
        bright = spread > _TOO_BRIGHT * median_filter(spread, min(_AROUND, 2 * (len(spread) // 2) - 1), mode="mirror")
        mend = [(z, near) for z in np.flatnonzero(bright) if (near := _neighbours(int(z), bright, spread, small))]
        if not mend:
            continue
        array = _float_copy(array)
        planes = np.moveaxis(array, axis, 0)
        for z, near in mend:
            scale = spread[near].mean() / spread[z]
            planes[z] = (planes[z] - middle[z]) * scale + middle[near].mean()
    return array


def _neighbours(z: int, bright: np.ndarray, spread: np.ndarray, small: np.ndarray) -> list[int]:
    """The nearest ordinary slices on both sides of a bright one; none if it is not as they are, but for brightness."""
    ordinary = np.flatnonzero(~bright)
    near = [*map(int, ordinary[ordinary < z][-1:]), *map(int, ordinary[ordinary > z][:1])]
    if not near or not spread[z] > _TOO_BRIGHT * spread[near].max() > 0:
        return []
    alike = [np.corrcoef(small[z].ravel(), small[n].ravel())[0, 1] for n in near]
    return near if max(alike) > _SAME_THINGS else []


def _near_zero(array: np.ndarray) -> np.ndarray:
    """Intensities far from 0 for their range, or of an unusual range, brought to 0 to 1000."""
    low, high = float(array.min()), float(array.max())
    size = high - low
    if size > 0 and (max(abs(low), abs(high)) > _MOST_OFFSET * size or not _RANGES[0] <= size <= _RANGES[1]):
        return ((array.astype(np.float64) - low) * (1000 / size)).astype(np.float32)
    return array
