"""Reads what a DICOM file or folder is about: the largest regular stack of slices, or a segmentation."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from FewShotSegLib.errors import ReadError
from FewShotSegLib.files.dicom.headers import DicomFile, read_header, read_headers
from FewShotSegLib.files.dicom.kinds import DIRECTORY, DOSE, SEGMENTATION, STRUCTURE_SET
from FewShotSegLib.files.dicom.segmentation import read_segmentation
from FewShotSegLib.files.dicom.stacks import Stack, find_stacks
from FewShotSegLib.files.dicom.voxels import digest_of, read_image, read_voxels
from FewShotSegLib.files.formats import READ_EXTENSIONS, extension_of
from FewShotSegLib.files.native_messages import native_messages
from FewShotSegLib.files.requirements import require_scalar
from FewShotSegLib.files.sitk_image import volume_from_sitk
from FewShotSegLib.volume import Volume

_log = logging.getLogger(__name__)


def read_folder(folder: Path) -> Volume:
    """Reads the largest stack of slices in a folder and the folders below; a warning tells what is left out.

    Args:
        folder: Of one series or of a whole study. If it holds no images, but one segmentation (SEG), that is read.

    Raises:
        ReadError: There is nothing to read, a file is damaged, or the largest stack is no regular grid.
        VolumeError: The images are coloured.
    """
    paths = [Path(place, name) for place, _, names in sorted(_walk(folder)) for name in sorted(names)]
    with native_messages(folder):
        files = read_headers(paths)
        stacks = _stacks_of(files)
    if not any(file.recognized and file.kind != DIRECTORY for file in files):
        volumes = [path.name for path in paths if extension_of(path, READ_EXTENSIONS)]
        hint = f"name one of its files, such as {volumes[0]}" if volumes else "check the path"
        raise ReadError(f"{folder} holds no DICOM series, expected a folder with the files of one; {hint}.")
    return _read_largest(folder, files, stacks)


def read_file(path: Path) -> Volume:
    """Reads the stack that a DICOM file is part of, from the files beside it; see `read_folder`.

    Raises:
        ReadError: It is of a kind that holds no voxels, damaged, or part of no regular grid.
    """
    with native_messages(path):
        file = read_header(path)
    if file.kind == DIRECTORY:
        return read_folder(path.parent)
    if file.kind == SEGMENTATION:
        return read_segmentation(path)
    if file.kind and file.kind != DOSE:
        raise ReadError(f"{path} is a DICOM {file.kind}, {_what_to_do(file.kind)}")
    if file.problem:
        raise ReadError(f"{path} can't be used: {file.problem}.")
    require_scalar(str(path), (2, 2, 2), file.components, file.pixel_type)
    files = [file]
    with native_messages(path):
        if len(file.slices) == 1:
            others = read_headers(sorted(other for other in path.parent.iterdir() if other.name != path.name))
            same = [other for other in others if other.slices and other.slices[0].kind == file.slices[0].kind]
            files += [*same, *(other for other in others if other.problem)]
        stacks = _stacks_of(files)
    stacks = [stack for stack in stacks if any(item.path == path for item in stack.slices)]
    return _read_largest(path, files, stacks)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """The folder and those below with their files; OSError where one can't be listed."""

    def fail(error: OSError) -> None:
        raise error

    return os.walk(folder, onerror=fail)


def _stacks_of(files: list[DicomFile]) -> list[Stack]:
    """The stacks of the files with one value a voxel, or of all if there are only coloured ones."""
    grey = [file for file in files if file.components == 1]
    return find_stacks([item for file in grey or files for item in file.slices], digest_of)


def _read_largest(path: Path, files: list[DicomFile], stacks: list[Stack]) -> Volume:
    """Reads the largest of the stacks, or of the files that SimpleITK has to place as a whole."""
    whole = [file for file in files if not file.slices and not file.problem and file.size[2] > 0]
    images = [file for file in whole if not file.kind]
    if not stacks and not images:
        images = [file for file in whole if file.kind == DOSE]
    volumes = [file for file in images if file.size[2] > 1] or (images if len(images) == 1 and not stacks else [])
    best = max(volumes, key=_voxels, default=None)
    if stacks and (best is None or stacks[0].voxels >= _voxels(best)):
        return _read_stack(path, files, stacks)
    if best is None:
        _require_undamaged(files, [file.path for file in files if file.recognized])
        return _read_other(path, files)
    _require_undamaged(files, [best.path])
    require_scalar(str(best.path), (2, 2, 2), best.components, best.pixel_type)
    with native_messages(best.path):
        image = read_image(best.path)
    _tell_left_out(path, files, stacks, [best.path], f"{best.path.name} ({best.size[2]} slices)")
    return volume_from_sitk(image, _name(path))


