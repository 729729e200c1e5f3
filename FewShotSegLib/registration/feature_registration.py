"""How the inner parts of one patient's scan lie in another's, by what the network sees in both.

A discrete search with coupled convex optimisation (Heinrich, Papiez, Schnabel & Handels, "Non-parametric discrete
registration with convex optimisation", WBIR 2014), on three grids from coarse to fine. What is compared are the
network's mid-level and high-level maps, which know a part of the body again in another patient and another contrast.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from .described_stack import DescribedStack

# Cells along the body's longer side, and how many cells are searched each way: slices, rows, columns.
_GRIDS = ((20, (3, 4, 4)), (36, (2, 3, 3)), (56, (2, 2, 2)))
_COMPONENTS = 24
# What each squared cell between what a cell chooses and the smooth field costs, one after the other.
_PRICES = (0.0, 0.003, 0.01, 0.03)
_SMOOTH = (1.0, 1.5, 1.5)  # cells
_LEAST_DEVIATION = 1e-4
# How often the fields there and back are drawn to each other on each grid.
_ROUNDS = 2


def displacements(
    query: DescribedStack,
    other: DescribedStack,
    scale: float,
    shift: float,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """How far from where stacks and bodies are laid over each other the like places lie.

    Args:
        query: stack in whose space something is wanted.
        other: stack that it is to be fetched from.
        scale, shift: which slices are alike; see :func:`~.slice_alignment.lay_over`.
        check: called now and then; what it raises stops the work.

    Returns:
        (3, Z, R, C) mm along slices, rows and columns of the query, on cells that fill the slices and the query's body:
        what the query shows at p is most like what the other shows where p + displacement is laid; 0 where nothing
        tells.
    """
    here_maps, there_maps = _components(query.maps, other.maps)
    scales, shifts = (
        torch.tensor([scale, 1.0, 1.0])[:, None, None, None],
        torch.tensor([shift, 0.0, 0.0])[:, None, None, None],
    )

    def here(places: Tensor) -> Tensor:
        return F.normalize(query.sampled(here_maps, places), dim=0)

    def there(places: Tensor) -> Tensor:
        return F.normalize(other.sampled(there_maps, scales * places + shifts), dim=0)

    forth = back = torch.zeros(3, 1, 1, 1)
    for cells, reach in _GRIDS:
        counts = _counts(query, cells)
        places, wide, cell = _places(query, counts), _places(query, counts, reach), _cell(query, counts)
        offsets = _offsets(reach)
        found = []
        for field, fixed, moving in ((forth, here, there), (back, there, here)):
            check()
            field = F.interpolate(field[None], size=counts, mode="trilinear", align_corners=False)[0]
            moved = moving(wide + _widened(field, reach))
            step = _smooth_choice(_costs(fixed(places), moved, offsets, reach, check), offsets, check)
            found.append(_at(field, step) + step * cell)
        forth, back = _consistent(found[0], found[1], cell)
    millimetres = torch.tensor([1.0, *query.extent[1:]])
    return forth * millimetres[:, None, None, None]


def _consistent(forth: Tensor, back: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Fields there and back drawn to each other's inverse."""
    for _ in range(_ROUNDS):
        forth, back = 0.5 * (forth - _at(back, forth / cell)), 0.5 * (back - _at(forth, back / cell))
    return forth, back


