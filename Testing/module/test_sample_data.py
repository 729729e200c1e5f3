"""The sample scan is offered in Slicer's Sample Data module, and opens without a network."""

from __future__ import annotations

import hashlib
import importlib
import logging
import shutil
import sys
import urllib.request
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

import pytest
from PIL import Image


class FakeSampleDataLogic:
    """Remembers what was registered; the methods are static, as in Slicer 5.10."""

    sources: list[dict[str, Any]]
    titles: dict[str, str]

    @classmethod
    def registerCustomSampleDataSource(cls, **source: Any) -> None:
        cls.sources.append(source)


@pytest.fixture
def sample_data(monkeypatch: pytest.MonkeyPatch) -> Any:
    if "slicer.i18n" not in sys.modules:
        i18n = ModuleType("slicer.i18n")
        i18n.tr = lambda text: text  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "slicer.i18n", i18n)
    return importlib.import_module("FewShotSegModule.setup.sample_data")


@pytest.fixture
def slicers(monkeypatch: pytest.MonkeyPatch) -> type[FakeSampleDataLogic]:
    """The logic of the Sample Data module of Slicer 5.10."""

    class Logic(FakeSampleDataLogic):
        sources: list[dict[str, Any]] = []  # noqa: RUF012
        titles: dict[str, str] = {}  # noqa: RUF012

    module = ModuleType("SampleData")
    module.SampleDataLogic = Logic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return Logic


@pytest.fixture
def an_installed_module(repository: Path, tmp_path: Path) -> Path:
    """A module's folder with the scan beside it, as the package has it; the name has what URIs must escape."""
    folder = tmp_path / "Program Files & 100 % ü" / "qt-scripted-modules"
    shutil.copytree(repository / "Resources" / "SampleData", folder / "Resources" / "SampleData")
    shutil.copytree(repository / "FewShotSeg" / "Resources" / "Icons", folder / "Resources" / "Icons")
    return folder


def test_the_scan_is_offered_alone_and_with_its_organs(sample_data: Any, slicers: type[FakeSampleDataLogic]) -> None:
    assert sample_data.registerSampleData()
    alone, organs = slicers.sources
    assert [source["category"] for source in slicers.sources] == ["FewShotSeg"] * 2
    assert alone["sampleName"] == "Abdomen CT"
    assert (alone["nodeNames"], alone["loadFileTypes"]) == (["AbdomenCT"], ["VolumeFile"])
    assert organs["sampleName"] == "Abdomen CT with organs"
    assert organs["loadFileTypes"] == ["VolumeFile", "SegmentationFile"]
    for source in slicers.sources:
        lengths = {len(source[key]) for key in ("uris", "fileNames", "nodeNames", "loadFileTypes", "checksums")}
        assert len(lengths) == 1, "Slicer refuses lists of different lengths"


@pytest.mark.parametrize("where", ["clone", "package"])
def test_what_is_offered_opens_without_a_network_and_matches_its_checksum(
    sample_data: Any,
    slicers: type[FakeSampleDataLogic],
    an_installed_module: Path,
    repository: Path,
    tmp_path: Path,
    where: str,
) -> None:
    assert sample_data.registerSampleData(an_installed_module if where == "package" else repository / "FewShotSeg")
    for source in slicers.sources:
        for uri, name, checksum in zip(source["uris"], source["fileNames"], source["checksums"], strict=True):
            assert uri.startswith("file:///")
            # The Sample Data module does the same with files as with downloads.
            urllib.request.urlretrieve(uri, tmp_path / name)
            algorithm, digest = checksum.split(":")
            assert algorithm == "SHA256"
            assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_the_checksums_are_those_beside_the_files(sample_data: Any, repository: Path) -> None:
    lines = (repository / "Resources" / "SampleData" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    beside = {name: f"SHA256:{digest}" for digest, name in (line.split() for line in lines)}
    assert beside == sample_data.CHECKSUMS


def test_each_sample_has_a_thumbnail_of_its_own(
    sample_data: Any, slicers: type[FakeSampleDataLogic], an_installed_module: Path
) -> None:
    sample_data.registerSampleData(an_installed_module)
    thumbnails = {source["thumbnailFileName"] for source in slicers.sources}
    assert len(thumbnails) == 2
    for thumbnail in thumbnails:
        with Image.open(thumbnail) as image:
            assert image.size == (288, 192)
            assert len(image.convert("L").getcolors(256) or []) > 50, "a thumbnail shows something"


def test_files_in_the_shared_cache_do_not_collide_with_other_extensions(
    sample_data: Any, slicers: type[FakeSampleDataLogic]
) -> None:
    sample_data.registerSampleData()
    assert all(name.startswith("FewShotSeg_") for source in slicers.sources for name in source["fileNames"])


def test_slicer_5_12_gets_a_title_for_the_section(sample_data: Any, slicers: type[FakeSampleDataLogic]) -> None:
    def register(category: str, title: str) -> None:
        slicers.titles[category] = title

    slicers.registerCustomSampleDataCategory = staticmethod(register)  # type: ignore[attr-defined]
    sample_data.registerSampleData()
    assert slicers.titles == {"FewShotSeg": "Few-shot segmentation"}


def test_an_incomplete_installation_offers_nothing_and_says_so(
    sample_data: Any, slicers: type[FakeSampleDataLogic], an_installed_module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (an_installed_module / "Resources" / "SampleData" / "AbdomenCT.seg.nrrd").unlink()
    with caplog.at_level(logging.WARNING):
        assert not sample_data.registerSampleData(an_installed_module)
    assert slicers.sources == []
    assert "sample scan" in caplog.text


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/opt/Slicer 5/a.nrrd"), "file:///opt/Slicer%205/a.nrrd"),
        (PureWindowsPath(r"C:\Slicer 5\a.nrrd"), "file:///C:/Slicer%205/a.nrrd"),
        (PureWindowsPath(r"\\server\apps\Slicer\a.nrrd"), "file:////server/apps/Slicer/a.nrrd"),
    ],
)
def test_paths_become_uris_that_urllib_opens(sample_data: Any, path: PurePosixPath, uri: str) -> None:
    assert sample_data.fileUri(path) == uri
    # A host other than this computer is what urllib refuses.
    assert not urllib.request.Request(uri).host


def test_slicers_own_readers_open_the_scan_and_its_organs_on_one_grid(repository: Path) -> None:
    slicer = pytest.importorskip("slicer")
    folder = repository / "Resources" / "SampleData"
    scene = slicer.vtkMRMLScene()
    nodes = []
    for kind, storage_kind, name in (
        ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", "AbdomenCT.nii.gz"),
        ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", "AbdomenCT.seg.nrrd"),
    ):
        node, storage = scene.AddNewNodeByClass(kind), scene.AddNewNodeByClass(storage_kind)
        storage.SetFileName(str(folder / name))
        assert storage.ReadData(node), name
        nodes.append(node)
    volume, segmentation = nodes
    assert volume.GetImageData().GetDimensions() == (122, 101, 112)
    names = [segmentation.GetSegmentation().GetNthSegment(n).GetName() for n in range(19)]
    assert {"liver", "right kidney", "left kidney"} <= set(names)
    boxes = [[0.0] * 6, [0.0] * 6]
    for node, box in zip(nodes, boxes, strict=True):
        node.GetRASBounds(box)
    outer, inner = boxes
    assert all(outer[n] <= inner[n] + 1e-3 and inner[n + 1] <= outer[n + 1] + 1e-3 for n in (0, 2, 4))
