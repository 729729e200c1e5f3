"""How one patient's scan lies in another's: a coarse registration, affine and then deformable.

Affine by mutual information (Mattes et al., IEEE TMI 22(1), 2003), on voxels of some millimetres, from about the right
place; then by symmetric demons (Vercauteren et al., IPMI 2007) over both scans' intensities, with like histograms.
It tells roughly where a structure is to be looked for; it does not have to be exact, and it takes a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional as F

from ..volume import Volume
from .intensity import in_hounsfield_units

_VOXEL_MM = 5.0
_LEAST_VOXELS = 8
_BINS = 32
_SAMPLED = 0.2
_SEED = 1
_SOFT_TISSUE_HU = (-160.0, 240.0)
# Demons: how much larger voxels are on each level, iterations there, and how smooth the displacement is, in voxels.
_LEVELS = (4, 2)
_ROUNDS = 50
_SMOOTH = 1.2

_Demons = sitk.FastSymmetricForcesDemonsRegistrationFilter


def register(
    fixed: Volume, moving: Volume, start: sitk.AffineTransform, check: Callable[[], None] = lambda: None
) -> sitk.Transform | None:
    """Transform that takes points of one volume to the like points of another.

    Args:
        fixed: volume in whose space something is wanted.
        moving: volume that it is to be fetched from.
        start: about such a transform, affine; the registration moves a little from it.
        check: called often; what it raises stops the work.

    Returns:
        Transform from fixed to moving, both in mm of the patient; None if there is none to be found (a volume is
        constant or has but a few slices, or they don't overlap). The same for the same input.
    """
    if fixed is moving:
        return sitk.Transform(3, sitk.sitkIdentity)
    target, source = _coarse(fixed), _coarse(moving)
    raised: list[BaseException] = []

    def go_on() -> bool:
        # What is raised within ITK would come out as an error of ITK's, so it is kept until that is done.
        try:
            if not raised:
                check()
        except BaseException as error:
            raised.append(error)
        return not raised

    method, demons = _method(), _demons()
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums of several threads would differ from run to run
    try:
        method.SetInitialTransform(start, inPlace=False)
        method.AddCommand(sitk.sitkIterationEvent, lambda: go_on() or method.StopRegistration())
        demons.AddCommand(sitk.sitkIterationEvent, lambda: go_on() or demons.StopRegistration())
        found = method.Execute(target, source)
        if not raised:
            found = _deformed(demons, target, source, found)
    except RuntimeError:  # ITK says so where too few points overlap, or a volume has too few slices
        found = None
    finally:
        for each in (method, demons):
            each.RemoveAllCommands()  # which hold on to it
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if raised:
        raise raised[0]
    return found


def _method() -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=0.05, numberOfIterations=30, gradientMagnitudeTolerance=1e-5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _demons() -> _Demons:
    demons = _Demons()
    demons.SetNumberOfIterations(_ROUNDS)
    demons.SetStandardDeviations(_SMOOTH)
    return demons


def _deformed(demons: _Demons, fixed: sitk.Image, moving: sitk.Image, found: sitk.Transform) -> sitk.Transform:
    """What `found` takes to about the right place, moved further by a smooth displacement."""
    near = sitk.Resample(sitk.HistogramMatching(moving, fixed, 256, 7, True), fixed, found, sitk.sitkLinear)
    shown = sitk.Resample(sitk.Add(sitk.Multiply(moving, 0), 1), fixed, found, sitk.sitkNearestNeighbor) > 0
    near = sitk.Mask(near, shown) + sitk.MaskNegated(fixed, shown)  # what one scan does not show draws at nothing
    field: sitk.Image | None = None
    for level in _LEVELS:
        shrink = [max(min(level, size // _LEAST_VOXELS), 1) for size in fixed.GetSize()]
        pair = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, [0.5 * level * d for d in image.GetSpacing()]), shrink)
            for image in (fixed, near)
        ]
        field = demons.Execute(*pair) if field is None else demons.Execute(*pair, sitk.Resample(field, pair[0]))
    moved = sitk.CompositeTransform(found)
    moved.AddTransform(sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    return moved


def _coarse(volume: Volume) -> sitk.Image:
    """The volume on voxels of about `_VOXEL_MM`, float32, without its extreme intensities."""
    # Thinned first, so that a large volume is never held as float32.
    steps = [max(1, int(0.5 * _VOXEL_MM / spacing)) for spacing in volume.spacing_kji]
    thin = volume.array[:: steps[0], :: steps[1], :: steps[2]].astype(np.float32)
    low, high = _SOFT_TISSUE_HU if in_hounsfield_units(volume.array) else np.percentile(thin, [1, 99])
    grid = coarse_grid(volume, _VOXEL_MM)
    source = torch.from_numpy(np.clip(thin, low, high))[None, None]
    image = sitk.GetImageFromArray(F.interpolate(source, size=grid.GetSize()[::-1], mode="area")[0, 0].numpy())
    image.CopyInformation(grid)
    return image


def coarse_grid(volume: Volume, voxel_mm: float, whole_axis: int | None = None) -> sitk.Image:
    """An empty image that covers a volume with larger voxels.

    Args:
        volume: what to cover.
        voxel_mm: about the wanted spacing.
        whole_axis: array axis that keeps its voxels.
    """
    counts = []
    for axis, (count, spacing) in enumerate(zip(volume.shape, volume.spacing_kji, strict=True)):
        few = max(int(round(count * spacing / voxel_mm)), min(count, _LEAST_VOXELS))
        counts.append(count if axis == whole_axis else min(few, count))
    old = np.asarray(volume.spacing)
    new = old * np.asarray(volume.shape[::-1]) / np.asarray(counts[::-1])
    direction = np.reshape(volume.direction, (3, 3))
    grid = sitk.Image(counts[::-1], sitk.sitkFloat32)
    grid.SetSpacing(new.tolist())
    grid.SetOrigin((np.asarray(volume.origin) + direction @ (0.5 * (new - old))).tolist())
    grid.SetDirection(volume.direction)
    return grid
