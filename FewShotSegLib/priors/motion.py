"""Motion: how what a stack shows moves from slice to slice.

Between neighbouring slices a structure shifts, widens and bends. Optical flow says how: dense iterative Lucas-Kanade
over a pyramid, with a Gaussian window (Le Besnerais & Champagnat, "Dense optical flow by iterative local window
registration", ICIP 2005). All pairs of slices are solved together, which takes a tenth of the time of one by one.
"""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import Tensor
from torch.nn import functional as F

from ..parallel import in_parallel
from ..plan import Tick

# Of the window in which everything is taken to move alike, in pixels, and of iterations on each level of the pyramid.
_WINDOW = 2.0
_ROUNDS = 5
_LEAST_WEIGHT = 1e-7
_COARSEST = 16
# Squared gradients below which, about, nothing is learned of motion: there the coarser level's stays.
_TEXTURE = 3e-4
_FARTHEST = 64.0
# Pairs of slices solved together: more would take more memory, and no less time.
_TOGETHER = 16


class Motion:
    """Optical flow between all neighbouring slices of a stack.

    Displacements are (row, column) pixels from a pixel's own place.

    Args:
        up: (Z - 1, 2, h, w) where a pixel of slice z lies in slice z + 1.
        down: (Z - 1, 2, h, w) where a pixel of slice z + 1 lies in slice z.
    """

    def __init__(self, up: Tensor, down: Tensor) -> None:
        self._up, self._down = up, down

    @classmethod
    def of(cls, image: Tensor, tick: Tick = lambda _: None) -> Motion:
        """Measures the motion in a (Z, h, w) stack of intensities in [0, 1].

        Args:
            image: the stack.
            tick: called with 0 now and then; may raise to cancel.
        """
        here, there = torch.cat([image[:-1], image[1:]]), torch.cat([image[1:], image[:-1]])
        pairs = list(zip(here.split(_TOGETHER), there.split(_TOGETHER), strict=True))
        flows = list(in_parallel(lambda pair, _: optical_flow(*pair).half(), pairs, tick))
        if not flows:
            flows.append(image.new_zeros(0, 2, *image.shape[1:]))
        up, down = torch.cat(flows).chunk(2)
        return cls(up, down)

    def part(self, first: int, stop: int | None = None) -> Motion:
        """The motion in the slices from `first` to `stop` (None for the stack's end), counted from there."""
        last = len(self._up) if stop is None else stop - 1
        return Motion(self._up[first:last], self._down[first:last])

    def reduced(self, factor: int) -> Motion:
        """The motion on pixels that are so many times larger."""
        up, down = (F.avg_pool2d(flow.float(), factor).div_(factor).half() for flow in (self._up, self._down))
        return Motion(up, down)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self._up.nbytes + self._down.nbytes

    def between(self, here: int, there: int) -> Tensor:
        """(2, h, w) float32, where each pixel of slice `here` lies in its neighbour `there`."""
        return (self._up[here] if there > here else self._down[there]).float()

    def back_to(self, sources: Container[float], step: int) -> Tensor:
        """Where each pixel lies in the nearest of some slices on one side, followed from slice to slice.

        Args:
            sources: slice numbers.
            step: 1 for sources before a slice, -1 for those after it.

        Returns:
            (Z, 2, h, w) float16; zero where there is no source on that side.
        """
        count = len(self._up) + 1
        result = self._up.new_zeros(count, 2, *self._up.shape[2:], dtype=torch.float16)
        followed: Tensor | None = None
        for z in range(1, count) if step > 0 else range(count - 2, -1, -1):
            before = z - step
            here = self.between(z, before)
            if before in sources:
                followed = here
            elif followed is not None:
                followed = here + moved(followed[None], here[None])[0]
            if followed is not None:
                result[z] = followed.half()
        return result


def moved(values: Tensor, displacement: Tensor) -> Tensor:
    """(N, C, h, w) values, looked up (N, 2, h, w) pixels (rows, columns) away from each place."""
    height, width = values.shape[-2:]
    rows = torch.arange(height, device=values.device)[:, None] + displacement[:, 0]
    columns = torch.arange(width, device=values.device) + displacement[:, 1]
    grid = torch.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(values, grid, padding_mode="border", align_corners=True)


def optical_flow(here: Tensor, there: Tensor) -> Tensor:
    """Where the pixels of some images lie in others.

    Args:
        here: (N, h, w) intensities in [0, 1].
        there: the same shape.

    Returns:
        (N, 2, h, w) displacement as (row, column) pixels: `moved(there, displacement)` looks like `here`.
    """
    levels = [(here[:, None], there[:, None])]
    while min(levels[-1][0].shape[-2:]) >= 2 * _COARSEST:
        a, b = levels[-1]
        levels.append((F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)))
    flow = here.new_zeros(len(here), 2, *levels[-1][0].shape[-2:])
    for a, b in reversed(levels):
        size = a.shape[-2:]
        if flow.shape[-2:] != size:
            scale = flow.new_tensor([size[0] / flow.shape[-2], size[1] / flow.shape[-1]])[:, None, None]
            flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * scale
        windows = _blur(size[0], a), _blur(size[1], a).T
        for _ in range(_ROUNDS):
            flow = _improved(flow, a, b, windows)
    return flow


def _improved(flow: Tensor, here: Tensor, there: Tensor, windows: tuple[Tensor, Tensor]) -> Tensor:
    """One iteration: the displacement that fits best in each pixel's window, intensities taken to be linear."""
    seen = moved(there, flow)
    rows, columns = _gradient(seen)
    wanted = rows * flow[:, :1] + columns * flow[:, 1:] - (seen - here)
    products = torch.cat([rows * rows, rows * columns, columns * columns, rows * wanted, columns * wanted], dim=1)
    rr, rc, cc, rw, cw = (windows[0] @ products @ windows[1]).unbind(1)
    rr, cc = rr + _TEXTURE, cc + _TEXTURE
    rw, cw = rw + _TEXTURE * flow[:, 0], cw + _TEXTURE * flow[:, 1]
    solved = torch.stack([cc * rw - rc * cw, rr * cw - rc * rw], dim=1) / (rr * cc - rc * rc)[:, None]
    return solved.clamp(-_FARTHEST, _FARTHEST)


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of (N, 1, h, w) along rows and columns."""
    p = F.pad(image, (1, 1, 1, 1), mode="replicate")
    return (p[..., 2:, 1:-1] - p[..., :-2, 1:-1]) / 2, (p[..., 1:-1, 2:] - p[..., 1:-1, :-2]) / 2


def _blur(size: int, like: Tensor) -> Tensor:
    """(size, size) matrix that blurs along an axis by the window; at its ends by what lies inside."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    weight = torch.exp(-0.5 * ((place[:, None] - place) / _WINDOW) ** 2)
    # Tails that no sum would show are left out: processors take up to twenty times as long over numbers this small.
    weight[weight < _LEAST_WEIGHT] = 0
    return weight / weight.sum(dim=1, keepdim=True)
