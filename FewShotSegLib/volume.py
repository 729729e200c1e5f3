"""A 3D volume with its place in the patient: voxels, spacing, origin and direction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from FewShotSegLib.colors import Color
from FewShotSegLib.errors import GeometryError, VolumeError
from FewShotSegLib.geometry import ROUNDED_SHEAR, corner_indices, lay_into, shear_of
from FewShotSegLib.text import readable

if TYPE_CHECKING:
    import SimpleITK as sitk

AXIS_NAMES = ("k", "j", "i")
"""Names of the array axes 0, 1, 2."""

_log = logging.getLogger(__name__)

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and their geometry; an image, a labelmap or a confidence. Compared by identity; treat as immutable.

    Example:
        >>> ct = Volume.read("ct.nii.gz")
        >>> ct.array.shape, ct.spacing_kji
        ((40, 512, 512), (5.0, 0.7, 0.7))
        >>> ct.with_array(ct.array > 100, names={1: "bone"}).write("bone.seg.nrrd")

    Attributes:
        array: Voxels, axes (k, j, i): slices, rows, columns; one real number a voxel. Not copied. Bool becomes uint8,
            float16 float32 and other byte orders the native one.
        spacing: Millimetres between voxel centres along (i, j, k), the order of SimpleITK.
        origin: Centre of voxel (0, 0, 0) in millimetres, patient coordinates: left, posterior, superior (LPS).
        direction: Direction cosines, 3x3, row by row as SimpleITK has them; column 0 is the direction of i. Of columns
            that are no unit vectors the length goes into the spacing.
        names: Names by label value, for labelmaps. A name for 0 (background) is dropped.
        colors: Colours by label value, red, green, blue in 0..1, for labelmaps.
        name: What to call the volume in messages and lists, for instance its file's name.

    Raises:
        VolumeError: The array isn't 3D (4D, colour or vector images), is empty or doesn't hold real numbers; or the
            geometry, a name or a colour makes no sense.
    """

    array: np.ndarray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = _IDENTITY
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, Color] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__  # the only place where a frozen volume's fields are set
        put(self, "array", _real_3d(self.array, self.title))
        put(self, "spacing", _floats(self.spacing, 3, "spacing", self.title))
        put(self, "origin", _floats(self.origin, 3, "origin", self.title))
        put(self, "direction", _floats(np.ravel(self.direction), 9, "direction", self.title))
        if min(self.spacing) <= 0:
            raise VolumeError(
                f"{self.title} has a spacing of {self.spacing} mm, expected three positive numbers; correct its header."
            )
        if abs(np.linalg.det(np.reshape(self.direction, (3, 3)))) < 0.01:
            raise VolumeError(
                f"{self.title} has the direction {self.direction}, expected three independent unit vectors; "
                "correct its header."
            )
        lengths = np.linalg.norm(np.reshape(self.direction, (3, 3)), axis=0)
        if np.abs(lengths - 1).max() > ROUNDED_SHEAR:  # some files have the spacing in the direction, or part of it
            put(self, "spacing", _floats(self.spacing * lengths, 3, "spacing", self.title))
            put(self, "direction", _floats((np.reshape(self.direction, (3, 3)) / lengths).ravel(), 9, "", self.title))
        put(self, "names", clean_names(self.names))
        put(self, "colors", _clean_colors(self.colors))

    # Making

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Volume:
        """Reads a volume from a file or a DICOM folder.

        Args:
            path: `.nii`, `.nii.gz`, `.nrrd`, `.seg.nrrd`, `.mha`, `.mhd`, or DICOM: a folder of a series or a study, or
                a file. The format is told by the content. Of several DICOM series the largest is taken, and a warning
                logged; slices are sorted by where they lie. A `.seg.nrrd` brings names and colours, a DICOM SEG names
                (it needs the extra `dicom`); layers are merged, later segments over earlier ones.

        Raises:
            ReadError: The file is missing, unreadable, incomplete or of an unknown format, or DICOM slices are no
                regular grid.
            VolumeError: It can be read but isn't one 3D volume of real numbers.
        """
        from FewShotSegLib.files.reading import read_volume

        return read_volume(path)

    @classmethod
    def from_sitk(cls, image: sitk.Image, name: str = "") -> Volume:
        """Copies a 3D SimpleITK image, with the names and colours of its segments if it was a `.seg.nrrd`.

        Raises:
            VolumeError: The image isn't 3D, or has several or complex values per voxel.
        """
        from FewShotSegLib.files.sitk_image import volume_from_sitk

        return volume_from_sitk(image, name)

    @classmethod
    def from_array(
        cls,
        array: Any,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: Sequence[float] = _IDENTITY,
        names: Mapping[int, str] | None = None,
        colors: Mapping[int, Sequence[float]] | None = None,
        name: str = "",
    ) -> Volume:
        """Wraps an array (k, j, i), or anything numpy makes one of; see the class for the other arguments."""
        return cls(
            np.asarray(array),
            spacing=spacing,  # type: ignore[arg-type]  # converted and checked at construction
            origin=origin,  # type: ignore[arg-type]
            direction=direction,  # type: ignore[arg-type]
            names=dict(names or {}),
            colors=dict(colors or {}),  # type: ignore[arg-type]
            name=name,
        )

    def with_array(
        self,
        array: np.ndarray,
        names: Mapping[int, str] | None = None,
        colors: Mapping[int, Color] | None = None,
        name: str = "",
    ) -> Volume:
        """Another volume on this one's grid.

        Args:
            array: Voxels (k, j, i), of this volume's shape.
            names: Names by label value; none are taken over.
            colors: Colours by label value; none are taken over.
            name: Name of the new volume.

        Raises:
            GeometryError: The shape is another one.
        """
        if array.shape != self.array.shape:
            raise GeometryError(
                f"An array of shape {array.shape} was given for the grid of {self.title}, expected {self.array.shape} "
                "(k, j, i); resample it first."
            )
        return replace(self, array=array, names=dict(names or {}), colors=dict(colors or {}), name=name)

    def cropped(self, start: Sequence[int], stop: Sequence[int]) -> Volume:
        """A box of this volume, at its place; voxels are not copied.

        Args:
            start: First voxel along (k, j, i).
            stop: The voxel after the last one along (k, j, i).

        Returns:
            The box with this volume's names, colours and name; this volume itself if it is all of it.

        Raises:
            VolumeError: The box is empty or reaches beyond this volume.
        """
        if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True)):
            raise VolumeError(
                f"The box from voxel {tuple(start)} up to {tuple(stop)} (k, j, i) was asked for, expected one within "
                f"the {self.shape} voxels of {self.title[0].lower()}{self.title[1:]}."
            )
        if not any(start) and tuple(stop) == self.shape:
            return self
        origin = self.voxel_to_patient @ [*start[::-1], 1.0]
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return replace(self, array=self.array[box], origin=tuple(origin[:3].tolist()))

    # Giving away

    def to_sitk(self) -> sitk.Image:
        """Copies voxels and geometry to a SimpleITK image."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(self.array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def write(self, path: str | PathLike[str]) -> None:
        """Writes the volume to a file, all or nothing: on failure nothing new remains and an older file is untouched.

        Args:
            path: `.seg.nrrd` (a segmentation with names and colours, for 3D Slicer), `.nrrd`, `.nii`,
                `.nii.gz` or `.mha`.

        Raises:
            WriteError: The folder is missing, the format unknown or can't hold the grid (NIfTI holds perpendicular axes
                only), the path is a link, device or folder, the disk full or the file can't be written.
            VolumeError: `.seg.nrrd` was asked for but the voxels aren't labels.
        """
        from FewShotSegLib.files.writing import write_volumes

        write_volumes([(self, path)])

    # Geometry

    @property
    def title(self) -> str:
        """How messages call this volume."""
        return f"Volume '{self.name}'" if self.name else "The volume"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (k, j, i)."""
        k, j, i = self.array.shape
        return k, j, i

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along (k, j, i), the order of the array."""
        i, j, k = self.spacing
        return k, j, i

    @property
    def voxel_volume(self) -> float:
        """Cubic millimetres of a voxel; of a sheared grid less than the product of the spacings."""
        return float(np.prod(self.spacing) * abs(np.linalg.det(np.reshape(self.direction, (3, 3)))))

    @property
    def is_sheared(self) -> bool:
        """Whether the axes aren't perpendicular, as of a CT with tilted gantry, by more than rounding leaves."""
        return shear_of(self.direction) > ROUNDED_SHEAR

    @property
    def voxel_to_patient(self) -> np.ndarray:
        """Matrix (4, 4) from voxel indices (i, j, k, 1) to patient coordinates (LPS mm, 1)."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    def same_grid(self, other: Volume, tolerance: float = 0.05) -> bool:
        """Whether both volumes' voxels lie at the same places.

        Args:
            other: The volume to compare with.
            tolerance: How far a corner may be off, as a fraction of the smallest spacing. File formats round: NIfTI
                keeps single-precision numbers, for instance.
        """
        return self._grid_difference(other, tolerance) is None

    def require_same_grid(self, other: Volume, what: str, other_what: str) -> None:
        """Raises GeometryError unless both share a grid; `what` and `other_what` name their roles ("labelmap")."""
        difference = self._grid_difference(other, tolerance=0.05)
        if difference:
            raise GeometryError(_different_grids(what, other_what, difference))

    def shows_the_same(self, other: Volume) -> bool:
        """Whether both are the same image: one object, or the same voxels at the same places."""
        return other is self or (
            self.same_grid(other)
            and all(np.array_equal(mine, theirs) for mine, theirs in zip(self.array, other.array, strict=True))
        )

    def on_grid_of(self, other: Volume, what: str, other_what: str) -> Volume:
        """This labelmap laid into another volume's grid, without resampling.

        Args:
            other: The volume whose grid is wanted. This one may be cropped, reach beyond, have its axes reversed or in
                another order; its voxels must lie where voxels of `other` lie, or within a quarter of a voxel of it.
            what: How messages call this volume ("labelmap").
            other_what: How they call the other ("image").

        Returns:
            A volume on the other's grid with names, colours and name of this one; 0 where this one has no voxels. Where
            it reaches beyond, labels are lost and a warning is logged.

        Raises:
            GeometryError: The voxels of both lie at different places.
        """
        if self.same_grid(other):
            return self
        laid = lay_into(self.array, self.voxel_to_patient, other.voxel_to_patient, other.shape)
        if laid is None:
            difference = self._grid_difference(other, tolerance=0.05) or "they don't overlap"
            raise GeometryError(_different_grids(what, other_what, difference))
        lost = int(np.count_nonzero(self.array)) - int(np.count_nonzero(laid))
        if lost:
            _log.warning(
                "%s reaches beyond the %s; %d labelled voxels there are left out.", self.title, other_what, lost
            )
        return other.with_array(laid, self.names, self.colors, self.name)

    def _grid_difference(self, other: Volume, tolerance: float) -> str | None:
        """What differs between two grids in words, or None."""
        if self.shape != other.shape:
            return f"size {self.shape} against {other.shape} voxels (k, j, i)"
        distance = float(np.abs(self._corners() - other._corners()).max())
        if distance <= tolerance * min(*self.spacing, *other.spacing):
            return None
        for field_name in ("spacing", "origin", "direction"):
            mine, theirs = getattr(self, field_name), getattr(other, field_name)
            if not np.allclose(mine, theirs, atol=1e-3):
                return f"{field_name} {_brief(mine)} against {_brief(theirs)}"
        return f"corners up to {distance:.3g} mm apart"

    def _corners(self) -> np.ndarray:
        """Positions (8, 3) of the corner voxels' centres, LPS mm."""
        matrix = self.voxel_to_patient
        return corner_indices(self.shape) @ matrix[:3, :3].T + matrix[:3, 3]

    # Checks before use as an image

    def require_finite(self) -> None:
        """Raises VolumeError if a voxel is NaN or infinite: such a volume can't serve as an image."""
        if self.array.dtype.kind != "f":
            return
        bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in self.array)
        if bad:
            raise VolumeError(
                f"{self.title} has {bad} NaN or infinite voxels, expected finite intensities; "
                "replace them, for instance by the intensity of air."
            )

    def require_image(self) -> None:
        """Raises VolumeError unless the volume can be segmented: finite, with contrast, two or more slices an axis."""
        if min(self.shape) < 2:
            axis = int(np.argmin(self.shape))
            raise VolumeError(
                f"{self.title} has one slice only along {AXIS_NAMES[axis]} (size {self.shape}), expected a 3D volume "
                "with two slices or more along every axis; load the whole series."
            )
        self.require_finite()
        self.require_contrast()

    def require_contrast(self) -> None:
        """Raises VolumeError if all voxels are alike: such an image shows nothing."""
        if not self.array.max() > self.array.min():
            raise VolumeError(
                f"{self.title} has the intensity {self.array.flat[0]:g} everywhere, expected an image that shows "
                "something; was the right file or series chosen?"
            )


