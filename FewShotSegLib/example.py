"""Examples: painted slices, from which the engine learns what to segment."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from FewShotSegLib.colors import Color
from FewShotSegLib.errors import ExampleError, GeometryError, VolumeError
from FewShotSegLib.labels import LABEL_LIMIT, as_labels, label_problem, label_values
from FewShotSegLib.volume import AXIS_NAMES, Volume, clean_names

Complete: TypeAlias = Literal["all"] | Collection[int] | Mapping[int, bool] | None
"""What is said of the structures of a slice, see `Example.complete`."""


@dataclass(frozen=True, eq=False)
class Example:
    """One slice of a volume with what is painted on it; treat as immutable.

    What is painted is known. What is not painted is background only where that is known, per structure: see `complete`.

    Example:
        >>> Example(image=ct, axis=0, index=12, mask=liver_on_slice_12, names={1: "liver"})
        >>> Example.from_labelmap(ct, painted, slices=[12, 20])

    Attributes:
        image: The volume the slice is from, the query or another one.
        axis: Array axis across the slice: 0 (k), 1 (j) or 2 (i).
        index: Which slice along that axis, from 0.
        mask: Labels of the slice, whole numbers from 0 (background) to 32768; its shape is that of
            `image.array.take(index, axis)`. Bools and floats with whole values are accepted, as are 1.00002 or
            0.996, which scale factors in files leave; kept as an int32 copy.
        names: Names by label value.
        colors: Colours by label value, red, green, blue in 0..1.
        complete: Label values of the structures that are painted completely on the slice, or known not to be on it;
            of the others the unpainted pixels may be theirs. "all": every structure. An empty set: strokes, nothing
            but the painted pixels is known. None: the engine finds out; a structure that is not painted on a slice is
            looked for there from the other slices, and taken as absent where it is not found. A mapping says it of
            some structures, True for complete and False for not, and leaves the others to the engine.
        background: Label value whose pixels are no structure's ("not this"); it is in no result.

    Raises:
        ExampleError: Axis or index are outside the volume, the mask has another shape or holds no labels, `complete`
            holds no label values, or `background` is none.
        VolumeError: The slice of the image holds NaN or infinite values.
    """

    image: Volume
    axis: int
    index: int
    mask: np.ndarray
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, Color] = field(default_factory=dict)
    complete: Complete = None
    background: int | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the only place where a frozen example's fields are set
        axis = _require_axis(self.image, self.axis)
        index = _require_index(self.image, axis, self.index)
        put(self, "axis", axis)
        put(self, "index", index)
        put(self, "names", _require_names(self.names))
        put(self, "mask", self._require_mask(self.mask))
        put(self, "background", _require_background(self.background))
        put(self, "complete", _require_complete(self.complete))
        if self.image.array.dtype.kind == "f" and not np.isfinite(self.image_slice).all():
            raise VolumeError(
                f"Slice {index} along {AXIS_NAMES[axis]} of {_name(self.image)} has NaN or infinite voxels, "
                "expected finite intensities; replace them first."
            )

    @classmethod
    def from_labelmap(
        cls,
        image: Volume,
        labelmap: Volume | np.ndarray,
        slices: Iterable[int] | None = None,
        axis: int = 0,
        names: Mapping[int, str] | None = None,
        complete: Complete = None,
        background: int | None = None,
    ) -> list[Example]:
        """Takes slices of a labelmap as examples.

        Args:
            image: The volume that was painted on.
            labelmap: Labels on the image's grid, or an array (k, j, i) of the image's shape; whole numbers from 0
                (background) to 32768. A cropped, larger or flipped labelmap is laid into the image's grid if its voxels
                lie where the image's do.
            slices: Which slices, indices along the axis from 0; None takes all that hold a label. A slice listed
                although nothing is painted on it shows what the structures are not, if `complete` says so.
            axis: Array axis across the slices: 0 (k), 1 (j) or 2 (i).
            names: Names by label value; where given they replace those of the labelmap.
            complete: Which structures are painted completely on the slices; see the class.
            background: Label value of strokes of background.

        Returns:
            One example per slice, in the order given, without repetitions.

        Raises:
            ExampleError: No slice has a label, a slice is outside the volume, or the labelmap's values are no labels.
            GeometryError: Labelmap and image lie on different grids.
            VolumeError: The image holds NaN or infinite values.
        """
        axis = _require_axis(image, axis)
        volume = _labelmap_on_grid(image, labelmap)
        problem = label_problem(volume.array)
        if problem:
            raise ExampleError(
                f"{volume.title} is no labelmap: {problem}; check that image and labelmap aren't swapped."
            )
        image.require_finite()
        labels = as_labels(volume.array)
        painted = [index for index, plane in enumerate(np.moveaxis(labels, axis, 0)) if plane.any()]
        if not painted:
            raise ExampleError(f"{volume.title} is all background, expected labels of 1 or more; paint a slice first.")
        if slices is None:
            chosen = painted
        else:
            if not isinstance(slices, Iterable):
                raise ExampleError(f"The slices are {slices!r}, expected a list of indices such as [{slices!r}].")
            chosen = list(dict.fromkeys(_require_index(image, axis, index) for index in slices))
            if not set(chosen) & set(painted):
                raise ExampleError(
                    f"None of the slices {chosen} along {AXIS_NAMES[axis]} of {volume.title} has a label, expected at "
                    f"least one; painted are {_brief(painted)}."
                )
        all_names = volume.names | _require_names(names or {})
        return [
            cls(image, axis, index, labels.take(index, axis), all_names, volume.colors, complete, background)
            for index in chosen
        ]

    @property
    def values(self) -> list[int]:
        """Label values of the structures that are painted on the slice, ascending."""
        return [value for value in label_values(self.mask) if value != self.background]

    @property
    def image_slice(self) -> np.ndarray:
        """Intensities of the slice, 2D with the mask's shape; a view of the image where possible."""
        return np.moveaxis(self.image.array, self.axis, 0)[self.index]

    def _require_mask(self, mask: np.ndarray) -> np.ndarray:
        mask = np.asarray(mask)
        where = f"The mask of slice {self.index} along {AXIS_NAMES[self.axis]} of {_name(self.image)}"
        if mask.shape != self.image_slice.shape:
            raise ExampleError(
                f"{where} has the shape {mask.shape}, expected that of the slice, {self.image_slice.shape}; "
                "check the axis and the order of the mask's axes."
            )
        problem = label_problem(mask)
        if problem:
            raise ExampleError(f"{where} holds no labels: {problem}.")
        return as_labels(mask).astype(np.int32)


