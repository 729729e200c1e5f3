"""Label propagation between patients: an affine, then a B-spline registration, by SimpleITK.

The support's image is registered to the query's by mutual information (Mattes et al., IEEE TMI 22(1), 2003), first
affine, then with free-form deformation on a B-spline grid (Rueckert et al., IEEE TMI 18(8), 1999); its labels,
completed between its painted slices, are carried along. Several supports vote.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from FewShotSegLib.evaluation.slice_completion import complete_slices
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

WORK_MM = 4.0
CONTROL_MM = 40.0
SEED = 1
SAMPLED = 0.05
BINS = 32


def propagate(query: Volume, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Carries the labels of other volumes' painted slices to a query.

    Args:
        query: The volume to segment.
        examples: Painted slices of other volumes; those of one volume all along one axis.

    Returns:
        Labelmap (k, j, i), int32, and the share of the votes for each voxel's label, 0..1, float32.

    Raises:
        ValueError: There are no examples, or one volume's are painted along several axes.
    """
    if not examples:
        raise ValueError("There are no examples.")
    sources: dict[int, list[Example]] = {}
    for example in examples:
        sources.setdefault(id(example.image), []).append(example)
    values = sorted({int(value) for example in examples for value in np.unique(example.mask) if value > 0})
    votes = np.zeros((len(values), *query.shape), np.float32)
    fixed = query.to_sitk()
    for painted in sources.values():
        moving = painted[0].image.to_sitk()
        transform = register(fixed, moving)
        labels = _completed(painted)
        for vote, value in zip(votes, values, strict=True):
            mask = sitk.GetImageFromArray((labels == value).astype(np.float32))
            mask.CopyInformation(moving)
            vote += sitk.GetArrayFromImage(sitk.Resample(mask, fixed, transform, sitk.sitkLinear, 0.0))
    votes /= len(sources)
    background = np.clip(1 - votes.sum(axis=0), 0, 1)
    best = votes.argmax(axis=0)
    strongest = np.take_along_axis(votes, best[None], axis=0)[0]
    inside = strongest > background
    return (
        np.where(inside, np.asarray(values, np.int32)[best], 0).astype(np.int32),
        np.clip(np.where(inside, strongest, background), 0, 1),
    )


def register(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The transform that takes points of the fixed image to points of the moving one.

    Args:
        fixed: 3D image whose space the labels are wanted in.
        moving: 3D image that has the labels.
    """
    target, source = _coarse(fixed), _coarse(moving)
    start = sitk.CenteredTransformInitializer(
        target, source, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = _method([4, 2, 1], [2, 1, 0])
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.01, numberOfIterations=100, gradientMagnitudeTolerance=1e-5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    affine = method.Execute(target, source)

    size = [n * s for n, s in zip(target.GetSize(), target.GetSpacing(), strict=True)]
    mesh = [max(int(round(length / CONTROL_MM)), 1) for length in size]
    bending = sitk.BSplineTransformInitializer(target, mesh, order=3)
    method = _method([2, 1], [1, 0])
    method.SetOptimizerAsLBFGSB(
        gradientConvergenceTolerance=1e-5, numberOfIterations=30, maximumNumberOfCorrections=5,
        maximumNumberOfFunctionEvaluations=50, costFunctionConvergenceFactor=1e7,
    )  # fmt: skip
    method.SetMovingInitialTransform(affine)
    method.SetInitialTransform(bending, inPlace=True)
    method.Execute(target, source)
    # A composite applies the last one first: bend in the fixed space, then the affine into the moving space.
    return sitk.CompositeTransform([affine, bending])


def _method(shrink: list[int], smooth_mm: list[int]) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(smooth_mm)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    return method


def _coarse(image: sitk.Image) -> sitk.Image:
    """The image on cubes of `WORK_MM`, where a few hundred thousand voxels tell where organs are; windowed, float32."""
    values = sitk.GetArrayViewFromImage(image)
    low, high = (float(value) for value in np.percentile(values[:, ::2, ::2], [1, 99]))
    image = sitk.Clamp(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkFloat32, low, max(high, low + 1))
    extent = [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    size = [max(int(round(length / WORK_MM)), 8) for length in extent]
    spacing = [length / n for length, n in zip(extent, size, strict=True)]
    # The first voxel's centre moves by half of what voxels grow, along the axes.
    index = [0.5 * (new / old - 1) for new, old in zip(spacing, image.GetSpacing(), strict=True)]
    origin = image.TransformContinuousIndexToPhysicalPoint(index)
    smooth = sitk.SmoothingRecursiveGaussian(image, [max(0.5 * new, 1e-3) for new in spacing])
    return sitk.Resample(
        smooth, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, image.GetDirection(), low, sitk.sitkFloat32
    )


def _completed(painted: Sequence[Example]) -> np.ndarray:
    """The labelmap (k, j, i) of one volume, completed between its painted slices."""
    axes = {example.axis for example in painted}
    if len(axes) != 1:
        raise ValueError("Registration needs the examples of one volume to be painted along one axis.")
    axis = axes.pop()
    slices = {example.index: example.mask for example in painted}
    positions = sorted(slices)
    depth = painted[0].image.shape[axis]
    return np.moveaxis(complete_slices(np.stack([slices[p] for p in positions]), positions, depth), 0, axis)
