"""Random geometric and intensity changes of training slices."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F


def plane_grid(
    rng: np.random.Generator,
    size: int,
    pixel: float,
    center: tuple[float, float],
    spacing: tuple[float, float],
    shape: tuple[int, int],
    strength: float,
    flips: tuple[bool, bool, bool] = (False, False, False),
) -> Tensor:
    """Sampling grid of a square crop: rotation, scaling, shear and a smooth elastic part.

    Args:
        rng: source of chance.
        size: side of the crop in pixels.
        pixel: its pixel size in mm.
        center: (row, column) in mm where the crop's centre lies.
        spacing: (row, column) pixel size of the source plane in mm.
        shape: (rows, columns) of the source plane.
        strength: 0 for none, 1 for rotations up to 30 degrees, scaling up to 20 %, and elastic shifts up to 4 % of the
            crop.
        flips: flip rows, flip columns, transpose.

    Returns:
        (size, size, 2) grid for `torch.nn.functional.grid_sample` with align_corners=True.
    """
    axis = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2) * pixel
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    if flips[2]:
        rows, columns = columns, rows
    if flips[0]:
        rows = -rows
    if flips[1]:
        columns = -columns
    angle = strength * rng.normal(0, 0.26)
    stretch = math.exp(strength * rng.normal(0, 0.08))
    shear = strength * rng.normal(0, 0.06)
    c, s = math.cos(angle), math.sin(angle)
    r = stretch * (c * rows - s * columns) + shear * columns
    q = (s * rows + c * columns) / stretch
    if rng.random() < 0.6 * strength:
        cells = int(rng.integers(3, 7))
        amplitude = rng.uniform(0.2, 1.0) * 0.04 * size * pixel * strength
        field = torch.from_numpy(rng.normal(0, 0.5, (1, 2, cells, cells)).astype(np.float32))
        field = F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True)[0] * amplitude
        r, q = r + field[0], q + field[1]
    row = (r + center[0]) / spacing[0]
    column = (q + center[1]) / spacing[1]
    return torch.stack([2 * column / max(shape[1] - 1, 1) - 1, 2 * row / max(shape[0] - 1, 1) - 1], dim=-1)


def sample(planes: np.ndarray, grid: Tensor, labels: bool, fill: float = 0.0) -> Tensor:
    """Samples (N, rows, columns) planes on one grid or one grid each; bilinear, or nearest for labels.

    Outside the source lies `fill`: air for images, background for labels.
    """
    source = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)) - fill
    if grid.ndim == 3:
        grid = grid[None]
    grid = grid.expand(len(source), *grid.shape[1:])
    mode = "nearest" if labels else "bilinear"
    return F.grid_sample(source[:, None], grid, mode=mode, padding_mode="zeros", align_corners=True)[:, 0] + fill


def misdrawn(rng: np.random.Generator, labels: Tensor) -> Tensor:
    """Labels of slices with wrong outlines, as a network draws them; some slices stay right.

    Args:
        rng: source of chance.
        labels: (N, h, w) integers.
    """
    size = labels.shape[-1]
    axis = torch.linspace(-1, 1, size)
    still = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], dim=-1)
    out = []
    for plane in labels:
        if rng.random() < 0.7:
            cells = int(rng.integers(4, 10))
            field = torch.from_numpy(rng.normal(0, rng.uniform(0.01, 0.06), (1, 2, cells, cells)).astype(np.float32))
            field = F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True)[0]
            moved = F.grid_sample(
                plane[None, None].float(), (still + field.permute(1, 2, 0))[None], mode="nearest", align_corners=True
            )
            moved = moved[0, 0].to(labels.dtype)
            plane = moved if len(moved.unique()) == len(plane.unique()) else plane  # no structure gets lost
        out.append(plane)
    return torch.stack(out)


def seen_by_a_look(rng: np.random.Generator, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of slices as a look at them may find them, and where it is certain.

    Parts of structures are missing or too large, outlines are wrong; of what is certain, nearly all is right.

    Args:
        rng: source of chance.
        labels: (N, h, w) integers.

    Returns:
        labels of the same shape, and a bool tensor of it.
    """
    found, certain = misdrawn(rng, labels), []
    for plane, truth in zip(found, labels, strict=True):
        for segment in plane.unique()[1:] if 0 in plane else plane.unique():
            inside = plane == segment
            chance = rng.random()
            if chance < 0.45:  # cut off
                field = smooth_noise(rng, plane.shape)
                plane[inside & (field > torch.quantile(field[inside], rng.uniform(0.3, 0.95)))] = 0
            elif chance < 0.65:  # leaked
                outside = torch.from_numpy(distance_transform_edt(~inside.numpy()))
                plane[(plane == 0) & (outside < rng.uniform(2, 10)) & (smooth_noise(rng, plane.shape) > 0.3)] = segment
        edge = torch.from_numpy(distance_transform_edt(_inner(plane).numpy()))
        sure = edge > math.exp(rng.uniform(math.log(0.5), math.log(8)))
        sure &= smooth_noise(rng, plane.shape) < rng.uniform(0.5, 2.5)
        wrong = plane != truth
        if rng.random() < 0.7:
            sure &= ~wrong
        certain.append(sure)
    return found, torch.stack(certain)


