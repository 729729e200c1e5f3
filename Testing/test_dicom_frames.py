"""DICOM objects that need the extra: images of many frames in one file, and segmentations as labelmaps."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

from dicom_files import STEP, require_volume, save, voxels, write_enhanced, write_series

from FewShotSegLib.errors import ReadError
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

# Many frames in one file


@pytest.mark.parametrize("order", [range(8), range(7, -1, -1), [0, 2, 4, 6, 1, 3, 5, 7]])
def test_frames_are_sorted_by_where_they_lie(tmp_path: Path, order: list[int]) -> None:
    array = voxels()
    path = write_enhanced(tmp_path / "e.dcm", array[list(order)], np.array(order) * STEP)
    require_volume(Volume.read(path), array)
    require_volume(Volume.read(tmp_path), array)


def test_frames_are_refused_and_split_and_sheared_as_files_are(tmp_path: Path) -> None:
    array = voxels()
    heights = np.arange(8) * STEP
    with pytest.raises(ReadError, match="1 of them is missing"):
        Volume.read(write_enhanced(tmp_path / "gap.dcm", np.delete(array, 4, 0), np.delete(heights, 4)))
    times = [{"TemporalPositionIndex": t} for _ in range(8) for t in (1, 2)]
    twice = write_enhanced(tmp_path / "times.dcm", np.repeat(array, 2, 0), np.repeat(heights, 2), times)
    require_volume(Volume.read(twice), array)
    assert Volume.read(write_enhanced(tmp_path / "tilt.dcm", array, heights, tilt=0.3)).is_sheared


def test_frames_with_scales_of_their_own_keep_their_values(tmp_path: Path) -> None:
    array, slopes = voxels(), [2.5, 1, 2, 3, 4, 5, 6, 7]
    path = write_enhanced(tmp_path / "e.dcm", array, np.arange(8) * STEP, slopes=slopes)
    expected = (array.astype(float) + 1024) * np.array(slopes)[:, None, None] - 1024
    assert Volume.read(path).array == pytest.approx(expected, rel=1e-5)


def test_without_pydicom_frames_are_refused_rather_than_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_enhanced(tmp_path / "e.dcm", voxels(), np.arange(8) * STEP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ReadError, match=r"pip install \"fewshotseg\[dicom\]\""):
        Volume.read(path)


# Segmentations


@pytest.fixture
def a_segmentation(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A CT folder, a SEG on it with two segments, and their labels."""
    hd = pytest.importorskip("highdicom")
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    labels = np.zeros((8, 6, 5), np.uint8)
    labels[2:5, 1:3, 1:4] = 1
    labels[3:6, 4, 2:4] = 2
    sources = [dcmread(path) for path in write_series(tmp_path / "ct", voxels())]
    segments = [
        hd.seg.SegmentDescription(n, name, codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for n, name in ((1, "liver"), (2, "spleen"))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names of one part
        seg = hd.seg.Segmentation(
            sources, np.stack([labels == 1, labels == 2], -1).astype(np.uint8), hd.seg.SegmentationTypeValues.BINARY,
            segments, hd.UID(), 2, hd.UID(), 1, "x", "x", "1", "1",
        )  # fmt: skip
    return tmp_path / "ct", save(seg, tmp_path / "seg" / "seg.dcm"), labels


def test_a_segmentation_serves_as_a_labelmap(a_segmentation: tuple[Path, Path, np.ndarray]) -> None:
    folder, seg, labels = a_segmentation
    examples = Example.from_labelmap(Volume.read(folder), Volume.read(seg))
    assert [example.index for example in examples] == [2, 3, 4, 5]
    assert all(np.array_equal(example.mask, labels[example.index]) for example in examples)
    assert examples[0].names == {1: "liver", 2: "spleen"}
    (seg.parent / "README.txt").write_text("beside it")
    assert np.array_equal(Volume.read(seg.parent).array, Volume.read(seg).array), "a folder with no images"


def test_a_segmentation_beside_the_images_is_not_taken_for_them(
    a_segmentation: tuple[Path, Path, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    folder, seg, _ = a_segmentation
    shutil.copy(seg, folder)
    require_volume(Volume.read(folder), voxels())
    assert "1 segmentation (SEG)" in caplog.text


def test_without_highdicom_a_segmentation_says_what_it_needs(
    a_segmentation: tuple[Path, Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ReadError, match=r"pip install \"fewshotseg\[dicom\]\""):
        Volume.read(a_segmentation[1])
