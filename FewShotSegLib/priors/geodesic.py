"""Geodesic (grow-cut like) distances from the painted slices through the intensities, for all classes together.

The length of a path is the sum of absolute intensity differences along it plus a small price per step, as in grow-cut
by shortest paths (Zhu et al. 2014). Distances are found by raster sweeps over planes in six directions (as in fast
generalised geodesic transforms, Asad et al. 2022): a few vectorised rounds instead of a priority queue. In a slice each
voxel looks at the three nearest ones of the row or column before. Through the slices it looks at where it lies in the
slice before, by the motion between them: paths follow a structure that shifts by more than its neighbours' distance,
and do not leak sideways for free.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.ndimage import median_filter
from torch import Tensor

from ..parallel import Check, in_parallel
from ..plan import Tick
from .motion import Motion, moved
from .shape import CrossingSlice

_FAR = 100.0
_STEP_PRICE = 0.0005
_MAX_STEP = 4.0
_CLOSENESS = 3.0
_ROUNDS = 2


def geodesic_distances(
    image: Tensor,
    painted: Tensor,
    positions: list[int],
    classes: int,
    step: float,
    motion: Motion | None = None,
    rounds: int = _ROUNDS,
    tick: Tick = lambda _: None,
    crossing: Sequence[CrossingSlice] = (),
) -> Tensor:
    """Distance of every voxel to each class of the painted slices.

    Args:
        image: (Z, h, w), intensities in [0, 1].
        painted: (P, h, w) integer labels 0..classes - 1; pixels below 0 are no source of any class.
        positions: slice numbers of the painted slices.
        classes: K, background included.
        step: slice distance in in-plane pixels.
        motion: from slice to slice; None for none.
        rounds: of six sweeps each.
        tick: called with 0 now and then; may raise to cancel.
        crossing: painted slices across the stack; they are sources too.

    Returns:
        (K, Z, h, w) float32; 0 on the class's painted pixels, 100 where it can't be reached.
    """
    distance = torch.full((classes, *image.shape), _FAR, dtype=torch.float32, device=image.device)
    for row, position in enumerate(positions):
        for label in range(classes):
            distance[label, position][painted[row] == label] = 0
    for item in crossing:
        for place in item.places:
            plane = distance.select(1 + item.dim, place)
            for label in range(classes):
                plane[label][item.labels == label] = 0
    groups = distance.tensor_split(min(torch.get_num_threads(), classes))  # no class depends on another

    def swept(group: Tensor, check: Check) -> Tensor:
        for _ in range(rounds):
            _sweep_through(group, image, _STEP_PRICE * min(step, _MAX_STEP), motion, check)
            _sweep_across(group, image, 1, check)
            _sweep_across(group, image, 2, check)
        return group

    return torch.cat(list(in_parallel(swept, groups, tick)))


def denoised_slices(image: Tensor) -> Tensor:
    """3 x 3 median of every slice (Z, h, w): noise would add to the length of every path; edges stay."""
    return torch.from_numpy(median_filter(image.cpu().numpy(), size=(1, 3, 3), mode="nearest")).to(image.device)


def _sweep_through(distance: Tensor, image: Tensor, price: float, motion: Motion | None, check: Check) -> None:
    """One sweep up and one down through the slices, in place; see `geodesic_distances`."""
    planes = distance.movedim(1, 0).contiguous()
    count = len(planes)
    for order in (range(1, count), range(count - 2, -1, -1)):
        for i in order:
            before = i + 1 if order.step < 0 else i - 1
            # distances and intensities of the slice before, as they would be seen in this one
            seen = torch.cat([planes[before], image[before][None]])
            if motion is not None:
                seen = moved(seen[None], motion.between(i, before)[None])[0]
            cost = (seen[-1] - image[i]).abs_().add_(price)
            torch.minimum(planes[i], seen[:-1].add_(cost), out=planes[i])
            check()
    distance.copy_(planes.movedim(0, 1))


def _sweep_across(distance: Tensor, image: Tensor, axis: int, check: Check) -> None:
    """One forward and one backward sweep over rows (axis 1) or columns (axis 2) of all slices, in place."""
    # copies, because strided planes would take twice as long
    planes = distance.movedim(axis + 1, 0).contiguous()
    values = image.movedim(axis, 0).contiguous()
    count, slices, width = values.shape
    padded = torch.nn.functional.pad(values, (1, 1), mode="replicate")
    border = distance.new_full((distance.shape[0], slices, width + 2), _FAR)
    middle = border[..., 1:-1]
    windows = [slice(start, start + width) for start in range(3)]
    neighbours = [border[..., window] for window in windows]
    candidate = torch.empty_like(planes[0])
    # the cost of a step depends on the two intensities only, so it is the same for all classes and both directions
    for order in (range(1, count), range(count - 2, -1, -1)):
        for i in order:
            before = i + 1 if order.step < 0 else i - 1
            middle.copy_(planes[before])
            costs = torch.stack([padded[before][:, window] for window in windows])
            costs.sub_(values[i]).abs_().add_(_STEP_PRICE)
            for neighbour, cost in zip(neighbours, costs, strict=True):
                torch.add(neighbour, cost, out=candidate)
                torch.minimum(planes[i], candidate, out=planes[i])
            check()
    distance.copy_(planes.movedim(0, axis + 1))


def geodesic_channels(distances: Tensor) -> Tensor:
    """Preference, closeness and presence from distances to all classes.

    Args:
        distances: (L + 1, Q, h, w), class 0 is background.

    Returns:
        (Q, L, 3, h, w), see :mod:`FewShotSegLib.priors`.
    """
    best, index = distances.min(dim=0, keepdim=True)
    second = distances.scatter(0, index, torch.inf).amin(dim=0, keepdim=True)
    classes = torch.arange(distances.shape[0], device=distances.device)[:, None, None, None]
    others = torch.where(index == classes, second, best)[1:]
    own = distances[1:]
    preference = (others - own) / (others + own + 0.02)
    closeness = torch.exp(-_CLOSENESS * own)
    return torch.stack([preference, closeness, torch.ones_like(own)], dim=0).permute(2, 1, 0, 3, 4)
