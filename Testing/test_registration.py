"""Across volumes: finding how one scan lies in another, and carrying painted shapes over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.errors import Cancelled
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.views import SliceView, matching_axis, turn_between
from FewShotSegLib.registration.described_stack import DescribedStack
from FewShotSegLib.registration.feature_registration import displacements
from FewShotSegLib.registration.painted_stack import PaintedStack
from FewShotSegLib.registration.patient_registration import PatientRegistration
from FewShotSegLib.registration.propagated_shapes import coarse_grid, propagated_positions
from FewShotSegLib.registration.slice_alignment import lay_over
from FewShotSegLib.stages import Stage
from FewShotSegLib.weights import load_network

SPACING = (2.0, 2.0, 4.0)


def a_patient(
    shift: tuple[float, float, float] = (0, 0, 0), count: int = 40, spacing: tuple[float, float, float] = SPACING
) -> tuple[Volume, Volume]:
    """A body of air and tissue with a spine and two organs, moved by (k, j, i) mm; image and labelmap.

    Its slices cover `count` times 4 mm, its plane 160 x 192 mm.
    """
    shape = (int(count * 4 / spacing[2]), int(160 / spacing[1]), int(192 / spacing[0]))
    k, j, i = ((axis + 0.5) * d - s for axis, d, s in zip(np.indices(shape), spacing[::-1], shift, strict=True))
    image = np.zeros(shape)
    width = 60 + 0.1 * k
    image[((j - 80) / 50) ** 2 + ((i - 96) / width) ** 2 < 1] = 100
    image[(j - 110) ** 2 + (i - 96) ** 2 < 100 + 0.2 * k] = 300
    image[(k - 120) ** 2 + (j - 60) ** 2 + (i - 110) ** 2 < 600] = 20
    labels = np.zeros(shape, np.uint8)
    labels[((k - 80) / 34) ** 2 + ((j - 75) / 22) ** 2 + ((i - 65) / 22) ** 2 < 1] = 1
    labels[((k - 70) / 20) ** 2 + ((j - 95) / 12) ** 2 + ((i - 130) / 12) ** 2 < 1] = 2
    image[labels == 1], image[labels == 2] = 180, 240
    image = gaussian_filter(image, 0.7) + np.random.default_rng(1).normal(0, 5, shape)
    volume = Volume.from_array(image.astype(np.float32), spacing=spacing, origin=(-30, 12, 5))
    return volume, volume.with_array(labels)


def seen_from(
    query: Volume, image: Volume, labels: Volume, slices: list[int], axis: int = 0
) -> tuple[SliceView, PaintedStack]:
    """The query as a stack along the axis that lies like that of painted slices of another volume, and these."""
    source = SliceView(image, axis)
    view = SliceView(query, matching_axis(query, source))
    masks = np.moveaxis(labels.array, axis, 0)[slices].astype(np.int32)
    return view, PaintedStack(source, turn_between(source, view), slices, masks)


def center_of(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Centre of mass, as parts of the volume's sides."""
    weights = np.asarray(array, float) ** 2
    return np.array([(np.indices(array.shape)[a] + 0.5).ravel() @ weights.ravel() for a in range(3)]) / (
        weights.sum() * np.asarray(shape)
    )


def register(view: SliceView, check: Callable[[], None] = lambda: None) -> PatientRegistration:
    return PatientRegistration(load_network(), torch.device("cpu"), view, check)


POINTS = ((66.0, 92.0, 90.0), (36.0, 82.0, 110.0), (96.0, 102.0, 70.0))


def error_of(transform: sitk.Transform, shift: tuple[float, float, float]) -> float:
    """By how many mm, along any axis, a transform misses a patient who was moved."""
    return max(np.abs(np.asarray(transform.TransformPoint(p)) - p + np.asarray(shift[::-1])).max() for p in POINTS)


def a_described(slices: np.ndarray, gap: float = 4.0, maps: torch.Tensor | None = None) -> DescribedStack:
    """A stack of slices, the body filling their frame."""
    maps = torch.zeros(6, len(slices), 10, 10) if maps is None else maps
    return DescribedStack(slices, gap, (1.0, 1.0), (0, 200, 0, 200), Frame(0, 0, 200, 200, 128, 128), maps)


