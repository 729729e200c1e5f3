"""Intensities that tell nothing of the patient: ordinary images stay as they are, others are mended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.errors import VolumeError
from FewShotSegLib.preprocessing.intensity import window_of
from FewShotSegLib.preprocessing.mending import MendedImages, mended, without_tails

SHAPE = (40, 48, 56)


def a_scan(low: float = -1000.0, tissue: float = 40.0, organ: float = 120.0) -> tuple[np.ndarray, np.ndarray]:
    """A body with an organ of ellipsoidal shape in it, and where the organ is."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    image = np.full(SHAPE, low)
    image[(j / 0.8) ** 2 + (i / 0.85) ** 2 < 1 - 0.1 * k] = tissue
    inside = (k / 0.8) ** 2 + ((j + 0.1) / 0.35) ** 2 + ((i - 0.3) / 0.3) ** 2 < 1
    image[inside] = organ
    return np.round(image + np.random.default_rng(0).normal(0, 12, SHAPE)), inside


CT, ORGAN = a_scan()
MR, _ = a_scan(20.0, 300.0, 600.0)


def painted(array: np.ndarray, slices: tuple[int, ...] = (10, 20, 30)) -> tuple[Volume, list[Example]]:
    image = Volume.from_array(array)
    return image, [Example(image, 0, k, ORGAN[k]) for k in slices]


