"""Across volumes: finding how one scan lies in another, and carrying painted shapes over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.errors import Cancelled
from FewShotSegLib.inference import pipeline
from FewShotSegLib.inference.carried import carried_positions
from FewShotSegLib.inference.request import Request, lay_out
from FewShotSegLib.inference.slice_alignment import DescribedStack, SliceAlignment, lay_over
from FewShotSegLib.preprocessing import registration
from FewShotSegLib.preprocessing.registration import coarse_grid, register
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


def a_request(query: Volume, image: Volume, labels: Volume, slices: list[int], axis: int = 0) -> Request:
    return lay_out(query, Example.from_labelmap(image, labels, slices, axis=axis), [1, 2])


def center_of(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Centre of mass, as parts of the volume's sides."""
    weights = np.asarray(array, float) ** 2
    return np.array([(np.indices(array.shape)[a] + 0.5).ravel() @ weights.ravel() for a in range(3)]) / (
        weights.sum() * np.asarray(shape)
    )


def a_start(shift: tuple[float, float, float] = (0, 0, 0)) -> sitk.AffineTransform:
    """From points of a patient moved by (k, j, i) mm to those of one who was not, as a registration finds it."""
    transform = sitk.AffineTransform(3)
    transform.SetCenter((66.0, 92.0, 90.0))
    transform.SetTranslation([-s for s in shift[::-1]])
    return transform


def aligned(request: Request) -> SliceAlignment:
    return SliceAlignment(load_network(), torch.device("cpu"), request.view)


POINTS = ((66.0, 92.0, 90.0), (36.0, 82.0, 110.0), (96.0, 102.0, 70.0))


def error_of(transform: sitk.Transform | None, shift: tuple[float, float, float]) -> float:
    """By how many mm, along any axis, a transform misses a patient who was moved."""
    assert transform is not None
    return max(np.abs(np.asarray(transform.TransformPoint(p)) - p + np.asarray(shift[::-1])).max() for p in POINTS)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (14.0, 6.0, -8.0), (-30.0, 0.0, 4.0)])
def test_a_registration_goes_from_about_the_right_place_to_the_right_one(shift: tuple[float, float, float]) -> None:
    fixed, moving = a_patient(shift)[0], a_patient()[0]
    start = a_start((shift[0] + 12, shift[1] - 9, shift[2] + 9))
    assert error_of(register(fixed, moving, start), shift) < 6 < error_of(start, shift)


def test_an_organ_that_lies_otherwise_in_the_body_is_found_nearer_than_by_an_affine_registration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = a_patient()[0]
    places = np.indices(moving.shape).astype(float)
    k, j, i = ((place + 0.5) * d for place, d in zip(places, SPACING[::-1], strict=True))
    bump = np.exp(-(((k - 80) ** 2 + (j - 75) ** 2 + (i - 65) ** 2) / (2 * 35**2)))
    places[1] += 14 * bump / SPACING[1]
    fixed = moving.with_array(map_coordinates(moving.array, places, order=1, mode="nearest"))
    organ = (-30 + 65.0, 12 + 75.0, 5 + 80.0)

    def error() -> float:
        transform = register(fixed, moving, a_start())
        assert transform is not None
        return float(np.abs(np.asarray(transform.TransformPoint(organ)) - organ - (0, 14, 0)).max())

    deformed = error()
    monkeypatch.setattr(registration, "_deformed", lambda _demons, _fixed, _moving, found: found)
    affine = error()
    assert deformed < 0.6 * affine
    assert deformed < 5


def test_the_same_volumes_are_registered_the_same_way_every_time() -> None:
    fixed, moving = a_patient((14, 6, -8))[0], a_patient()[0]
    one, other = register(fixed, moving, a_start()), register(fixed, moving, a_start())
    assert one is not None
    assert other is not None
    assert one.TransformPoint((40, 80, 100)) == other.TransformPoint((40, 80, 100))


