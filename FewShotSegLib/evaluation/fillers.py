"""What one gets without a model: Slicer's own two fillers and the nearest painted slice, on plain arrays.

All three take ``painted``: a labelmap (k, j, i), int32, that holds labels (0 is background) on painted slices and
`UNKNOWN` elsewhere. Painted slices come back as painted. The fillers are the C++ filters of Slicer itself, from
the package slicer-core, called as Slicer's Segment Editor effects call them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from FewShotSegLib.evaluation.requirements import MissingPackageError

UNKNOWN = -1


def nearest_slice(painted: np.ndarray, axis: int = 0) -> np.ndarray:
    """Copies the nearest painted slice to each unpainted one; at equal distance the lower one.

    Args:
        painted: Labelmap (k, j, i) with whole slices painted along the axis.
        axis: Array axis across the painted slices.
    """
    along = np.moveaxis(painted, axis, 0)
    known = np.flatnonzero((along != UNKNOWN).all(axis=(1, 2)))
    nearest = known[np.abs(known[:, None] - np.arange(along.shape[0])[None]).argmin(axis=0)]
    return np.moveaxis(along[nearest], 0, axis).copy()


def grow_filter(image: np.ndarray, spacing: Sequence[float]) -> Any:
    """Slicer's grow-cut filter on an image; kept between calls it updates its result instead of starting anew.

    Args:
        image: Intensities (k, j, i).
        spacing: Voxel size in mm, (i, j, k).

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    grow_cut = load_slicer().vtkImageGrowCutSegment()
    grow_cut.SetIntensityVolume(_to_vtk(_grow_cut_type(image), spacing))
    grow_cut.SetDistancePenalty(0.0)  # "seed locality" of the effect, 0 by default
    return grow_cut


def grow_from_seeds(image: np.ndarray, painted: np.ndarray, spacing: Sequence[float], kept: Any = None) -> np.ndarray:
    """Slicer's Grow from seeds: every painted voxel is a seed, background too, as a segment of its own.

    The whole volume is grown, not only the seeds' surroundings as in the effect's preview: all slices are scored.

    Args:
        image: Intensities (k, j, i).
        painted: Labelmap with `UNKNOWN` where nothing is painted.
        spacing: Voxel size in mm, (i, j, k).
        kept: `grow_filter` of that image, if it is to be used again.

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    background = int(painted.max()) + 1
    seeds = np.where(painted == UNKNOWN, 0, np.where(painted == 0, background, painted))
    grow_cut = kept or grow_filter(image, spacing)
    grow_cut.SetSeedLabelVolume(_to_vtk(seeds.astype(np.int16), spacing))
    grow_cut.Update()
    grown = _from_vtk(grow_cut.GetOutput()).astype(np.int32)
    grown[grown == background] = 0
    return np.where(painted == UNKNOWN, grown, painted)


def fill_between_slices(painted: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Slicer's Fill between slices: morphological interpolation of each segment's contours. Ignores the image.

    Args:
        painted: Labelmap with `UNKNOWN` where nothing is painted.
        spacing: Voxel size in mm, (i, j, k).

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    interpolator = load_slicer().vtkITKMorphologicalContourInterpolator()
    interpolator.SetInputData(_to_vtk(np.maximum(painted, 0).astype(np.int16), spacing))
    interpolator.Update()
    filled = _from_vtk(interpolator.GetOutput()).astype(np.int32)
    return np.where(painted == UNKNOWN, filled, painted)


def load_slicer() -> Any:
    """The module `slicer` of slicer-core; takes seconds the first time.

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    # Slicer's interpolator keeps data in thread-local storage, and the threads of ITK's pool end only after its library
    # was torn down: a crash at exit. ITK's other threader joins its threads at once. Read when ITK is first used.
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_THREADER", "Platform")
    try:
        import slicer  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingPackageError("slicer-core", "Comparing with Slicer's own fillers") from error
    return slicer


def _grow_cut_type(image: np.ndarray) -> np.ndarray:
    """The image as stored, in a type that VTK has: Slicer hands the filter the volume node's own scalars."""
    return image if image.dtype in (np.uint8, np.int16, np.uint16, np.float32) else image.astype(np.float32)


def _to_vtk(array: np.ndarray, spacing: Sequence[float]) -> Any:
    """A vtkImageData of an array (k, j, i)."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*reversed(array.shape))
    image.SetSpacing(*(float(size) for size in spacing))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image


def _from_vtk(image: Any) -> np.ndarray:
    """The scalars of a vtkImageData as an array (k, j, i)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