def check_examples(examples: Sequence[Example]) -> list[int]:
    """Checks that examples can be used together.

    Args:
        examples: One or more, of one volume or several.

    Returns:
        All label values painted on any of them, ascending, without 0.

    Raises:
        ExampleError: There are none, nothing is painted, a label has different names, a name different labels, or one
            slice is given twice with different masks.
    """
    if not examples:
        raise ExampleError("There are no examples, expected at least one painted slice; paint one or name a labelmap.")
    names: dict[int, str] = {}
    labels: dict[str, set[int]] = {}
    images: dict[int, Volume] = {}
    masks: dict[tuple[int, int, int], np.ndarray] = {}
    values: set[int] = set()
    for example in examples:
        if not isinstance(example, Example):
            raise ExampleError(
                f"An example is a {type(example).__name__}, expected Example; see Example.from_labelmap."
            )
        values.update(example.values)
        for value, name in example.names.items():
            if names.setdefault(value, name) != name:
                raise ExampleError(
                    f"Label {value} is named '{names[value]}' in one example and '{name}' in another, expected one "
                    "name; give different structures different values, or the same name to all."
                )
        for name, named in _labels_by_name(example.names).items():
            if labels.setdefault(name, named) != named:
                raise ExampleError(
                    f"'{name}' is label {_brief(sorted(labels[name]))} in one example and label "
                    f"{_brief(sorted(named))} in another, expected one value; see match_labels_by_name, or give "
                    "different structures different names."
                )
        if id(example.image) not in images:  # a file that was read twice is still one image
            images[id(example.image)] = next(filter(example.image.shows_the_same, images.values()), example.image)
        slice_key = (id(images[id(example.image)]), example.axis, example.index)
        if not np.array_equal(masks.setdefault(slice_key, example.mask), example.mask):
            raise ExampleError(
                f"Slice {example.index} along {AXIS_NAMES[example.axis]} of {_name(example.image)} is given twice with "
                "different masks, expected one mask with all structures; merge them."
            )
    if not values:
        raise ExampleError("No example has a label, all masks are empty; paint a structure on at least one slice.")
    return sorted(values)


def match_labels_by_name(examples: Sequence[Example]) -> list[Example]:
    """Gives each name the same label value in all examples: that of the first example that has the name.

    Programs number the segments of a file by their order, so that the liver is 1 in one file and 2 in the next. Labels
    without a name keep their value.

    Args:
        examples: Any number, of one volume or several.

    Returns:
        Examples in the same order, those that had other values with new masks.

    Raises:
        ExampleError: Two labels of an example would become one, since one of them has no name of its own.
    """
    known = set().union(*(set(label_values(example.mask)) | set(example.names) for example in examples))
    values: dict[str, int] = {}
    for example in examples:
        for name, own in _labels_by_name(example.names).items():
            if len(own) > 1:
                continue  # structures of one name in one file: only their values tell them apart
            (value,) = own
            if name not in values and value in values.values():
                value = next(free for free in range(1, LABEL_LIMIT + 1) if free not in known)
                known.add(value)
            values.setdefault(name, value)
    return [_with_values(example, values) for example in examples]


