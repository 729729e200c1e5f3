"""Transforms from a query to other patients' scans: slices and bodies laid over each other, then what is inside them.

In the plane the bodies' bounding boxes are laid over each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from ..kept import KeptByVolume
from ..network.model import FewShotNetwork
from ..preprocessing.frame import Bounds
from ..preprocessing.views import AS_IT_LIES, PlaneTurn, SliceView
from .described_stack import DescribedStack, describe
from .feature_registration import displacements
from .likeness import likeness
from .painted_stack import PaintedStack
from .slice_alignment import best_overlay, lay_over


@dataclass(frozen=True)
class _Laid:
    """How another volume lies in a query.

    Attributes:
        scale, shift: which slices are alike; see `lay_over`.
        field: (3, Z, R, C) mm, see `displacements`.
        likeness: of both scans where they lie on each other, see `likeness`.
    """

    scale: float
    shift: float
    field: Tensor
    likeness: float


class PatientRegistration:
    """Finds how other volumes lie in a query.

    Args:
        network: in evaluation mode.
        device: where it is.
        view: the query.
        check: called often; what it raises stops the work.
        kept: keeps what the network sees of each volume for the next registration; of the same network.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        device: torch.device,
        view: SliceView,
        check: Callable[[], None] = lambda: None,
        kept: KeptByVolume | None = None,
    ) -> None:
        self._network, self._device, self._view, self._check = network, device, view, check
        self._kept = kept or KeptByVolume()

    @cached_property
    def query(self) -> DescribedStack:
        """What the network sees of the query."""
        return self._described(self._view, AS_IT_LIES, False)

    def likeness(self, painted: PaintedStack) -> float:
        """How like the query the volume of painted slices is, -1 to 1; see :func:`~.likeness.likeness`."""
        return self._laid(painted).likeness

    def rough_likeness(self, painted: PaintedStack) -> float:
        """How like the query's slices those of the volume of painted slices are; quicker than to register it."""
        reversed_ = self._is_reversed(painted)

        def find() -> DescribedStack:
            whole = self._described(painted.view, painted.turn, reversed_)
            return replace(whole, maps=whole.maps[:, :0].clone())  # many volumes are kept so

        what = ("slices", painted.view.axis, painted.turn, reversed_)
        return best_overlay(self.query, self._kept.get(painted.view.volume, what, find))[2]

    def _laid(self, painted: PaintedStack) -> _Laid:
        def find() -> _Laid:
            other = self._described(painted.view, painted.turn, self._is_reversed(painted))
            scale, shift = lay_over(self.query, other)
            field = displacements(self.query, other, scale, shift, self._check)
            return _Laid(scale, shift, field, likeness(self.query, other, scale, shift, field))

        what = ("laid", self._view.axis, painted.view.axis, painted.view.volume)
        return self._kept.get(self._view.volume, what, find)

    def _is_reversed(self, painted: PaintedStack) -> bool:
        """Whether the other's slices are counted from the other end."""
        return bool(painted.view.directions[0] @ self._view.directions[0] < 0)

    def _described(self, view: SliceView, turn: PlaneTurn, reversed_: bool) -> DescribedStack:
        def find() -> DescribedStack:
            stack = turn(view.array)[:: -1 if reversed_ else 1]
            return describe(self._network, self._device, stack, view.gap, turn.pixel(view.pixel), self._check)

        return self._kept.get(view.volume, ("described", view.axis, turn, reversed_), find)

    def __call__(self, painted: PaintedStack) -> sitk.Transform:
        """Transform from points of the query to the like ones of the volume of painted slices, in mm.

        The same for the same volumes.
        """
        source, turn, reversed_ = painted.view, painted.turn, self._is_reversed(painted)
        other, laid = self._described(source, turn, reversed_), self._laid(painted)
        end = (len(source.array) - 1) * source.gap
        here, there = [], []
        for z, row, column in product((0.0, self.query.length or 1.0), (0.0, 1.0), (0.0, 1.0)):
            here.append(_point(self._view, self.query.body, (z, row, column)))
            height = laid.scale * z + laid.shift
            there.append(_point(source, other.body, (end - height if reversed_ else height, row, column), turn))
        transform = sitk.CompositeTransform(_affine(np.asarray(here), np.asarray(there)))
        # A composite does first what was added last.
        transform.AddTransform(self._bent(laid.field))
        return transform

    def _bent(self, field: Tensor) -> sitk.DisplacementFieldTransform:
        """Transform within the query of (3, Z, R, C) displacements; points around its body stay where they are."""
        _, *counts = field.shape
        size = np.asarray(self.query.extent) / counts
        directions = self._view.directions
        top, _, left, _ = self.query.body
        corner = np.array([-0.5 * self.query.gap, *((np.array([top, left]) - 0.5) * self.query.pixel)])
        vectors = np.tensordot(field.numpy().astype(float), directions, axes=(0, 0))
        image = sitk.GetImageFromArray(np.ascontiguousarray(vectors), isVector=True)
        image.SetOrigin((np.asarray(self._view.volume.origin) + (corner + 0.5 * size) @ directions).tolist())
        image.SetSpacing(size[::-1].tolist())
        image.SetDirection(directions[::-1].T.ravel().tolist())
        return sitk.DisplacementFieldTransform(image)


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
