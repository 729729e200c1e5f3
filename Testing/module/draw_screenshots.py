"""Draws the README's pictures of the panel, outside of Slicer: `python Testing/module/draw_screenshots.py`.

The panel is the module's own, on stand-ins for Slicer's widgets. Scene library, engine and worker process are the real
ones, at work on the sample scan. The slice views beside the result are drawn here, in the colours that Slicer uses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(REPOSITORY / "FewShotSeg"), str(REPOSITORY)]

PAINTED = (70, 80, 90, 100)
STRUCTURES = ("liver", "spleen", "right kidney", "left kidney", "aorta")
WINDOW = (-160.0, 240.0)
#: Height of the panel beside the slice views.
HEIGHT = 950
#: Bytes beyond which a picture makes do with 256 colours.
LARGEST = 150_000
#: Height of each drawn slice view.
VIEW_HEIGHT = 290


def main() -> None:
    """Draws both pictures."""
    parser = argparse.ArgumentParser(description="Draws the README's pictures of the panel.")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    output = parser.parse_args().output
    from standin.qt_panel import Panel, addSliceViews, addVolume, loadModule, paint
    from standin.qt_slicer import installSlicer

    from FewShotSegLib.demo.sample_scan import load_sample_scan

    slicer = installSlicer()
    addSliceViews(slicer)
    scan = load_sample_scan(STRUCTURES)
    volume = addVolume(slicer, "AbdomenCT", scan.image.array, ijkToRas(scan.image))
    volume.GetScalarVolumeDisplayNode().AutoWindowLevelOff()
    volume.GetScalarVolumeDisplayNode().SetWindowLevelMinMax(*WINDOW)
    panel = Panel(slicer, loadModule())
    try:
        panel.enter()
        painted = panel.parameters.paintSegmentation
        for value, name in scan.labels.names.items():
            mask = np.zeros(scan.labels.shape, bool)
            mask[list(PAINTED)] = scan.labels.array[list(PAINTED)] == value
            paint(slicer, painted, volume, name, mask, scan.labels.colors[value])
        panel.ui.addAllButton.click()
        panel.ui.segmentEditorWidget.setActiveEffectByName("Paint")
        panel.settle()
        save(panel.picture(), output / "panel.png")
        panel.ui.runButton.click()
        seconds = panel.waitFor(lambda: panel.ui.acceptButton.enabled, 1800)
        print(f"segmented in {seconds:.0f} s")
        panel.ui.confidenceCheckBox.checked = True
        panel.ui.nextSliceButton.click()
        panel.waitFor(lambda: not panel.ui.confidenceStrip.toolTip, 10)
        preview, confidence = panel.parameters.preview, panel.parameters.confidenceVolume
        views = sliceViews(
            slicer, volume, preview, confidence, scan.image.spacing_kji, panel.ui.confidenceOpacitySlider.value
        )
        save(besides(panel.picture(HEIGHT), views), output / "panel_result.png")
    finally:
        panel.close()


def ijkToRas(volume: Any) -> np.ndarray:
    """The matrix of an engine's volume, which is in LPS, for Slicer."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * volume.spacing
    matrix[:3, 3] = volume.origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def sliceViews(slicer: Any, volume: Any, preview: Any, confidence: Any, spacing: Any, opacity: float) -> list[Any]:
    """An axial and a coronal view of the result, and an axial one of its confidence, each with a caption."""
    from FewShotSegModule.panel.pixmaps import pixmapOf

    image = np.clip((slicer.util.arrayFromVolume(volume) - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1)
    gray = np.repeat((image * 255)[..., None], 3, axis=3)
    colored = gray.copy()
    content = preview.GetSegmentation()
    covered = []
    for number in range(content.GetNumberOfSegments()):
        identifier = content.GetNthSegmentID(number)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(preview, identifier, volume) > 0
        colored[mask] = 0.5 * colored[mask] + 0.5 * 255 * np.array(content.GetSegment(identifier).GetColor())
        covered.append(mask)
    found = np.any(covered, axis=0)
    # As Slicer lays a volume over another: its colours, as opaque as the table and the overlay's opacity say.
    display = confidence.GetScalarVolumeDisplayNode()
    table, (low, high) = (
        display.GetColorNode().GetLookupTable(),
        (display.GetWindowLevelMin(), display.GetWindowLevelMax()),
    )
    colors = np.array([table.GetTableValue(n) for n in range(table.GetNumberOfTableValues())])
    values = slicer.util.arrayFromVolume(confidence)
    at = (values - low) / (high - low) * (len(colors) - 1)
    overlay = colors[np.clip(at, 0, len(colors) - 1).astype(int)]
    shown = (values >= display.GetLowerThreshold()) & (values <= display.GetUpperThreshold())
    opaque = opacity * overlay[..., 3:] * shown[..., None]
    sure = (1 - opaque) * gray + opaque * 255 * overlay[..., :3]
    axial, coronal = (PAINTED[1] + PAINTED[2]) // 2, int(np.argmax(found.sum(axis=(0, 2))))
    k, j, i = spacing
    parts = (
        (f"axial, slice {axial}: not painted", colored[axial], j, i),
        (f"coronal, slice {coronal}", colored[::-1, coronal], k, i),
        (f"confidence, slice {axial}", sure[axial], j, i),
    )
    return [
        (caption, _scaled(pixmapOf(np.round(plane).astype(np.uint8)), height, width))
        for caption, plane, height, width in parts
    ]


def _scaled(picture: Any, rowMm: float, columnMm: float) -> Any:
    """A slice's picture with square millimetres, interpolated as in Slicer's views."""
    from standin import qt

    width = round(VIEW_HEIGHT * picture.width() * columnMm / (picture.height() * rowMm))
    mode = qt.Qt.TransformationMode.SmoothTransformation
    return picture.scaled(width, VIEW_HEIGHT, qt.Qt.AspectRatioMode.IgnoreAspectRatio, mode)


def besides(panel: Any, views: list[Any]) -> Any:
    """The panel's picture with slice views to the right of it, and a line that says what it is."""
    from standin import qt

    line = "drawn outside of Slicer: the module's panel on stand-ins for Slicer's widgets; slice views redrawn"
    width = panel.width() + max(picture.width() for _caption, picture in views) + 12
    height = max(panel.height(), len(views) * (VIEW_HEIGHT + 24)) + 22
    whole = qt.QPixmap(width, height)
    whole.fill(qt.QColor(30, 30, 34))
    painter = qt.QPainter(whole)
    painter.drawPixmap(0, 0, panel)
    painter.setPen(qt.QColor(230, 230, 230))
    for number, (caption, picture) in enumerate(views):
        top = number * (VIEW_HEIGHT + 24)
        painter.drawText(panel.width() + 12, top + 16, caption)
        painter.drawPixmap(panel.width() + 6, top + 22, picture)
    painter.drawText(8, height - 7, line)
    painter.end()
    return whole


def save(picture: Any, path: Path) -> None:
    """Writes a PNG small enough for the repository."""
    from PIL import Image

    picture.save(str(path))
    if path.stat().st_size > LARGEST:
        full = Image.open(path).convert("RGB")
        full.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