def with_margin(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[:, :4] = changed[:, :, -5:] = value
    return changed


@pytest.mark.parametrize(
    "array", [CT.astype(np.int16), np.maximum(MR, 0).astype(np.uint16), MR.astype(np.float32), MR, MR * 0.001]
)
@pytest.mark.parametrize("with_examples", [True, False])
def test_an_ordinary_image_is_given_back_as_it_is(array: np.ndarray, with_examples: bool) -> None:
    image, examples = painted(array)
    assert mended(image) is image
    assert without_tails(image, examples if with_examples else ()) is image


@pytest.mark.parametrize(
    "array",
    [
        with_margin(np.maximum(MR, 0), 0.0),  # a margin of what air has
        with_margin(CT, -1024.0),
        np.clip(MR, 0, 500),  # saturated
        np.where(np.arange(SHAPE[0])[:, None, None] < 30, MR[:, :1, :1] / 8, MR),  # a short body
        MR * np.linspace(0.3, 3, SHAPE[0])[:, None, None],  # a coil's falling sensitivity
        np.where(ORGAN, 255, 0),  # a mask
    ],
    ids=["margin", "margin of a CT", "saturated", "short body", "coil", "mask"],
)  # fmt: skip
def test_what_is_unusual_but_no_fault_stays(array: np.ndarray) -> None:
    image, examples = painted(array.astype(np.float32), slices=(31, 33))
    assert mended(image) is image
    assert without_tails(image, examples) is image


@pytest.mark.parametrize("value", [32767, -32768, -8192, -3024, -2000])
def test_padding_of_a_ct_becomes_air(value: int) -> None:
    result = mended(Volume.from_array(with_margin(CT, value).astype(np.int16))).array
    assert result.min() >= CT.min()
    assert result[:, :4].max() <= -1000
    assert np.array_equal(result[:, 4:, :-5], CT[:, 4:, :-5].astype(np.float32))


@pytest.mark.parametrize("value", [65535.0, -32768.0, 1e20, np.finfo(np.float32).min, np.nan, np.inf])
def test_padding_of_an_mr_becomes_dark(value: float) -> None:
    image = Volume.from_array(with_margin(MR, value).astype(np.float32))
    result = mended(image).array
    assert result[:, :4].max() <= np.percentile(MR, 1)
    assert np.array_equal(result[:, 4:, :-5], MR[:, 4:, :-5].astype(np.float32))


def test_several_paddings_are_all_found() -> None:
    array = with_margin(CT, 32767)
    array[:, -3:] = -32768
    assert np.ptp(mended(Volume.from_array(array.astype(np.int16))).array) < 1400


def test_a_structure_of_one_bright_intensity_is_no_padding() -> None:
    image, examples = painted(np.where(ORGAN, 5000.0, MR))
    assert mended(image) is image
    assert without_tails(image, examples) is image


@pytest.mark.parametrize("slices", [slice(20, 24), slice(0, 3), slice(3, None, 12)], ids=["together", "end", "apart"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_are_far_too_bright_come_to_their_neighbours_brightness(slices: slice, axis: int) -> None:
    array = np.moveaxis(MR.copy(), 0, axis)
    np.moveaxis(array, axis, 0)[slices] *= 20
    result = np.moveaxis(mended(Volume.from_array(array)).array, axis, 0)
    untouched = np.ones(SHAPE[0], bool)
    untouched[slices] = False
    assert np.array_equal(result[untouched], MR[untouched].astype(np.float32))
    assert abs(result[slices].mean() - MR[slices].mean()) < 60


def test_a_slice_of_noise_and_metal_leave_the_contrast_of_what_is_painted() -> None:
    for fault in (np.s_[17], np.s_[:, 20:24, 20:24]):
        array = CT.copy()
        array[fault] = np.random.default_rng(0).normal(0, 30000, array[fault].shape)
        image, examples = painted(array.astype(np.float32))
        window = window_of(without_tails(image, examples).array)
        assert window.high - window.low < 4000
        assert float(window(np.array(120.0)) - window(np.array(40.0))) > 0.02


def test_metal_in_a_ct_is_no_brighter_than_bone_where_only_other_patients_are_painted() -> None:
    array = CT.copy()
    array[:, 20:25, 20:25] = 20000
    query = Volume.from_array(array.astype(np.float32))
    changed, _ = MendedImages(query).mend(painted(CT.astype(np.int16))[1])
    assert changed.array.max() == 1000


@pytest.mark.parametrize(("scale", "offset"), [(1e-10, 0), (1e10, 0), (1, 1e9), (1e-9, 5.0), (-1e-8, 3.0)])
def test_scale_and_offset_do_not_matter(scale: float, offset: float) -> None:
    array = mended(Volume.from_array(MR * scale + offset)).array
    shown = window_of(array)(array)
    expected = window_of(MR * np.sign(scale))(MR * np.sign(scale))
    assert np.abs(shown - expected).max() < 2e-3


def test_a_window_is_not_taken_from_one_column() -> None:
    window = window_of(np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32), (100, 512, 512)))
    assert (window.low, window.high) == pytest.approx((0.01, 0.99), abs=0.003)


@pytest.mark.parametrize("value", [0, -1000, 3.5])
def test_a_constant_image_is_refused_with_its_intensity(value: float) -> None:
    image = Volume.from_array(np.full(SHAPE, value, np.float32), name="blank")
    with pytest.raises(VolumeError, match=f"'blank'.* intensity {value} everywhere"):
        Segmenter("cpu").segment(image, [Example(image, 0, 20, ORGAN[20])])
    query = Volume.from_array(MR)
    with pytest.raises(VolumeError, match="everywhere"):  # of another volume, too
        Segmenter("cpu").segment(query, [Example(image, 0, 20, ORGAN[20])])


def test_an_image_of_nothing_but_padding_is_refused() -> None:
    array = np.full(SHAPE, 50.0)
    array[:, :6] = np.nan
    with pytest.raises(VolumeError, match="everywhere"):
        mended(Volume.from_array(array))


def test_examples_on_the_query_follow_it_and_others_are_mended_each() -> None:
    query = Volume.from_array(with_margin(CT, 32767).astype(np.int16))
    equal = Volume.from_array(query.array.copy())
    other = Volume.from_array(with_margin(CT, -32768)[:, ::-1].astype(np.int16))
    examples = [Example(image, 0, 20, ORGAN[20]) for image in (query, equal, other)]
    images = MendedImages(query)
    changed, (first, second, third) = images.mend(examples)
    assert first.image is second.image is changed
    assert third.image is not other
    assert third.image.array.min() >= CT.min()
    again, (alone,) = images.mend(examples[2:])
    assert again is changed, "what is known of it stays true"
    assert alone.image is third.image


@pytest.fixture
def of_the_sample(sample_scan: SampleScan) -> Callable[[Callable[[np.ndarray], np.ndarray]], float]:
    """Dice of the liver on some slices of the sample scan whose intensities were changed."""
    part = (slice(66, 94, 3), slice(0, None, 2), slice(0, None, 2))
    array = sample_scan.image.array[part]
    liver = next(value for value, name in sample_scan.labels.names.items() if name == "liver")
    truth = sample_scan.labels.array[part] == liver

    def dice(change: Callable[[np.ndarray], np.ndarray]) -> float:
        image = Volume.from_array(change(array.astype(np.float64)), spacing=(6.0, 6.0, 9.0))
        found = Segmenter("cpu").segment(image, [Example(image, 0, k, truth[k]) for k in (2, 7)]).labelmap.array > 0
        free = [0, 1, 3, 4, 5, 6, 8, 9]
        return float(2 * (found & truth)[free].sum() / (found[free].sum() + truth[free].sum()))

    return dice


def test_faulty_intensities_cost_no_accuracy(of_the_sample: Callable[..., float]) -> None:
    def spiked(array: np.ndarray) -> np.ndarray:
        return (array + 1024) * np.where(np.arange(len(array)) == 4, 20, 1)[:, None, None]

    plain = of_the_sample(lambda array: array)
    assert plain > 0.6
    for change in (lambda a: a * 1e-10, spiked, lambda a: np.where(np.arange(a.shape[2]) < 3, 32767, a)):
        assert of_the_sample(change) > plain - 0.02


def test_one_voxel_without_a_value_in_another_volume_does_not_empty_the_result() -> None:
    query = Volume.from_array(CT[::2], spacing=(2, 2, 4))
    array = CT[1::2].copy()
    array[2, 0, 0] = np.nan
    other = Volume.from_array(array, spacing=(2, 2, 4))
    result = Segmenter("cpu").segment(query, [Example(other, 0, k, ORGAN[1::2][k]) for k in (5, 10, 15)])
    found, truth = result.labelmap.array > 0, ORGAN[::2]
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7
