"""Files that aren't what their names say, odd names, grids and segments that can't be taken as they are, outputs."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import struct
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from FewShotSegLib.errors import ReadError, VolumeError, WriteError
from FewShotSegLib.files.native_messages import native_messages
from FewShotSegLib.files.segmentation_header import read_segments
from FewShotSegLib.volume import Volume

TURNED = np.reshape(sitk.VersorTransform((0.3, 0.5, 0.2), 0.4).GetMatrix(), (3, 3))
TILTED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.2588, 0.0, 0.0, 0.9659)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 900, (5, 6, 7)).astype(np.int16)


@pytest.fixture
def volume(array: np.ndarray) -> Volume:
    return Volume.from_array(array, (1.5, 0.7, 3), (-50, -40, 10), name="ct")


def write_nifti(path: Path, array: np.ndarray, sform: np.ndarray, sform_code: int = 1, qform_code: int = 0) -> Path:
    """A NIfTI-1 file with this affine (RAS), and a rotation of none."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, *np.linalg.norm(sform[:3, :3], axis=0), 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<2h", header, 252, qform_code, sform_code)
    struct.pack_into("<12f", header, 280, *sform[:3].ravel())
    header[344:348] = b"n+1\0"
    data = bytes(header) + array.astype("<i2").tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def affine(axes: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = (50, 40, 10)
    return matrix


# Names and contents


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize("others", [["a.nii"], ["a.nii.gz"], ["a.hdr", "a.img"], ["A.NII"], ["a.nii", "a.nii.gz"]])
def test_a_file_is_read_and_not_the_one_beside_it(tmp_path: Path, volume: Volume, name: str, others: list[str]) -> None:
    for other in others:
        if other.lower() != name and other != "a.img":
            volume.with_array(volume.array + 1000).write(tmp_path / "o.nii")
            ending = ".hdr" if other.endswith("hdr") else other[1:].lower()
            sitk.WriteImage(sitk.ReadImage(tmp_path / "o.nii"), tmp_path / f"b{ending}")
            for file in tmp_path.glob("b.*"):
                file.rename(tmp_path / (other if ending != ".hdr" else f"a{file.suffix}"))
    volume.write(tmp_path / name)
    assert np.array_equal(Volume.read(tmp_path / name).array, volume.array)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_endings_may_be_in_any_case_or_wrong_or_missing(tmp_path: Path, volume: Volume, extension: str) -> None:
    sitk.WriteImage(volume.to_sitk(), tmp_path / f"scan{extension}", useCompression=False)
    for name in (
        f"SCAN{extension.upper()}",
        f"Scan{extension.title()}",
        "other.nrrd",
        "other.nii.gz",
        "other.mha",
        "other",
    ):
        shutil.copy(tmp_path / f"scan{extension}", tmp_path / name)
        read = Volume.read(tmp_path / name)
        assert np.array_equal(read.array, volume.array)
        assert read.same_grid(volume)


@linux_only
@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_paths_that_are_no_utf8_are_read_and_written(tmp_path: Path, volume: Volume, extension: str) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    labelmap = volume.with_array(np.abs(volume.array))
    for path in (folder / f"a{extension}", folder / f"\udcff{extension}", tmp_path / f"\udce4{extension}"):
        labelmap.write(path)
        assert np.array_equal(Volume.read(path).array, labelmap.array)
    assert len(os.listdir(folder)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"0" * 99, "is a PNG picture"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"PK\x03\x04" + b"0" * 99, "ZIP archive"),
        (gzip.compress(b"NRRD0004\n" + b"0" * 99, mtime=0), "can't be read|compressed|damaged"),
        (struct.pack("<i4s4xhh8q", 540, b"n+2\0", 4, 16, 3, 1, 1, 1, 1, 1, 1, 1) + bytes(600), "NIfTI-2"),
        (b"", "is empty"),
    ],
)
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_what_is_no_volume_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReadError, match=message):
        Volume.read(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipes_and_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(ReadError, match="is no file"):
        Volume.read(tmp_path / "pipe.nii")
    (tmp_path / "link.nii").symlink_to("gone.nii")
    with pytest.raises(ReadError, match="link that leads nowhere"):
        Volume.read(tmp_path / "link.nii")
    with pytest.raises(ReadError, match="name of an input is empty"):
        Volume.read("")


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_one_time_point_or_component_is_a_volume(tmp_path: Path, array: np.ndarray, extension: str) -> None:
    series = sitk.JoinSeries([sitk.GetImageFromArray(array)])
    vector = sitk.GetImageFromArray(array[..., None], isVector=True)
    for image in (series, vector):
        sitk.WriteImage(image, tmp_path / f"a{extension}")
        assert np.array_equal(Volume.read(tmp_path / f"a{extension}").array, array)
        assert np.array_equal(Volume.from_sitk(image).array, array)


def test_a_nrrd_list_of_one_is_a_volume(tmp_path: Path, array: np.ndarray) -> None:
    for kind in ("list", "vector", "scalar"):
        header = (
            f"NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 1 7 6 5\nkinds: {kind} "
            "domain domain domain\nspace directions: none (1,0,0) (0,1,0) (0,0,2)\nendian: little\nencoding: raw\n"
            "space origin: (0,0,0)\n\n"
        )
        (tmp_path / "a.nrrd").write_bytes(header.encode() + array.astype("<i2").tobytes())
        assert np.array_equal(Volume.read(tmp_path / "a.nrrd").array, array)


# Grids


@settings(max_examples=30)
@given(st.tuples(*[st.floats(-1, 1)] * 3), st.floats(-3, 3), st.sampled_from([3, 4, 6]))
def test_affines_with_few_decimals_are_read(axis: tuple[float, ...], angle: float, decimals: int) -> None:
    if np.linalg.norm(axis) < 0.1:
        axis = (1.0, 0.0, 0.0)
    matrix = np.reshape(sitk.VersorTransform(axis, angle).GetMatrix(), (3, 3))
    voxels = np.zeros((3, 4, 5), np.int16)
    with TemporaryDirectory() as folder:
        path = write_nifti(Path(folder) / "a.nii", voxels, affine(np.round(matrix, decimals) * (1.5, 0.7, 3)))
        volume = Volume.read(path)
    assert volume.spacing == pytest.approx((1.5, 0.7, 3), rel=3e-3)
    to_ras = np.diag((-1.0, -1, 1)) @ np.reshape(volume.direction, (3, 3))
    assert to_ras == pytest.approx(matrix, abs=3e-3)
    assert not volume.is_sheared


def test_a_sheared_nifti_says_so_and_what_to_do(tmp_path: Path, array: np.ndarray) -> None:
    sheared = affine(np.reshape(TILTED, (3, 3)) * (1.5, 0.7, 3))
    for qform_code in (0, 1):  # beside a rotation it would be passed over without a word
        path = write_nifti(tmp_path / f"{qform_code}.nii.gz", array, sheared, qform_code=qform_code)
        with pytest.raises(ReadError, match=r"not perpendicular: they are 15\.0 degrees off.*resample it"):
            Volume.read(path)
    to_atlas = write_nifti(tmp_path / "mni.nii.gz", array, sheared, sform_code=4, qform_code=1)
    assert not Volume.read(to_atlas).is_sheared, "an affine to an atlas is not where the voxels are"


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".NII.GZ"])
def test_a_sheared_grid_is_not_written_as_nifti(tmp_path: Path, array: np.ndarray, extension: str) -> None:
    sheared = Volume.from_array(array, (1.5, 0.7, 3), direction=TILTED, name="tilt")
    with pytest.raises(WriteError, match=r"not perpendicular.*write \.seg\.nrrd, \.nrrd or \.mha"):
        sheared.write(tmp_path / f"a{extension}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".seg.nrrd"])
def test_a_sheared_grid_comes_back_from_formats_that_hold_it(tmp_path: Path, array: np.ndarray, extension: str) -> None:
    sheared = Volume.from_array(np.abs(array), (1.5, 0.7, 3), direction=TILTED)
    sheared.write(tmp_path / f"a{extension}")
    read = Volume.read(tmp_path / f"a{extension}")
    assert read.is_sheared
    assert read.same_grid(sheared)


def test_a_grid_that_is_sheared_by_rounding_is_written_as_nifti_without_a_word_of_itk(
    tmp_path: Path, array: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    rounded = Volume.from_array(array, (1.5, 0.7, 3), direction=tuple(np.round(TURNED, 3).ravel()))
    rounded.write(tmp_path / "a.nii.gz")
    assert Volume.read(tmp_path / "a.nii.gz").same_grid(rounded)
    assert capfd.readouterr() == ("", "")


def test_what_libraries_print_becomes_one_line_of_ours(
    tmp_path: Path, array: np.ndarray, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_nifti(tmp_path / "a.nii", array, affine(np.round(TURNED, 3)))
    warned = sitk.ProcessObject.GetGlobalWarningDisplay()
    Volume.read(tmp_path / "a.nii")
    assert capfd.readouterr().err == ""
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == warned

    with native_messages(tmp_path / "a.nii"):
        for _ in range(300):
            os.write(2, b"codec: something odd\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
    assert caplog.messages == [
        f"{tmp_path / 'a.nii'}: the library for this format says 'codec: something odd' (and 299 lines more)."
    ]


# Segments


def fields(*segments: dict[str, object]) -> dict[str, str]:
    return {f"Segment{n}_{key}": str(value) for n, segment in enumerate(segments) for key, value in segment.items()}


def write_segmentation(path: Path, array: np.ndarray, header: dict[str, str]) -> Path:
    image = sitk.GetImageFromArray(array.astype(np.uint8), isVector=array.ndim == 4)
    for key, text in header.items():
        image.SetMetaData(key, text)
    sitk.WriteImage(image, path)
    return path


@pytest.mark.parametrize(
    "segments",
    [
        [{"Name": "liver", "Layer": 0}, {"Name": "kidney", "Layer": 0}],
        [{"Name": "liver", "LabelValue": 2}, {"Name": "kidney", "LabelValue": 2}],
        [{"Name": "liver"}, {"Name": "kidney"}],
        [{"Name": "liver", "LabelValue": 1}, {"Name": "kidney", "LabelValue": "two"}],
    ],
)
def test_segments_that_share_a_value_are_named(tmp_path: Path, segments: list[dict[str, object]]) -> None:
    path = write_segmentation(tmp_path / "a.seg.nrrd", np.ones((3, 4, 5)), fields(*segments))
    with pytest.raises(VolumeError, match="'liver' and 'kidney' both have the value"):
        Volume.read(path)


def test_segments_without_a_layer_of_their_own_are_found_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layers = np.zeros((3, 4, 5, 2))
    layers[0, 0, 0] = (1, 0)
    layers[1, 1, 1] = (0, 1)
    path = tmp_path / "a.seg.nrrd"
    for old in (
        [{"Name": "liver"}, {"Name": "kidney"}],
        [{"Name": "liver", "LabelValue": 1}, {"Name": "kidney", "LabelValue": 1}],
    ):
        read = Volume.read(write_segmentation(path, layers, fields(*old)))
        assert (read.names, read.array[0, 0, 0], read.array[1, 1, 1]) == ({1: "liver", 2: "kidney"}, 1, 2)
    with pytest.raises(VolumeError, match="'kidney' is in none of its 2 layers"):
        Volume.read(write_segmentation(path, layers, fields({"Name": "liver", "Layer": 0}, {"Name": "kidney"})))
    odd = [{"Name": "liver", "Layer": 0}, {"Name": "kidney", "Layer": 1, "LabelValue": 0}]
    with pytest.raises(VolumeError, match="'kidney' has the value 0"):
        Volume.read(write_segmentation(path, layers, fields(*odd)))
    read = Volume.read(write_segmentation(path, layers, fields({"Name": "liver", "Layer": 0, "LabelValue": 1})))
    assert (read.names, read.array[1, 1, 1]) == ({1: "liver"}, 2), "what no segment names isn't lost"
    assert "1 labels that its header does not describe" in caplog.text


def test_a_latin1_name_is_read_and_written(tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "a.seg.nrrd", np.ones((3, 4, 5)), fields({"Name": "RXcken", "LabelValue": 1}))
    path.write_bytes(path.read_bytes().replace(b"RXcken", "Rücken".encode("latin-1")))
    read = Volume.read(path)
    assert read.names == {1: "Rücken"}
    read.write(tmp_path / "b.seg.nrrd")
    assert Volume.read(tmp_path / "b.seg.nrrd").names == {1: "Rücken"}


@settings(max_examples=50)
@given(
    st.dictionaries(st.from_regex(r"Segment\d?\d_(Name|Layer|LabelValue|Color|ID)", fullmatch=True), st.text()),
    st.integers(1, 3),
)
def test_any_header_of_segments_can_be_read(header: dict[str, str], layers: int) -> None:
    segments = read_segments(header, layers)
    assert (
        len(segments) == len({key.split("_")[0].replace("Segment0", "Segment", 1) or key for key in header}) or segments
    )
    for segment in segments:
        segment.name.encode()


# Outputs


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_outputs_replace_nothing_but_files(tmp_path: Path, volume: Volume) -> None:
    (tmp_path / "target.nrrd").write_bytes(b"precious")
    (tmp_path / "link.nrrd").symlink_to(tmp_path / "target.nrrd")
    (tmp_path / "nowhere.nrrd").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe.nrrd")
    (tmp_path / "device.nrrd").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "socket.nrrd"))
    before = {path.name: path.lstat().st_mode for path in tmp_path.iterdir()}
    for name, message in {
        "link.nrrd": "is a link to", "nowhere.nrrd": "is a link to gone", "device.nrrd": "is a link to /dev/null",
        "pipe.nrrd": "device, pipe or socket", "socket.nrrd": "device, pipe or socket",
    }.items():  # fmt: skip
        with pytest.raises(WriteError, match=message):
            volume.write(tmp_path / name)
    assert {path.name: path.lstat().st_mode for path in tmp_path.iterdir()} == before
    assert (tmp_path / "target.nrrd").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["", "x" * 260 + ".nrrd", "a\0.nrrd", "x" * 251 + ".seg.nrrd"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, volume: Volume, name: str) -> None:
    with pytest.raises(WriteError, match=r"empty|can't be written"):
        volume.write(f"{tmp_path}/{name}" if name else "")
    assert not list(tmp_path.iterdir())


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / ("x" * 250 + ".nrrd")
    volume.write(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="rights of folders are others there")
@pytest.mark.parametrize("mode", [0o000, 0o500, 0o600])
def test_folders_without_the_rights_are_told_beforehand(tmp_path: Path, volume: Volume, mode: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    try:
        if os.access(folder, os.W_OK | os.X_OK):
            pytest.skip("this user may do everything")
        with pytest.raises(WriteError, match="can't be written"):
            volume.write(folder / "a.nrrd")
    finally:
        folder.chmod(0o700)
