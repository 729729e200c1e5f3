"""From arrays to what Qt shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
import slicer
import vtk
from vtk.util import numpy_support


def pixmapOf(picture: np.ndarray) -> Any:
    """A qt.QPixmap of an array (height, width, 3) of uint8.

    It goes through VTK because that conversion is Slicer's own: PythonQt can't fill a QImage from a buffer.
    """
    height, width, _colors = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    # VTK's first row is the lowest one.
    flat = np.ascontiguousarray(picture[::-1]).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(flat, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    converted = qt.QImage()
    slicer.qMRMLUtils().vtkImageDataToQImage(image, converted)
    return qt.QPixmap.fromImage(converted)
