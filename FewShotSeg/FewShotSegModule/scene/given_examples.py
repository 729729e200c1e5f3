"""Examples as scripts give them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from slicer.i18n import tr as _

from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import paintedAxis, paintedSlices
from FewShotSegModule.scene.segment_info import segmentNames

_AXIS_NAMES = ("k", "j", "i")


def givenExamples(
    query: Any,
    segmentation: Any = None,
    volume: Any = None,
    indices: Iterable[int] | None = None,
    axis: int | None = None,
    examples: Sequence[Any] | None = None,
    complete: Literal["all"] | Collection[str] | None = None,
) -> list[ExampleSlice]:
    """Rows from what a script gives.

    :param query: The volume to segment, on which the segmentation is painted unless `volume` says otherwise.
    :param segmentation: What is painted.
    :param volume: The volume that it is painted on.
    :param indices: The painted slices; None for all that have something on them.
    :param axis: The axis across them; None to find out.
    :param examples: More of them, each an ExampleSlice or (volume, segmentation, axis, indices).
    :param complete: What is painted completely, see ExampleSlice; of those given as ExampleSlice their own counts.
    :raises SceneError: They make no sense.
    """
    rows: list[ExampleSlice] = []
    if segmentation is not None:
        rows += _slicesOf(volume if volume is not None else query, segmentation, axis, indices, complete)
    elif volume is not None or indices is not None or axis is not None:
        raise SceneError(_("Example volume, slices and axis belong to an example segmentation; give that, too."))
    for example in examples or ():
        if isinstance(example, ExampleSlice):
            rows.append(example)
            continue
        try:
            itsVolume, itsSegmentation, itsAxis, itsIndices = example
        except (TypeError, ValueError):
            raise SceneError(
                _("An example is {example!r}, expected (volume, segmentation, axis, indices).").format(example=example)
            ) from None
        rows += _slicesOf(itsVolume, itsSegmentation, itsAxis, itsIndices, complete)
    if not rows:
        raise SceneError(_("There are no examples; give an example segmentation with at least one painted slice."))
    return rows


def requireNames(rows: Sequence[ExampleSlice], names: Iterable[str | None]) -> None:
    """Raises SceneError unless segments of these names, None left out, are in the examples' segmentations."""
    known = dict.fromkeys(name for node in {row.segmentation: None for row in rows} for name in segmentNames(node))
    unknown = [name for name in names if name is not None and name not in known]
    if unknown:
        raise SceneError(
            _("No segment of the examples is named {names}; there are {known}.").format(
                names=", ".join(map(str, unknown)), known=", ".join(known) or _("none")
            )
        )


def _slicesOf(
    volume: Any,
    segmentation: Any,
    axis: int | None,
    indices: Iterable[int] | None,
    complete: Literal["all"] | Collection[str] | None,
) -> list[ExampleSlice]:
    painted = Painted(volume, segmentation)
    if axis is not None and axis not in (0, 1, 2):
        raise SceneError(_("The axis is {axis!r}, expected 0 (k), 1 (j), 2 (i) or None.").format(axis=axis))
    points = painted.points() if axis is None or indices is None else np.zeros((0, 3), np.intp)
    spacing = np.linalg.norm(geometry.ijkToRas(volume)[:3, :3], axis=0)[::-1].tolist()
    if indices is None:
        if not len(points):
            raise SceneError(
                _("Nothing is painted in {segmentation} on {volume}; paint a slice first.").format(
                    segmentation=segmentation.GetName(), volume=volume.GetName()
                )
            )
        if axis is None:
            slices = paintedSlices(points, spacing)
        else:
            slices = [(axis, int(index)) for index in np.unique(points[:, axis])]
    else:
        along = axis if axis is not None else (paintedAxis(points, spacing) if len(points) else 0)
        slices = [(along, _slice(volume, along, index)) for index in dict.fromkeys(_listed(indices))]
    return [ExampleSlice(volume, segmentation, along, index, complete=complete) for along, index in slices]


def _listed(indices: Any) -> list[Any]:
    try:
        return list(indices)
    except TypeError:
        raise SceneError(
            _("The slices are {indices!r}, expected a list such as [12, 20].").format(indices=indices)
        ) from None


def _slice(volume: Any, axis: int, index: Any) -> int:
    count = geometry.shapeOf(volume)[axis]
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < count:
        raise SceneError(
            _("{name} has no slice {index!r} along {axis}, expected 0 to {last}.").format(
                name=volume.GetName(), index=index, axis=_AXIS_NAMES[axis], last=count - 1
            )
        )
    return int(index)
