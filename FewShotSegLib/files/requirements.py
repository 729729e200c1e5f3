"""What an image must be to become a volume, and how readers' own words are told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from FewShotSegLib.errors import VolumeError


def require_scalar(
    label: str, size: Sequence[int], components: int, pixel_type: str, segmentation: bool = False
) -> None:
    """Raises VolumeError unless an image is 3D with one real value a voxel.

    Args:
        label: How messages call the image.
        size: Voxels along each axis, the fastest first; axes of one voxel after the third don't count.
        components: Values a voxel; a segmentation may have several, its layers.
        pixel_type: Their type in SimpleITK's words.
        segmentation: Whether it is one.
    """
    dimension = max(min(len(size), 3), *(axis for axis, extent in enumerate(size, 1) if extent > 1), 0)
    if dimension != 3:
        raise VolumeError(
            f"{label} has {dimension} dimensions, expected 3; "
            + ("take one time point first." if dimension > 3 else "stack the slices to a volume first.")
        )
    if "complex" in pixel_type:
        raise VolumeError(f"{label} holds {pixel_type} voxels, expected real ones; take magnitude or phase first.")
    if components > 1 and not segmentation:
        raise VolumeError(
            f"{label} has {components} values per voxel ({pixel_type}), expected one; "
            "take one channel, time point or a grey-scale version first."
        )


def reason(error: Exception) -> str:
    """What SimpleITK says went wrong, without the places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # MetaImage adds the system's last error, which then is "No such file" for a file that is merely incomplete.
    noise = ("Exception thrown in", "Reason: No such file")
    said = [line for line in lines if not line.startswith(noise) and ".cxx:" not in line]
    return re.sub(r"\(0x[0-9a-f]+\)", "", (said or lines)[-1]).removeprefix("sitk::ERROR: ")[:400]