def heights(numbers: np.ndarray, gap: float = 4.0) -> DescribedStack:
    """Slices that stand for heights of one body, each described by what only it shows."""
    return a_described(np.eye(200)[numbers], gap)


def seen_maps(bump: float) -> torch.Tensor:
    """(6, 30, 50, 50) maps of a body of 120 x 200 x 200 mm; what is about its middle lies `bump` mm further down."""
    places = np.indices((30, 50, 50)) * 4.0
    middle = np.exp(-(((places - np.array([60, 100, 100])[:, None, None, None]) / 45) ** 2).sum(axis=0))
    rng = np.random.default_rng(3)
    maps = []
    for _ in range(6):
        texture = gaussian_filter(rng.normal(size=(30, 70, 70)), (2, 3, 3))
        rows = places[1] / 4 + 10 - bump * middle / 4
        maps.append(map_coordinates(texture, [places[0] / 4, rows, places[2] / 4 + 10], order=1))
    return torch.from_numpy(np.stack(maps)).float()


def test_what_lies_otherwise_in_the_body_is_found_and_the_rest_stays_where_it_was_laid() -> None:
    query, other = (a_described(np.zeros((30, 4)), maps=seen_maps(bump)) for bump in (0.0, 24.0))
    found = displacements(query, other, 1.0, 0.0)
    middle = found[:, found.shape[1] // 2, found.shape[2] // 2, found.shape[3] // 2]
    assert (middle - torch.tensor([0.0, 24.0, 0.0])).abs().max() < 5
    assert found[:, :, 5, 5].abs().max() < 5


def test_where_nothing_tells_everything_stays_where_it_was_laid() -> None:
    flat, other = a_described(np.zeros((30, 4))), a_described(np.zeros((30, 4)), maps=seen_maps(0.0))
    assert displacements(flat, other, 1.0, 0.0).abs().max() == 0
    assert displacements(other, flat, 1.0, 0.0).abs().max() == 0


def test_the_same_volumes_are_registered_the_same_way_every_time() -> None:
    view, painted = seen_from(a_patient((14, 6, -8))[0], *a_patient(), [18, 22])
    one, other = (register(view)(painted) for _ in range(2))
    assert one.TransformPoint((40, 80, 100)) == other.TransformPoint((40, 80, 100))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_slices_are_registered_without_nonsense(count: int) -> None:
    image, labels = a_patient()
    few = replace(image, array=image.array[18 : 18 + count]), replace(labels, array=labels.array[18 : 18 + count])
    for query, example, slices in ((few[0], (image, labels), [18, 22]), (image, few, [0])):
        view, painted = seen_from(query, *example, slices)
        assert np.isfinite(register(view)(painted).TransformPoint((66, 92, 90))).all()


@pytest.mark.parametrize("value", [0, 700])
def test_constant_volumes_give_no_nonsense(value: int) -> None:
    image, labels = a_patient()
    view, painted = seen_from(image.with_array(np.full(image.shape, value, np.float32)), image, labels, [18, 22])
    assert np.isfinite(register(view)(painted).TransformPoint((66, 92, 90))).all()


def test_stacks_are_laid_over_each_other_where_their_slices_are_alike() -> None:
    scale, shift = lay_over(heights(np.arange(40, 80)), heights(np.arange(30, 90)))
    assert scale == 1.0
    assert abs(shift - 10 * 4.0) < 2.5


def test_a_larger_patient_is_laid_over_a_smaller_one() -> None:
    tall = heights(np.repeat(np.arange(100), 5)[::4], 1.0)  # 1.25 slices a height
    scale, shift = lay_over(tall, heights(np.arange(100), 1.0))
    assert scale == 0.8
    assert abs(shift) < 2


def test_stacks_that_nothing_tells_of_are_laid_with_their_middles_on_each_other() -> None:
    nothing = a_described(np.zeros((10, 4)), 2.0)
    assert lay_over(nothing, a_described(np.zeros((20, 4)), 3.0)) == (1.0, 0.5 * (57 - 18))
    assert lay_over(a_described(np.zeros((1, 4)), 2.0), nothing) == (1.0, 9.0)


@pytest.mark.parametrize("shift", [(32.0, 6.0, -8.0), (-30.0, 0.0, 4.0)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_network_tells_how_another_patient_lies_however_the_scan_is_stored(
    shift: tuple[float, float, float], turned: bool
) -> None:
    query, (image, labels) = a_patient(shift)[0], a_patient()
    slices = [18, 22]
    if turned:  # from feet to head instead, and with rows and columns swapped and mirrored
        image, labels = (turned_about(v) for v in (image, labels))
        slices = [image.shape[0] - 1 - z for z in slices]
    view, painted = seen_from(query, image, labels, slices)
    assert error_of(register(view)(painted), shift) < 18


def turned_about(volume: Volume) -> Volume:
    """The same patient stored the other way round: the first slice last, columns as mirrored rows."""
    array = volume.array[::-1].swapaxes(1, 2)[:, ::-1]
    count, _, columns = volume.shape
    along, across, down = np.asarray(volume.spacing)[::-1]
    origin = np.add(volume.origin, ((columns - 1) * down, 0, (count - 1) * along))
    direction = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, -1]])
    return Volume.from_array(
        np.ascontiguousarray(array), (across, down, along), origin.tolist(), direction.ravel().tolist()
    )