def _inner(plane: Tensor) -> Tensor:
    """Pixels whose neighbours to the right and below have the same label."""
    inner = torch.ones(plane.shape, dtype=torch.bool)
    inner[:-1] &= plane[:-1] == plane[1:]
    inner[:, :-1] &= plane[:, :-1] == plane[:, 1:]
    return inner


def smooth_noise(rng: np.random.Generator, shape: torch.Size) -> Tensor:
    """Normal noise that changes over a sixth to a third of the plane."""
    cells = int(rng.integers(3, 7))
    noise = torch.from_numpy(rng.normal(0, 1, (1, 1, cells, cells)).astype(np.float32))
    return F.interpolate(noise, size=tuple(shape), mode="bicubic", align_corners=True)[0, 0]


class IntensityChange:
    """A random intensity curve and bias field; the same object changes all slices that belong together alike."""

    def __init__(self, rng: np.random.Generator, strength: float = 1.0) -> None:
        self.gamma = math.exp(rng.normal(0, 0.35) * strength)
        self.invert = rng.random() < 0.15 * strength
        self.knots = None
        if rng.random() < 0.4 * strength:
            steps = rng.uniform(0.15, 1.0, 5)
            if rng.random() < 0.25:  # a curve that is not monotone: another contrast altogether
                steps *= rng.choice([-1.0, 1.0], 5)
            values = np.concatenate([[0], np.cumsum(steps)])
            values = (values - values.min()) / max(np.ptp(values), 1e-3)
            self.knots = values.astype(np.float32)
        self.bias = None
        if rng.random() < 0.35 * strength:
            self.bias = torch.from_numpy(rng.normal(0, 0.12, (1, 1, 3, 3)).astype(np.float32))

    def __call__(self, x: Tensor) -> Tensor:
        """(N, h, w) in [0, 1] -> the same."""
        if self.bias is not None:
            field = F.interpolate(self.bias, size=x.shape[-2:], mode="bicubic", align_corners=True)[0]
            x = (x * torch.exp(field)).clamp(0, 1)
        if self.knots is not None:
            position = x * (len(self.knots) - 1)
            low = position.floor().clamp(0, len(self.knots) - 2).long()
            table = torch.from_numpy(self.knots)
            x = table[low] + (table[low + 1] - table[low]) * (position - low)
        x = x.clamp(1e-4, 1).pow(self.gamma)
        return 1 - x if self.invert else x


def slice_noise(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Small changes of every slice of its own: gain, offset, noise, blur. (N, h, w) in [0, 1] -> the same."""
    out = []
    for plane in x:
        if rng.random() < 0.2:
            sigma = rng.uniform(0.4, 1.2)
            plane = _blur(plane, sigma)
        plane = plane * rng.uniform(0.9, 1.1) + rng.uniform(-0.05, 0.05)
        if rng.random() < 0.5:
            plane = plane + torch.randn(plane.shape, generator=_torch_generator(rng)) * rng.uniform(0.0, 0.05)
        out.append(plane)
    return torch.stack(out).clamp(0, 1)


def _torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _blur(plane: Tensor, sigma: float) -> Tensor:
    radius = 3
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    y = F.conv2d(plane[None, None], kernel[None, None, :, None], padding=(radius, 0))
    return F.conv2d(y, kernel[None, None, None, :], padding=(0, radius))[0, 0]