def _components(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Principal components of both scans' (C, Z, h, w) maps, every channel standardized in each scan."""
    standardized = []
    for maps in (here, there):
        maps = maps - maps.mean(dim=(1, 2, 3), keepdim=True)
        standardized.append(maps / maps.std(dim=(1, 2, 3), keepdim=True).clamp(min=_LEAST_DEVIATION))
    flat = [maps.flatten(1) for maps in standardized]
    covariance = sum((m @ m.T / m.shape[1] for m in flat), torch.zeros(len(here), len(here)))
    axes = torch.linalg.eigh(covariance.double()).eigenvectors[:, -_COMPONENTS:].float()
    first, second = (torch.einsum("cd,czhw->dzhw", axes, maps) for maps in standardized)
    return first, second


def cells_of(stack: DescribedStack, cells: int) -> Tensor:
    """(3, Z, R, C) centres of about cubic cells, so many along the body's longer side; see `DescribedStack.sampled`."""
    return _places(stack, _counts(stack, cells))


def _counts(stack: DescribedStack, cells: int) -> tuple[int, int, int]:
    """Number of about cubic cells along slices, rows and columns."""
    size = max(stack.extent[1:]) / cells
    slices, rows, columns = (max(int(round(extent / size)), 1) for extent in stack.extent)
    return slices, rows, columns


def _cell(stack: DescribedStack, counts: tuple[int, int, int]) -> Tensor:
    """(3, 1, 1, 1) size of a cell: mm through the slices, parts of the body's rows and columns."""
    return torch.tensor([stack.extent[0] / counts[0], 1 / counts[1], 1 / counts[2]])[:, None, None, None]


def _places(stack: DescribedStack, counts: tuple[int, int, int], beyond: tuple[int, int, int] = (0, 0, 0)) -> Tensor:
    """(3, Z, R, C) centres of cells, and of some more on each side; see `DescribedStack.sampled`."""
    axes = [torch.arange(-more, count + more) + 0.5 for count, more in zip(counts, beyond, strict=True)]
    centers = torch.stack(torch.meshgrid(*axes, indexing="ij")) * _cell(stack, counts)
    centers[0] -= 0.5 * stack.gap
    return centers


def _widened(field: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """A field continued by its outermost cells."""
    return F.pad(field[None], [r for r in reversed(reach) for _ in range(2)], mode="replicate")[0]


def _offsets(reach: tuple[int, int, int]) -> Tensor:
    """(N, 3) all offsets in cells, the shortest first: where nothing tells, that is the choice."""
    every = product(*(range(-r, r + 1) for r in reach))
    return torch.tensor(sorted(every, key=lambda offset: sum(v * v for v in offset)), dtype=torch.float32)


def _costs(
    here: Tensor, there: Tensor, offsets: Tensor, reach: tuple[int, int, int], check: Callable[[], None]
) -> Tensor:
    """(N, Z, R, C): one minus the cosine between the place and the one an offset away, 1 where either shows nothing."""
    costs = torch.empty(len(offsets), *here.shape[1:])
    for cost, offset in zip(costs, offsets.int().tolist(), strict=True):
        check()
        window = tuple(slice(r + v, r + v + n) for r, v, n in zip(reach, offset, here.shape[1:], strict=True))
        # averaged one by one, while they are in the processor's cache
        torch.sub(1, _averaged((here * there[:, *window]).sum(0)), out=cost)
    return costs


def _averaged(values: Tensor) -> Tensor:
    """(Z, R, C) means over 3 x 3 x 3 cells, the outermost ones repeated; pooling in 3D takes three times as long."""
    for axis in range(3):
        count = values.shape[axis]
        wide = torch.cat([values.narrow(axis, 0, 1), values, values.narrow(axis, count - 1, 1)], dim=axis)
        values = wide.narrow(axis, 0, count) + wide.narrow(axis, 1, count) + wide.narrow(axis, 2, count)
    return values / 27


def _smooth_choice(costs: Tensor, offsets: Tensor, check: Callable[[], None]) -> Tensor:
    """(3, Z, R, C) smooth offsets in cells: cells choose and the field is smoothed, each drawn to the other."""
    # The squared distance of offset and field, without the field's own square, which is the same for all offsets.
    terms = torch.cat([offsets, (offsets**2).sum(dim=1, keepdim=True)], dim=1)
    field = torch.zeros(3, *costs.shape[1:])
    every, total = costs.flatten(1), torch.empty_like(costs).flatten(1)
    for price in _PRICES:
        check()
        factors = torch.cat([-2 * field.flatten(1), torch.ones(1, every.shape[1])])
        torch.addmm(every, terms, factors, alpha=price, out=total)
        best = total.min(dim=0).indices  # argmin would take twice as long
        chosen = offsets[best].T.reshape(field.shape)
        field = torch.from_numpy(gaussian_filter(chosen.numpy(), (0, *_SMOOTH), mode="nearest"))
    return field


def _at(field: Tensor, step: Tensor) -> Tensor:
    """A (3, Z, R, C) field where a step in cells leads to."""
    counts = np.array(field.shape[1:])
    cells = torch.stack(torch.meshgrid(*(torch.arange(n) for n in counts), indexing="ij")) + step
    grid = torch.stack([(2 * cells[axis] + 1) / counts[axis] - 1 for axis in (2, 1, 0)], dim=-1)
    return F.grid_sample(field[None], grid[None].float(), padding_mode="border", align_corners=False)[0]