def test_a_coarse_grid_covers_its_volume_and_can_keep_an_axis() -> None:
    volume = a_patient()[0]
    grid = coarse_grid(volume, 8.0, whole_axis=0)
    assert grid.GetSize() == (24, 20, 40)
    np.testing.assert_allclose(grid.GetSpacing(), (8, 8, 4))
    # both begin at the outer edge of their first voxel
    np.testing.assert_allclose(np.asarray(grid.GetOrigin()) - (4, 4, 2), np.asarray(volume.origin) - (1, 1, 2))


def test_propagated_shapes_lie_on_the_structures_of_another_patient() -> None:
    query, truth = a_patient((20, 8, -10))
    image, labels = a_patient(spacing=(1.6, 1.6, 5.0), count=45)
    view, painted = seen_from(query, image, labels, [12, 14, 16, 18, 20])
    ticks: list[int] = []
    carried = propagated_positions(view, [painted], 2, register(view), ticks.append)
    assert ticks == [1]
    assert carried.shape[:2] == (2, query.shape[0])
    assert (carried >= 0).all()
    assert (carried <= 1.001).all()
    for segment, found in enumerate(carried, start=1):
        wanted = center_of(truth.array == segment, truth.shape)
        assert np.abs(center_of(found, found.shape) - wanted).max() < 0.08


@pytest.mark.parametrize("axis", [1, 2])
def test_shapes_painted_along_other_axes_are_carried_too(axis: int) -> None:
    query, truth = a_patient((20, 8, -10))
    image, labels = a_patient()
    slices = {1: [33, 37, 41], 2: [29, 33, 65]}[axis]
    view, painted = seen_from(query, image, labels, slices, axis)
    assert view.axis == axis
    carried = propagated_positions(view, [painted], 2, register(view))
    assert carried.shape[1] == query.shape[axis]
    wanted = np.moveaxis(truth.array == 1, axis, 0)
    assert np.abs(center_of(carried[0], carried[0].shape) - center_of(wanted, wanted.shape)).max() < 0.1


@pytest.mark.parametrize("calls", [2, 40])
def test_a_registration_can_be_stopped_at_its_start_and_later(calls: int) -> None:
    done = []

    def check() -> None:
        done.append(1)
        if len(done) == calls:
            raise Cancelled("enough")

    view, painted = seen_from(a_patient((20, 8, -10))[0], *a_patient(), [18, 22])
    with pytest.raises(Cancelled, match="enough"):
        register(view, check)(painted)
    assert len(done) == calls


def test_registration_happens_once_and_only_where_no_painted_slice_of_the_query_says_where() -> None:
    query, truth = a_patient((20, 8, -10), count=24)
    other = Example.from_labelmap(*a_patient(count=24), [18, 22])
    segmenter = Segmenter(device="cpu")

    def registrations(examples: list[Example]) -> int:
        stages: list[str] = []
        segmenter.segment(query, examples, lambda stage, done, total: stages.append(stage), refine=False)
        begun = [after for before, after in pairwise(["", *stages]) if after != before]
        return begun.count(Stage.REGISTERING)

    assert registrations(other + Example.from_labelmap(query, truth, [20, 22])) == 0
    assert registrations(other) == 1