def _different_grids(what: str, other_what: str, difference: str) -> str:
    return (
        f"The {what} and the {other_what} lie on different grids: {difference}. Expected the same size, "
        f"spacing, origin and direction; resample the {what} to the grid of the {other_what}."
    )


def clean_names(names: Mapping[int, str]) -> dict[int, str]:
    """Names by label value as plain ints and strings, background (0) left out.

    Raises:
        VolumeError: A key isn't a whole number of 0 or more.
    """
    cleaned = {}
    for value, name in names.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise VolumeError(f"A name is given for the label {value!r}, expected whole numbers, as in {{1: 'liver'}}.")
        if value:
            cleaned[int(value)] = readable(str(name))
    return cleaned


def _clean_colors(colors: Mapping[int, Sequence[float]]) -> dict[int, Color]:
    cleaned: dict[int, Color] = {}
    for value, color in colors.items():
        red_green_blue = tuple(float(part) for part in color)
        if len(red_green_blue) != 3 or not all(0 <= part <= 1 for part in red_green_blue):
            raise VolumeError(f"The colour of label {value} is {color}, expected red, green and blue in 0..1.")
        if value:
            cleaned[int(value)] = red_green_blue
    return cleaned


def _real_3d(array: Any, label: str) -> np.ndarray:
    """The array with a type all the engine can handle; VolumeError if it isn't 3D or not of real numbers."""
    array = np.asarray(array)
    if array.dtype.kind == "c":
        raise VolumeError(
            f"{label} holds complex numbers ({array.dtype}), expected real ones; take magnitude or phase first."
        )
    if array.dtype.kind not in "buif":
        raise VolumeError(f"{label} holds {array.dtype}, expected numbers.")
    if array.ndim != 3:
        raise VolumeError(
            f"{label} has {array.ndim} dimensions (shape {array.shape}), expected 3 (k, j, i); "
            "take one time point or channel first, or stack the slices of a 2D series."
        )
    if array.size == 0:
        raise VolumeError(
            f"{label} is empty (shape {array.shape}), expected at least one voxel; was the file complete?"
        )
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _floats(values: Any, count: int, what: str, label: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise VolumeError(f"{label} has the {what} {numbers}, expected {count} finite numbers.")
    return numbers


def _brief(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