def _with_values(example: Example, values: Mapping[str, int]) -> Example:
    """The example with these values for the names that it has once; ExampleError if two labels would become one."""
    moves = {value: value for value in {*label_values(example.mask), *example.names}}
    for name, own in _labels_by_name(example.names).items():
        if len(own) == 1:
            moves[own.copy().pop()] = values[name]
    if all(old == new for old, new in moves.items()):
        return example
    if len(set(moves.values())) < len(moves):
        old, new = next((old, new) for old, new in moves.items() if old != new and new in moves and moves[new] == new)
        raise ExampleError(
            f"'{example.names[old]}' is label {new} in one example and label {old} in another, where {new} is "
            f"{example.names.get(new, 'a label without a name')!r}; give all labels names, each another one."
        )
    table = np.arange(LABEL_LIMIT + 1, dtype=np.int32)
    table[list(moves)] = list(moves.values())
    return replace(
        example,
        mask=table[example.mask],
        names={moves[value]: name for value, name in example.names.items()},
        colors={moves.get(value, value): color for value, color in example.colors.items()},
        complete=_moved(example.complete, moves),
        background=None if example.background is None else moves.get(example.background, example.background),
    )


def _moved(complete: Complete, moves: Mapping[int, int]) -> Complete:
    """What is said of structures, with other values for them."""
    if complete is None or isinstance(complete, str):
        return complete
    if isinstance(complete, Mapping):
        return {moves.get(value, value): whole for value, whole in complete.items()}
    return {moves.get(value, value) for value in complete}


def _labels_by_name(names: Mapping[int, str]) -> dict[str, set[int]]:
    """The values that each name has."""
    labels: dict[str, set[int]] = {}
    for value, name in names.items():
        labels.setdefault(name, set()).add(value)
    return labels


def _labelmap_on_grid(image: Volume, labelmap: Volume | np.ndarray) -> Volume:
    """The labelmap as a volume on the image's grid; GeometryError if it doesn't fit."""
    if isinstance(labelmap, Volume):
        return labelmap.on_grid_of(image, "labelmap", "image")
    array = np.asarray(labelmap)
    if array.shape != image.shape:
        raise GeometryError(
            f"The labelmap has the shape {array.shape}, expected that of the image, {image.shape} (k, j, i); "
            "resample it to the image's grid."
        )
    return image.with_array(array, name="labelmap")


def _require_axis(image: Volume, axis: int) -> int:
    if not isinstance(image, Volume):
        raise ExampleError(f"The image is a {type(image).__name__}, expected a Volume; see Volume.read and from_array.")
    whole = _whole(axis, "axis")
    if whole not in (0, 1, 2):
        raise ExampleError(f"The axis is {axis}, expected 0 (k), 1 (j) or 2 (i).")
    return whole


def _require_index(image: Volume, axis: int, index: int) -> int:
    whole, count = _whole(index, "slice index"), image.shape[axis]
    if not 0 <= whole < count:
        raise ExampleError(
            f"Slice {whole} along {AXIS_NAMES[axis]} is outside {_name(image)}, expected 0 to {count - 1}; "
            "indices start at 0."
        )
    return whole


def _require_names(names: Mapping[int, str]) -> dict[int, str]:
    try:
        return clean_names(names)
    except VolumeError as error:
        raise ExampleError(str(error)) from None


def _require_background(value: int | None) -> int | None:
    if value is None:
        return None
    whole = _whole(value, "background label")
    if not 1 <= whole <= LABEL_LIMIT:
        raise ExampleError(
            f"The background label is {whole}, expected 1 to {LABEL_LIMIT}, the value that strokes of background have "
            "in the mask; leave it out if there are none."
        )
    return whole


def _require_complete(complete: object) -> Literal["all"] | frozenset[int] | dict[int, bool] | None:
    if complete is None:
        return None
    if isinstance(complete, Mapping):
        if not all(isinstance(whole, bool | np.bool_) for whole in complete.values()):
            raise ExampleError(f"The structures are said to be {dict(complete)!r}, expected True (complete) or False.")
        return dict(zip(_complete_values(complete), map(bool, complete.values()), strict=True)) or None
    if isinstance(complete, str) and complete == "all":
        return "all"
    if isinstance(complete, str) or not isinstance(complete, Iterable):
        raise ExampleError(
            f"The completely painted structures are {complete!r}, expected 'all', a set of label values such as "
            "{1, 2}, a mapping such as {1: True, 2: False}, or None to have it found out."
        )
    return frozenset(_complete_values(complete))


def _complete_values(complete: Iterable[object]) -> list[int]:
    values = [_whole(value, "label value of a complete structure") for value in complete]
    wrong = sorted(value for value in values if not 1 <= value <= LABEL_LIMIT)
    if wrong:
        raise ExampleError(
            f"The completely painted structures hold the value {wrong[0]}, expected label values from 1 to "
            f"{LABEL_LIMIT}; background needs no mention, and an empty set stands for strokes."
        )
    return values


def _whole(number: object, what: str) -> int:
    try:
        return operator.index(number)  # type: ignore[arg-type]  # that is what it finds out
    except TypeError:
        raise ExampleError(f"The {what} is {number!r}, expected a whole number.") from None


def _name(image: Volume) -> str:
    return f"'{image.name}'" if image.name else "the image"


def _brief(indices: list[int]) -> str:
    """Indices as text, the middle left out where they are many."""
    shown = indices if len(indices) <= 12 else [*indices[:6], "...", *indices[-5:]]
    return ", ".join(map(str, shown))
