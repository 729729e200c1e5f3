"""DICOM folders and files: what is read, what is left out with a word, and what is refused with numbers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

from dicom_files import ORIGIN, SPACING, STEP, above, image, require_volume, save, voxels, write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from FewShotSegLib.errors import ReadError, VolumeError
from FewShotSegLib.files.dicom.slices import Slice, unit_rows
from FewShotSegLib.files.dicom.stacks import find_stacks
from FewShotSegLib.volume import Volume

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.36, -0.48, 0.0, 0.8, 0.6)


# Order and orientation


@pytest.mark.parametrize("orientation", [CORONAL, OBLIQUE, tuple(np.round(OBLIQUE, 2)), (1, 0, 0, 0, 1, 0)])
def test_slices_are_sorted_by_where_they_lie_whatever_their_names_and_numbers(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    array = voxels()
    order = np.random.default_rng(1).permutation(len(array))
    write_series(tmp_path, array[order], heights=order * STEP, orientation=orientation)
    volume = Volume.read(tmp_path)
    require_volume(volume, array)
    assert not volume.is_sheared
    assert np.reshape(volume.direction, (3, 3))[:, 0] == pytest.approx(orientation[:3], abs=0.01)


def test_orientations_and_places_that_differ_by_rounding_are_one_stack(tmp_path: Path) -> None:
    array = voxels()
    for k, plane in enumerate(array):
        decimals = 6 if k % 2 else 2
        rounded = [round(c, decimals) for c in (0.984808, 0.173648, 0, -0.173648, 0.984808, 0)]
        write_series(tmp_path, plane[None], heights=[round(k * 0.625, 1)], orientation=rounded, first=k + 1)
    volume = Volume.read(tmp_path)
    assert np.array_equal(volume.array, array)
    assert volume.spacing[2] == pytest.approx(0.63, abs=0.02)
    assert not volume.is_sheared


def test_a_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    array = voxels()
    tilt = np.tan(np.radians(15))
    write_series(tmp_path, array, tilt=tilt)
    volume = Volume.read(tmp_path)
    require_volume(volume, array, step=STEP / np.cos(np.radians(15)))
    assert volume.is_sheared
    last = volume.voxel_to_patient @ (0, 0, len(array) - 1, 1)
    assert last[:3] == pytest.approx(above(7 * STEP, 7 * STEP * tilt), abs=1e-3)
    assert volume.voxel_volume == pytest.approx(np.prod(SPACING) * STEP, rel=1e-3)


# What is left out, with a word


def test_a_slice_that_was_sent_twice_is_taken_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = voxels()
    write_series(tmp_path, array)
    write_series(tmp_path, array[3:5], heights=[3 * STEP, 4 * STEP], first=900)
    require_volume(Volume.read(tmp_path), array)
    assert "2 slices that are there twice" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"orientation": CORONAL},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "heights": [100]},
        {"PixelSpacing": [3.0, 3.0], "heights": [100]},
        {"SeriesInstanceUID": "1.2.3.9", "heights": [4.0]},
        {"Modality": "PT", "heights": [4.0]},
        {"Rows": 3, "Columns": 10, "heights": [4.0]},
    ],
)
def test_what_is_no_slice_of_the_stack_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict
) -> None:
    array = voxels()
    write_series(tmp_path, array)
    write_series(tmp_path, array[:1] * 0, first=500, **changes)
    require_volume(Volume.read(tmp_path), array)
    assert "2 DICOM series" in caplog.text
    assert "Left out: 'thorax', 1 slice of" in caplog.text


@pytest.mark.parametrize("shift", [0.0, STEP / 2, 0.4])
@pytest.mark.parametrize(
    "mark",
    [
        {"AcquisitionNumber": 2},
        {"AcquisitionNumber": None},
        {"TemporalPositionIdentifier": 2},
        {"EchoTime": 80},
        {"ConvolutionKernel": "B70f"},
    ],
)
def test_two_acquisitions_in_one_series_are_two_stacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: float, mark: dict
) -> None:
    array = voxels()
    write_series(tmp_path, array)
    write_series(tmp_path, array[:-1] + 100, heights=np.arange(7) * STEP + shift, first=100, **mark)
    require_volume(Volume.read(tmp_path), array)
    assert "7 slices" in caplog.text


def test_repeated_volumes_without_a_mark_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    array = voxels()
    for repetition in range(3):
        write_series(tmp_path, array + repetition * 50, first=1 + repetition * 100)
    require_volume(Volume.read(tmp_path), array)


def test_slices_of_an_interleaved_acquisition_are_one_volume(tmp_path: Path) -> None:
    array = voxels()
    for turn in (0, 1):
        heights = np.arange(turn, 8, 2) * STEP
        write_series(tmp_path, array[turn::2], heights=heights, first=1 + turn * 10, AcquisitionNumber=turn + 1)
    require_volume(Volume.read(tmp_path), array)


def test_an_interleaved_acquisition_that_lacks_a_slice_is_not_halved(tmp_path: Path) -> None:
    array = voxels()
    for turn in (0, 1):
        heights = np.arange(turn, 8, 2) * STEP
        paths = write_series(tmp_path, array[turn::2], heights=heights, first=turn * 10, AcquisitionNumber=turn + 1)
    paths[1].unlink()
    with pytest.raises(ReadError, match="1 of them is missing between 16 and 22 mm"):
        Volume.read(tmp_path)


def test_turns_of_the_gantry_and_stations_of_the_table_are_one_volume(tmp_path: Path) -> None:
    array = voxels()
    for k in range(8):
        write_series(tmp_path, array[k : k + 1], heights=[k * STEP], first=k + 1, AcquisitionNumber=k // 4 + 1)
    require_volume(Volume.read(tmp_path), array)


# What is refused, with numbers


@pytest.mark.parametrize("missing", [(3,), (3, 4), (1,), (6,), (2, 5)])
def test_a_gap_is_refused_with_its_place(tmp_path: Path, missing: tuple[int, ...]) -> None:
    paths = write_series(tmp_path, voxels())
    for k in missing:
        paths[k].unlink()
    with pytest.raises(
        ReadError, match=rf"3 mm apart, but {len(missing)} of them (is|are) missing between \d+"
    ) as told:
        Volume.read(tmp_path)
    assert f"{10 + (missing[0] - 1) * STEP:g} and" in str(told.value)


def test_slices_at_changing_distances_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), heights=[0, 2, 4, 6, 8, 13, 18, 23])
    with pytest.raises(ReadError, match="between 2 and 5 mm apart"):
        Volume.read(tmp_path)


def test_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    array = voxels()
    write_series(tmp_path, array)
    write_series(tmp_path, array[3:4] + 1, heights=[3 * STEP], first=50)
    with pytest.raises(ReadError, match="1 of 9 slices lie where another one lies, and they differ"):
        Volume.read(tmp_path)


def test_slices_beside_a_straight_line_are_refused(tmp_path: Path) -> None:
    array = voxels()
    for k, plane in enumerate(array):
        place = above(k * STEP) + 4.0 * np.array((k == 4, 0, 0))
        write_series(tmp_path, plane[None], first=k + 1, ImagePositionPatient=list(place))
    with pytest.raises(ReadError, match="shifted against each other by up to 4 mm"):
        Volume.read(tmp_path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_damaged_file_of_a_series_is_named(tmp_path: Path, kept: float) -> None:
    paths = write_series(tmp_path, voxels())
    data = paths[-1].read_bytes()
    paths[-1].write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ReadError, match="IM0008 can't be used: it is incomplete"):
        Volume.read(tmp_path)
    with pytest.raises(ReadError, match="IM0008 can't be used"):
        Volume.read(paths[0])


@pytest.mark.parametrize("content", [b"", b"\0" * 60, None])
def test_what_is_called_like_a_slice_but_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    paths = write_series(tmp_path, voxels())
    paths[-1].unlink()  # at the end it leaves no gap
    if content is None:
        paths[-1].symlink_to("not_fetched")
    else:
        paths[-1].write_bytes(content)
    with pytest.raises(ReadError, match="IM0008 can't be used"):
        Volume.read(tmp_path)


def test_a_damaged_file_elsewhere_in_a_study_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = voxels()
    write_series(tmp_path / "ct", array)
    save(image(array[0]), tmp_path / "scout" / "a").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0")
    require_volume(Volume.read(tmp_path), array)
    assert "1 file that can't be read" in caplog.text


def test_images_without_a_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), ImagePositionPatient=None, ImageOrientationPatient=None)
    with pytest.raises(ReadError, match="8 DICOM images without a place"):
        Volume.read(tmp_path)


def test_coloured_images_are_refused_but_left_out_beside_others(tmp_path: Path) -> None:
    array = voxels()
    colour = np.zeros((10, 6, 5, 3), np.uint8)
    for k, plane in enumerate(colour):
        dataset = image(
            np.zeros((6, 5)), InstanceNumber=k, SeriesInstanceUID="1.2.9", PhotometricInterpretation="RGB",
            SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
            ImagePositionPatient=list(above(k)), RescaleSlope=None, RescaleIntercept=None, RescaleType=None,
        )  # fmt: skip
        dataset.PixelData = plane.tobytes()
        save(dataset, tmp_path / f"c{k}")
    with pytest.raises(VolumeError, match="3 values per voxel"):
        Volume.read(tmp_path)
    write_series(tmp_path, array)
    require_volume(Volume.read(tmp_path), array)
    with pytest.raises(VolumeError, match="3 values per voxel"):
        Volume.read(tmp_path / "c3")


# Folders and files


def test_a_study_with_folders_is_read_by_its_root(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = voxels()
    write_series(tmp_path / "DICOM" / "PA0" / "SE1", array)
    write_series(tmp_path / "DICOM" / "PA0" / "SE2", array[:3], SeriesInstanceUID="1.2.3.7")
    (tmp_path / "README.TXT").write_text("made by nobody")
    (tmp_path / "empty").write_bytes(b"")
    require_volume(Volume.read(tmp_path), array)
    assert "2 DICOM series" in caplog.text


@pytest.mark.parametrize("name", ["IM{:04d}", "slice{:02d}.dcm", "{:d}.IMA", "1.2.840.{:d}"])
def test_a_file_of_a_series_stands_for_the_series(tmp_path: Path, name: str) -> None:
    array = voxels()
    paths = write_series(tmp_path, array, name=name)
    write_series(tmp_path, voxels(12), SeriesInstanceUID="1.2.3.7", name="other{:d}")
    require_volume(Volume.read(paths[3]), array)


def test_a_folder_of_other_volumes_says_what_to_name(tmp_path: Path) -> None:
    Volume.from_array(voxels()).write(tmp_path / "ct.nii.gz")
    with pytest.raises(ReadError, match=r"no DICOM series.*name one of its files, such as ct\.nii\.gz"):
        Volume.read(tmp_path)


def test_objects_that_hold_no_images_are_told_by_their_kind(tmp_path: Path) -> None:
    structures = image(voxels()[0], "1.2.840.10008.5.1.4.1.1.481.3", PixelData=None, Modality="RTSTRUCT")
    path = save(structures, tmp_path / "rs.dcm")
    for given_path in (path, tmp_path):
        with pytest.raises(ReadError, match=r"structure set \(RTSTRUCT\).*contours"):
            Volume.read(given_path)
    report = image(voxels()[0], "1.2.840.10008.5.1.4.1.1.88.22", PixelData=None)
    with pytest.raises(ReadError, match="structured report"):
        Volume.read(save(report, tmp_path / "sr.dcm"))


def test_a_dose_beside_the_images_is_not_taken_for_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = voxels()
    write_series(tmp_path, array)
    dose = image(voxels(40), "1.2.840.10008.5.1.4.1.1.481.2", NumberOfFrames=40, Modality="RTDOSE")
    dose.GridFrameOffsetVector = [float(k) for k in range(40)]
    save(dose, tmp_path / "dose.dcm")
    require_volume(Volume.read(tmp_path), array)
    assert "1 radiotherapy dose" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    array = voxels()
    folder = tmp_path / "caf\udce9"
    write_series(tmp_path / "plain", array)
    shutil.move(tmp_path / "plain", folder)
    (folder / "IM0003").rename(folder / "\udcff")
    require_volume(Volume.read(folder), array)


def test_slices_with_scales_of_their_own_keep_their_values(tmp_path: Path) -> None:
    array = voxels()
    for k, plane in enumerate(array):
        scaled = image(plane, InstanceNumber=k, RescaleSlope=1 + k / 4, ImagePositionPatient=list(above(k * STEP)))
        save(scaled, tmp_path / f"{k}")
    expected = (array.astype(float) + 1024) * (1 + np.arange(8) / 4)[:, None, None] - 1024
    assert Volume.read(tmp_path).array == pytest.approx(expected)


# Any stack


def plane(number: int, place: np.ndarray, orientation: tuple[float, ...], **marks: str) -> Slice:
    return Slice(Path(str(number)), (5, 6), SPACING, place, unit_rows(orientation), ("s",), marks, number, 3.0)


@settings(max_examples=50)
@given(
    count=st.integers(2, 40),
    step=st.floats(0.05, 12),
    tilt=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    decimals=st.sampled_from([3, 4, 6]),
    missing=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
)
def test_a_regular_stack_is_found_and_an_irregular_one_refused(
    count: int, step: float, tilt: tuple, turn: tuple, decimals: int, missing: int, order: Random
) -> None:
    turned = np.reshape(sitk.Euler3DTransform((0, 0, 0), *turn).GetMatrix(), (3, 3))
    orientation = tuple(np.round(turned[:, :2].T.ravel(), 6))
    along = turned @ (tilt[0], tilt[1], 1.0) * step
    places = [np.round(ORIGIN + along * k, decimals) for k in range(count)]
    gap = missing if 0 < missing < count - 1 and count > 3 else 0
    slices = [plane(k, place, orientation) for k, place in enumerate(places) if not gap or k != gap]
    order.shuffle(slices)
    (stack,) = find_stacks(slices, lambda _: b"")
    if gap:
        assert "missing" in stack.problem or "apart" in stack.problem
        return
    assert not stack.problem
    grid = stack.grid
    last = np.array(grid.origin) + np.reshape(grid.direction, (3, 3))[:, 2] * grid.spacing[2] * (count - 1)
    assert np.linalg.norm(last - places[-1]) < 0.2 * step + 0.003 * np.linalg.norm(places[-1] - places[0])


@settings(max_examples=30)
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_that_ends_anywhere_ends_in_a_message(kept: float) -> None:
    with TemporaryDirectory() as folder:
        path = write_series(Path(folder), voxels(1), name="IM{:d}.dcm")[0]
        data = path.read_bytes()
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(ReadError, match=r"IM1\.dcm"):
            Volume.read(path)
