"""Reads a DICOM segmentation (SEG) as a labelmap, with highdicom."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np

from FewShotSegLib.errors import ReadError
from FewShotSegLib.volume import Volume

_log = logging.getLogger(__name__)


def read_segmentation(path: Path) -> Volume:
    """Reads a SEG, with the names of its segments.

    Args:
        path: The file. Segments that overlap are merged, later over earlier; of fractional ones what is at least half.

    Raises:
        ReadError: highdicom isn't installed, or can't make a regular grid of the file.
    """
    try:
        import highdicom
    except ImportError as error:
        raise ReadError(
            f"{path} is a DICOM segmentation (SEG); to read it the package highdicom is needed: "
            'pip install "fewshotseg[dicom]", or convert it to .seg.nrrd or .nii.gz first.'
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library, about fields that matter to archives only
            segmentation = highdicom.seg.segread(path)
            numbers = [int(number) for number in segmentation.segment_numbers]
            names = {n: str(segmentation.get_segment_description(n).segment_label) for n in numbers}
            merged, covered = None, 0
            for number in numbers:
                part = segmentation.get_volume(segment_numbers=[number])
                mask = np.squeeze(part.array, axis=3) >= 0.5 if part.array.ndim == 4 else part.array >= 0.5
                if merged is None:
                    merged = np.zeros(mask.shape, np.uint16)
                    affine = np.asarray(part.affine)
                covered += int(np.count_nonzero(merged[mask]))
                merged[mask] = number
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged or unusual file leads to in the library
        raise ReadError(f"{path} can't be read as a DICOM segmentation: {error}") from error
    if merged is None:
        raise ReadError(f"{path} is a DICOM segmentation without segments; segment something first.")
    if covered:
        _log.warning("%s has segments that overlap; in %d voxels a later segment covers an earlier one.", path, covered)
    columns = affine[:3, 2::-1]  # axes i, j, k; the library's are those of the array
    spacing = np.linalg.norm(columns, axis=0)
    return Volume(
        merged,
        spacing=tuple(map(float, spacing)),  # type: ignore[arg-type]  # three of them
        origin=tuple(map(float, affine[:3, 3])),  # type: ignore[arg-type]
        direction=tuple(map(float, (columns / spacing).ravel())),
        names=names,
        name=path.stem,
    )