def _read_stack(path: Path, files: list[DicomFile], stacks: list[Stack]) -> Volume:
    """Reads the first stack."""
    stack = stacks[0]
    used = {item.path for item in stack.slices}
    _require_undamaged(files, used)
    if stack.problem:
        raise ReadError(
            f"{path} is no regular grid: of its largest series ({_described(stack)}) {stack.problem}. Expected slices "
            "at equal distances; look for missing files, or resample the series."
        )
    components = next(file for file in files if file.path in used)
    require_scalar(str(path), (2, 2, 2), components.components, components.pixel_type)
    with native_messages(path):
        array = read_voxels(stack.slices)
    _tell_left_out(path, files, stacks[1:], list(used), _described(stack), stack.repeated)
    grid = stack.grid
    return Volume(
        array,
        spacing=grid.spacing,  # type: ignore[arg-type]  # three numbers
        origin=grid.origin,  # type: ignore[arg-type]
        direction=grid.direction,
        name=_name(path),
    )


def _read_other(path: Path, files: list[DicomFile]) -> Volume:
    """Reads the only segmentation, or says what there is instead of images."""
    segmentations = [file.path for file in files if file.kind == SEGMENTATION]
    if len(segmentations) == 1:
        return read_segmentation(segmentations[0])
    if segmentations:
        names = ", ".join(file.name for file in segmentations)
        raise ReadError(f"{path} holds {len(segmentations)} DICOM segmentations ({names}); name one of these files.")
    kinds = sorted({file.kind for file in files if file.kind})
    if not kinds:
        raise ReadError(
            f"{path} holds {len(files)} DICOM images without a place in the patient (0020,0032), expected slices of a "
            "volume; convert them to a volume with known spacing first."
        )
    raise ReadError(f"{path} holds no DICOM images but {', '.join(kinds)}; {_what_to_do(kinds[0])}")


def _what_to_do(kind: str) -> str:
    if kind == STRUCTURE_SET:
        return (
            "contours rather than voxels; convert it to a labelmap first, for instance in 3D Slicer (load it with "
            "SlicerRT, then save the segmentation as .seg.nrrd)."
        )
    return "expected the images of a series; name the folder or a file of that."


def _require_undamaged(files: list[DicomFile], used: Iterable[Path]) -> None:
    """Raises ReadError if a file can't be read that may be one of the slices.

    That is a DICOM file in the same folder, or what is called like the slices but for numbers.
    """
    folders = {path.parent for path in used}
    patterns = {(path.parent, _pattern(path)) for path in used}
    damaged = [
        file
        for file in files
        if file.problem
        and (file.path.parent in folders if file.recognized else (file.path.parent, _pattern(file.path)) in patterns)
    ]
    if damaged:
        more = f", as {len(damaged) - 1} more files" if len(damaged) > 1 else ""
        raise ReadError(f"{damaged[0].path} can't be used{more}: {damaged[0].problem}, or move it elsewhere.")


def _pattern(path: Path) -> str:
    """A file's name without its numbers."""
    return re.sub(r"\d+", "#", path.name)


def _tell_left_out(
    path: Path, files: list[DicomFile], stacks: list[Stack], used: list[Path], taken: str, repeated: int = 0
) -> None:
    """Logs a warning about what isn't part of the volume, if there is anything."""
    left_out = [_described(stack) for stack in stacks[:4]]
    if stacks[4:]:
        left_out.append(f"{len(stacks) - 4} further stacks")
    if repeated:
        left_out.append(_count(repeated, "slice that is there twice", "slices that are there twice"))
    kinds = Counter(file.kind for file in files if file.kind and file.kind != DIRECTORY and file.path not in used)
    left_out += [f"{count} {kind}" for kind, count in kinds.items()]
    unplaced = sum(not (file.slices or file.kind or file.problem or file.path in used) for file in files)
    if unplaced:
        left_out.append(_count(unplaced, "image without a place", "images without a place"))
    damaged = sum(bool(file.problem) and file.recognized for file in files)
    if damaged:
        left_out.append(_count(damaged, "file that can't be read", "files that can't be read"))
    if left_out:
        series = "1 DICOM series" if not stacks else f"{len(stacks) + 1} DICOM series, of which the largest is taken"
        _log.warning("%s holds %s: %s. Left out: %s.", path, series, taken, "; ".join(left_out))


def _described(stack: Stack) -> str:
    first = stack.slices[0]
    columns, rows = first.size
    name = f"'{first.description}', " if first.description else ""
    return f"{name}{_count(len(stack.slices), 'slice', 'slices')} of {columns} x {rows}"


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _voxels(file: DicomFile) -> int:
    return file.size[0] * file.size[1] * file.size[2]


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem
