"""Painted slices, as the network is shown them for their looks: chosen, cut to a frame, given an intensity window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..preprocessing.frame import Frame, bounds_of
from ..preprocessing.intensity import Window, in_hounsfield_units, window_of
from .query import Query, Support

_MOST_SUPPORTS = 24
_NEGATIVES = 3


@dataclass(frozen=True)
class SupportImage:
    """A painted slice of another volume, or across the stack, cut to the frame's pixel size and shape.

    Attributes:
        image: (h, w) in [0, 1].
        labels: (h, w) segments 0..L, -1 where nothing is known.
        volume: which volume it is from; equal for slices of the same one.
    """

    image: Tensor
    labels: Tensor
    volume: int = 0


def support_images(query: Query, frame: Frame, window: Window, targets: list[int]) -> list[SupportImage]:
    """Painted slices outside the query's stack at a frame's pixel size, centred on what is painted.

    Args:
        query: whose painted slices are shown.
        frame: what the network sees of the query.
        window: of the query's intensities there; CT has the same in all volumes.
        targets: segments 1..L that are looked for.
    """
    pixel = frame.pixel(query.view.pixel)
    hounsfield = in_hounsfield_units(query.view.volume.array)
    windows: dict[int, Window] = {}
    result = []
    for item in choose_support(query.shown, targets):
        source = _support_frame(item, frame, pixel, targets)
        key = id(item.view.volume)
        if hounsfield and in_hounsfield_units(item.view.volume.array):
            windows[key] = window
        elif key not in windows:
            windows[key] = window_of(source.inside(item.stack))
        fill = float(item.image.min())
        image = source.cut(item.image[None], fill=fill).numpy()
        shown = torch.from_numpy(windows[key](image))[0]
        result.append(SupportImage(shown, source.cut_labels(_known_labels(item)[None])[0], key))
    return result


def choose_support(foreign: list[Support], targets: list[int]) -> list[Support]:
    """Painted slices that serve some segments best, so that many examples cost no more than some.

    Each target in turn takes its largest cross-sections, each time from the volume it has taken least from; a few
    slices without any target stay as negative examples.
    """
    if len(foreign) <= _MOST_SUPPORTS:
        return foreign
    areas = [{t: int((f.mask == t).sum()) for t in targets} for f in foreign]
    chosen: list[int] = []
    taken: dict[tuple[int, int], int] = {}
    for _ in range(_MOST_SUPPORTS):
        for target in targets:
            left = [i for i in range(len(foreign)) if i not in chosen and areas[i][target]]
            if not left or len(chosen) >= _MOST_SUPPORTS:
                continue
            best = min(left, key=lambda i: (taken.get((target, id(foreign[i].view.volume)), 0), -areas[i][target]))
            chosen.append(best)
            key = (target, id(foreign[best].view.volume))
            taken[key] = taken.get(key, 0) + 1
    chosen += [i for i in range(len(foreign)) if not any(areas[i].values())][:_NEGATIVES]
    return [foreign[i] for i in sorted(chosen)]


def _known_labels(item: Support) -> np.ndarray:
    """Labels of a slice, turned; what is not painted is background unless some segment may be there unpainted."""
    if all(item.said.values()):
        return item.mask
    return item.turn(item.labels)


def _support_frame(item: Support, frame: Frame, pixel: float, targets: list[int]) -> Frame:
    """Frame of the query's size and scale on a support slice, centred on the structures."""
    bounds = bounds_of(np.isin(item.mask, targets)) or (0, item.mask.shape[0], 0, item.mask.shape[1])
    rows = max(int(round(frame.height * pixel / item.pixel[0])), 1)
    columns = max(int(round(frame.width * pixel / item.pixel[1])), 1)
    shape = item.mask.shape
    top = _place((bounds[0] + bounds[1] - rows) // 2, rows, shape[0])
    left = _place((bounds[2] + bounds[3] - columns) // 2, columns, shape[1])
    return Frame(top, left, rows, columns, frame.height, frame.width)


def _place(start: int, length: int, size: int) -> int:
    """Keeps a window inside the plane where it fits, centres the plane in it where it doesn't."""
    if length >= size:
        return (size - length) // 2
    return min(max(start, 0), size - length)
