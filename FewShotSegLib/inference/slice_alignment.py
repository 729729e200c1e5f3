"""Which slices of two patients show the same part of the body, by what the network sees on them.

Scans of one region begin and end at different heights, and intensities alone often mislead a registration along the
patient. The network's high-level maps tell parts of the body apart and know the same part again in another contrast:
the two stacks are laid over each other where their slices are most alike, at any shift and at a few scales. In the
plane the bodies' bounding boxes are laid over each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional as F

from ..network.model import FewShotNetwork
from ..preprocessing.frame import Bounds, body_bounds, frame_around
from ..preprocessing.intensity import window_of
from ..preprocessing.views import PlaneTurn, SliceView, turn_between
from .request import ForeignSlice

_SIDE = 128
_CELLS = 4
_CHUNK = 8
# More slices than that add nothing: they are thinned.
_MOST_SLICES = 128
_SCALES = (0.8, 0.9, 1.0, 1.1, 1.25)
_SHIFTS = 150  # that are tried over the length of the longer stack
_LEAST_OVERLAP = 0.5  # of the shorter stack
# So many parts of the query count as slices that are unlike, lest a short overlap wins by chance.
_DOUBT = 0.3


@dataclass(frozen=True)
class DescribedStack:
    """Slices of a stack as the network sees them.

    Attributes:
        features: (Z, D) of norm 1 or 0, what they have in common taken off; of every so many-th slice.
        gap: distance of these slices in mm.
        body: bounding box of the body in the plane, in pixels of the whole slices.
    """

    features: np.ndarray
    gap: float
    body: Bounds

    @property
    def length(self) -> float:
        """From the first slice to the last, in mm."""
        return (len(self.features) - 1) * self.gap


def describe(
    network: FewShotNetwork,
    device: torch.device,
    stack: np.ndarray,
    gap: float,
    pixel: tuple[float, float],
    check: Callable[[], None] = lambda: None,
) -> DescribedStack:
    """What the network sees on the slices of a stack.

    Args:
        network: in evaluation mode.
        device: where it is.
        stack: (Z, rows, columns) intensities.
        gap: slice distance in mm.
        pixel: (row, column) pixel size in mm.
        check: called now and then; what it raises stops the work.
    """
    every = -(-len(stack) // _MOST_SLICES)
    body = body_bounds(stack)
    frame = frame_around(body, pixel, _SIDE)
    thin = stack[::every]
    window = window_of(frame.inside(thin))
    maps = []
    for start in range(0, len(thin), _CHUNK):
        check()
        images = frame.cut(window(thin[start : start + _CHUNK]))[:, None] * 2 - 1
        high = network.encode(images.to(device).contiguous(memory_format=torch.channels_last)).high
        maps.append(F.adaptive_avg_pool2d(high.float(), _CELLS).flatten(1).cpu())
    features = torch.cat(maps)
    return DescribedStack(F.normalize(features - features.mean(0), dim=1).numpy(), gap * every, body)


def lay_over(query: DescribedStack, other: DescribedStack) -> tuple[float, float]:
    """Where the other's slices lie in the query.

    Returns:
        scale and shift: slice z mm from the query's first is most like slice scale * z + shift mm from the other's
        first. The stacks' middles lie on each other where nothing tells.
    """
    alike = query.features @ other.features.T
    heights = np.arange(len(query.features)) * query.gap
    best, best_score = (1.0, 0.5 * (other.length - query.length)), 1e-3
    for scale, shift in _tried(query, other):
        place = (scale * heights + shift) / other.gap
        inside = np.flatnonzero((place > -0.5) & (place < len(other.features) - 0.5))
        overlap = len(inside) * query.gap * scale
        if overlap < _LEAST_OVERLAP * min(scale * query.length, other.length):
            continue
        similarity = alike[inside, np.round(place[inside]).astype(int)].sum()
        score = similarity / (len(inside) + _DOUBT * len(heights))
        if score > best_score:
            best, best_score = (scale, shift), score
    return best


def _tried(query: DescribedStack, other: DescribedStack) -> Iterator[tuple[float, float]]:
    step = max(query.length, other.length) / _SHIFTS
    for scale in _SCALES if step > 0 else ():
        for shift in np.arange(-scale * query.length, other.length + step, step):
            yield scale, float(shift)


class SliceAlignment:
    """Lays other volumes over a query.

    Args:
        network: in evaluation mode.
        device: where it is.
        view: the query.
        check: called now and then; what it raises stops the work.
    """

    def __init__(
        self, network: FewShotNetwork, device: torch.device, view: SliceView, check: Callable[[], None] = lambda: None
    ) -> None:
        self._network, self._device, self._view, self._check = network, device, view, check

    @cached_property
    def _query(self) -> DescribedStack:
        return describe(self._network, self._device, self._view.array, self._view.gap, self._view.pixel, self._check)

    def __call__(self, item: ForeignSlice) -> sitk.AffineTransform:
        """Affine transform from points of the query to those of the volume that a painted slice is from, in mm."""
        if item.volume is self._view.volume:  # painted across other slices of the query itself
            return sitk.AffineTransform(3)
        source = SliceView(item.volume, item.axis)
        turn = turn_between(source, self._view)
        # The other's slices may be counted from the other end.
        reversed_ = bool(source.directions[0] @ self._view.directions[0] < 0)
        stack = item.stack[::-1] if reversed_ else item.stack
        other = describe(self._network, self._device, stack, source.gap, item.pixel, self._check)
        scale, shift = lay_over(self._query, other)
        corners = list(product((0.0, self._query.length or 1.0), (0.0, 1.0), (0.0, 1.0)))
        here = [_point(self._view, self._query.body, corner) for corner in corners]
        end = (len(stack) - 1) * source.gap
        there = []
        for z, row, column in corners:
            height = scale * z + shift
            there.append(_point(source, other.body, (end - height if reversed_ else height, row, column), turn))
        return _affine(np.asarray(here), np.asarray(there))


def _point(
    view: SliceView, body: Bounds, place: tuple[float, float, float], turn: PlaneTurn | None = None
) -> np.ndarray:
    """A point in mm of the patient.

    Args:
        view: the stack.
        body: bounding box of its body, on its slices as they are turned.
        place: mm from the first slice; row and column, 0..1 over the body.
        turn: how its slices are turned.
    """
    top, bottom, left, right = body
    row, column = top + place[1] * (bottom - top) - 0.5, left + place[2] * (right - left) - 0.5
    if turn is not None:
        row, column = turn.back(row, column, view.shape[1:])
    along = np.array([place[0], row * view.pixel[0], column * view.pixel[1]])
    return np.asarray(view.volume.origin) + along @ view.directions


def _affine(here: np.ndarray, there: np.ndarray) -> sitk.AffineTransform:
    """The affine transform that takes the (N, 3) corners of one box to those of another."""
    middle = here.mean(axis=0)
    matrix, *_ = np.linalg.lstsq(here - middle, there - there.mean(axis=0), rcond=None)
    transform = sitk.AffineTransform(3)
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(matrix.T.ravel().tolist())
    transform.SetTranslation((there.mean(axis=0) - middle).tolist())
    return transform
