"""SimpleITK images as volumes."""

from __future__ import annotations

import SimpleITK as sitk

from FewShotSegLib.files.requirements import require_scalar
from FewShotSegLib.files.segmentation_header import read_segments
from FewShotSegLib.files.segments import merge_layers
from FewShotSegLib.volume import Volume


def volume_from_sitk(image: sitk.Image, name: str = "") -> Volume:
    """Copies a SimpleITK image; see `Volume.from_sitk`."""
    label = f"Volume '{name}'" if name else "The image"
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:  # a single time point
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    layers = image.GetNumberOfComponentsPerPixel()
    segments = read_segments(
        {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}, layers
    )
    require_scalar(label, image.GetSize(), layers, image.GetPixelIDTypeAsString(), bool(segments))
    array = sitk.GetArrayFromImage(image)
    if segments:
        array, names, colors = merge_layers(array, segments, label)
    else:
        array, names, colors = array.reshape(array.shape[:3]), {}, {}
    return Volume(
        array,
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=image.GetDirection(),
        names=names,
        colors=colors,
        name=name,
    )
