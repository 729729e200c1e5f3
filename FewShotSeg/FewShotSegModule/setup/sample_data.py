"""The sample scan that comes with the extension, offered in Slicer's Sample Data module; needs no network."""

from __future__ import annotations

import logging
from pathlib import Path, PurePath

from slicer.i18n import tr as _

#: Also what the scan's section is called in the Sample Data module of Slicer 5.10.
CATEGORY = "FewShotSeg"
#: What the samples are called in that module, and for `SampleData.downloadSamples`: the scan alone, and the scan with a
#: segmentation of its organs.
SCAN, SCAN_WITH_ORGANS = "Abdomen CT", "Abdomen CT with organs"

#: File to checksum, as in SHA256SUMS beside the files; a test compares them.
CHECKSUMS = {
    "AbdomenCT.nii.gz": "SHA256:8f2070efb4088a3d52c5558e9fc883e82c46d81d6ae090e6849a97794519a095",
    "AbdomenCT.seg.nrrd": "SHA256:82888e6deacc465930a5977e21e42e876514f4f151cbe3a30f2370b3a91f9e24",
}
_SCAN_FILE, _ORGANS_FILE = CHECKSUMS

_MODULE_FOLDER = Path(__file__).resolve().parents[2]


def sampleFolder(moduleFolder: Path = _MODULE_FOLDER) -> Path | None:
    """Where the scan lies: beside the installed module, or at the top of a clone of the repository; None if nowhere."""
    for folder in (moduleFolder, moduleFolder.parent):
        candidate = folder / "Resources" / "SampleData"
        if all((candidate / file).is_file() for file in CHECKSUMS):
            return candidate
    return None


def registerSampleData(moduleFolder: Path = _MODULE_FOLDER) -> bool:
    """Offers the scan in the Sample Data module; to be called when Slicer's start is completed.

    The files are given as file URIs: the Sample Data module copies such files into its cache and checks them against
    their checksums as it does with downloads.

    :return: Whether the scan was there to be offered.
    """
    folder = sampleFolder(moduleFolder)
    if folder is None:
        logging.warning("FewShotSeg: the sample scan did not come with this installation")
        return False
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # since Slicer 5.12
        logic.registerCustomSampleDataCategory(category=CATEGORY, title=_("Few-shot segmentation"))
    icons = moduleFolder / "Resources" / "Icons"
    _register(logic, folder, SCAN, {_SCAN_FILE: ("VolumeFile", "AbdomenCT")}, icons / "AbdomenCT.png")
    _register(
        logic,
        folder,
        SCAN_WITH_ORGANS,
        {_SCAN_FILE: ("VolumeFile", "AbdomenCT"), _ORGANS_FILE: ("SegmentationFile", "AbdomenCT organs")},
        icons / "AbdomenCTOrgans.png",
    )
    return True


def fileUri(path: PurePath) -> str:
    """The URI of a file; one on a Windows network share gets an empty host, since urllib opens no other."""
    uri = path.as_uri()
    return uri if uri.startswith("file:///") else uri.replace("file://", "file:////", 1)


def _register(logic: type, folder: Path, sample: str, files: dict[str, tuple[str, str]], thumbnail: Path) -> None:
    """Registers one sample.

    :param files: Name of each file to how it is read and what its node is called.
    """
    logic.registerCustomSampleDataSource(  # type: ignore[attr-defined]
        category=CATEGORY,
        sampleName=sample,
        uris=[fileUri(folder / file) for file in files],
        # The cache is shared by all extensions, hence the prefix.
        fileNames=[f"FewShotSeg_{file}" for file in files],
        nodeNames=[nodeName for _fileType, nodeName in files.values()],
        loadFileTypes=[fileType for fileType, _nodeName in files.values()],
        checksums=[CHECKSUMS[file] for file in files],
        thumbnailFileName=str(thumbnail),
    )