def test_a_volume_lies_in_itself_without_being_registered() -> None:
    volume = Volume.from_array(np.zeros((1, 4, 4), np.int16))
    transform = register(volume, volume, a_start())
    assert transform is not None
    assert transform.TransformPoint((1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_slices_are_registered_or_refused_but_never_crash(count: int) -> None:
    moving = a_patient()[0]
    fixed = replace(moving, array=moving.array[18 : 18 + count])
    for pair in ((fixed, moving), (moving, fixed)):
        transform = register(*pair, a_start())
        assert transform is None or np.isfinite(transform.TransformPoint((66, 92, 90))).all()


@pytest.mark.parametrize("value", [0, 700])
def test_constant_volumes_give_no_nonsense(value: int) -> None:
    moving = a_patient()[0]
    flat = moving.with_array(np.full(moving.shape, value, np.float32))
    transform = register(flat, moving, a_start())
    assert transform is None or np.isfinite(transform.TransformPoint((66, 92, 90))).all()


def a_described(slices: np.ndarray, gap: float = 4.0) -> DescribedStack:
    """A stack of slices that stand for heights of one body, each described by what only it shows."""
    return DescribedStack(np.eye(200)[slices], gap, (0, 10, 0, 10))


def test_stacks_are_laid_over_each_other_where_their_slices_are_alike() -> None:
    scale, shift = lay_over(a_described(np.arange(40, 80)), a_described(np.arange(30, 90)))
    assert scale == 1.0
    assert abs(shift - 10 * 4.0) < 2.5


def test_a_larger_patient_is_laid_over_a_smaller_one() -> None:
    tall = a_described(np.repeat(np.arange(100), 5)[::4], 1.0)  # 1.25 slices a height
    scale, shift = lay_over(tall, a_described(np.arange(100), 1.0))
    assert scale == 0.8
    assert abs(shift) < 2


def test_stacks_that_nothing_tells_of_are_laid_with_their_middles_on_each_other() -> None:
    nothing = DescribedStack(np.zeros((10, 4)), 2.0, (0, 9, 0, 9))
    assert lay_over(nothing, DescribedStack(np.zeros((20, 4)), 3.0, (0, 9, 0, 9))) == (1.0, 0.5 * (57 - 18))
    assert lay_over(DescribedStack(np.zeros((1, 4)), 2.0, (0, 9, 0, 9)), nothing) == (1.0, 9.0)


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
    request = a_request(query, image, labels, slices)
    assert error_of(aligned(request)(request.foreign[0]), shift) < 18


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


def test_carried_shapes_lie_on_the_structures_of_another_patient() -> None:
    query, truth = a_patient((20, 8, -10))
    image, labels = a_patient(spacing=(1.6, 1.6, 5.0), count=45)
    request = a_request(query, image, labels, [12, 14, 16, 18, 20])
    carried = carried_positions(request.view, request.foreign, 2, aligned(request))
    assert carried is not None
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
    request = a_request(query, image, labels, slices, axis)
    assert request.view.axis == axis
    carried = carried_positions(request.view, request.foreign, 2, aligned(request))
    assert carried is not None
    assert carried.shape[1] == query.shape[axis]
    wanted = np.moveaxis(truth.array == 1, axis, 0)
    assert np.abs(center_of(carried[0], carried[0].shape) - center_of(wanted, wanted.shape)).max() < 0.1


def test_without_a_registration_there_is_nothing_to_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("FewShotSegLib.inference.carried.register", lambda *_: None)
    query, _ = a_patient((20, 8, -10))
    request = a_request(query, *a_patient(), [20])
    assert carried_positions(request.view, request.foreign, 2, aligned(request)) is None
    assert carried_positions(request.view, [], 2, aligned(request)) is None


@pytest.mark.parametrize("calls", [2, 12])
@pytest.mark.parametrize("error", [Cancelled("enough"), RuntimeError("enough"), KeyboardInterrupt("enough")])
def test_a_registration_can_be_stopped_at_its_start_and_later(calls: int, error: BaseException) -> None:
    done = []

    def check() -> None:
        done.append(1)
        if len(done) == calls:
            raise error

    with pytest.raises(type(error), match="enough"):
        register(a_patient((20, 8, -10))[0], a_patient()[0], a_start(), check)
    assert len(done) == calls


def test_registration_happens_once_and_only_where_no_painted_slice_of_the_query_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def counted(*arguments: object) -> np.ndarray | None:
        calls.append(arguments)
        return carried_positions(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "carried_positions", counted)
    query, truth = a_patient((20, 8, -10))
    other = Example.from_labelmap(*a_patient(), [18, 22])
    segmenter = Segmenter(device="cpu")
    segmenter.segment(query, other + Example.from_labelmap(query, truth, [22, 26]), refine=False)
    assert not calls
    segmenter.segment(query, other, refine=False)
    assert len(calls) == 1
