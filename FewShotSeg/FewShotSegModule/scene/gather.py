"""Gathers from the scene what a run needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegLib.example import Complete, Example
from FewShotSegLib.volume import Volume
from FewShotSegModule.runs.run_input import RunInput, RunSettings, Structure
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.crop import allowedBox, computedBox, thickEnough
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_list import MOST_EXAMPLES
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.painted import Painted


def gather(query: Any, rows: Sequence[ExampleSlice], settings: RunSettings, values: dict[str, int]) -> RunInput:
    """Reads volumes and painted slices.

    :param query: The volume to segment.
    :param rows: The examples to use.
    :param values: Labels of structures by their names, which new ones are added to. With the same ones for each run,
        examples stay what they were when others come and go.
    :raises SceneError: Something is missing or doesn't fit.
    """
    geometry.requireImage(query)
    if not rows:
        raise SceneError(_("There are no examples; paint a slice and add it."))
    if len(rows) > MOST_EXAMPLES:
        raise SceneError(
            _("There are {count} examples, more than the {most} that can be used; choose some of the slices.").format(
                count=len(rows), most=MOST_EXAMPLES
            )
        )
    whole = geometry.volumeOf(query, own=not geometry.isLinear(query))
    whole.require_image()
    images: dict[Any, Volume] = {query: whole}
    structures, examples = examplesOf(rows, settings.segmentNames, settings.background, values, images)
    axis = rangeAxis(query, rows)
    allowed = allowedBox(query, axis, settings.sliceRange, settings.roi)
    shown = [(e.axis, e.index, np.where(e.mask == e.background, 0, e.mask)) for e in examples if e.image is whole]
    box = thickEnough(computedBox(allowed, axis, shown), whole.shape)
    strength = float(settings.refineStrength) if settings.refine else 0.0
    stamps = {volume: geometry.stampOf(node) for node, volume in images.items()}
    return RunInput(whole, box, allowed, examples, structures, settings.device, strength, settings.quality, stamps)


def examplesOf(
    rows: Sequence[ExampleSlice],
    wanted: Sequence[str] | None,
    background: str | None,
    values: dict[str, int],
    images: dict[Any, Volume],
) -> tuple[list[Structure], list[Example]]:
    """Rows as examples of the engine, and the structures on them.

    :param rows: The rows.
    :param wanted: Names of the segments that are wanted; None for all.
    :param background: Name of the segments that are painted on what is no structure.
    :param values: Labels of structures by their names, which new ones are added to.
    :param images: Volumes by their nodes, which further ones are added to.
    :raises SceneError: Something is missing or doesn't fit.
    """
    structures, masks, ofBackground = _paintedOn(rows, wanted, background, values)
    names = {structure.value: structure.name for structure in structures}
    of = {structure.name: structure.value for structure in structures}
    examples = []
    for row, mask in zip(rows, masks, strict=True):
        if row.volume not in images:
            images[row.volume] = geometry.volumeOf(row.volume)
        on = {int(value): names[value] for value in np.unique(mask) if value in names}
        same = [other for other in rows if _place(other) == _place(row)]
        complete = _complete(same, on.values(), of)
        examples.append(
            Example(images[row.volume], row.axis, row.index, mask, on, complete=complete, background=ofBackground)
        )
    return structures, examples


def _place(row: ExampleSlice) -> tuple[Any, int, int]:
    """What rows of one slice have in common."""
    return row.volume, row.axis, row.index


def _complete(rows: Sequence[ExampleSlice], painted: Collection[str], values: Mapping[str, int]) -> Complete:
    """What is said of a slice, by label values; it may be several rows, painted in several segmentations.

    :param rows: The slice's rows.
    :param painted: Names of the structures on it.
    :param values: Label values of all structures, by their names.
    """
    said: dict[str, bool] = {}
    open_ = any(row.strokes for row in rows)
    for row in rows:
        if row.complete == "all":
            return "all"
        said |= {name: whole and said.get(name, True) for name, whole in row.whole.items() if name in painted}
        if isinstance(row.complete, Mapping):
            # Of what was painted since, it is no longer true.
            told = {name: whole for name, whole in row.complete.items() if name not in painted}
            said |= {name: whole and said.get(name, True) for name, whole in told.items()}
        elif row.complete is not None:
            open_ = True
            said |= {name: said.get(name, True) for name in row.complete}
    known = {values[name]: whole for name, whole in said.items() if name in values}
    return {value for value, whole in known.items() if whole} if open_ else known or None


def rangeAxis(query: Any, rows: Sequence[ExampleSlice]) -> int:
    """The query's axis along which a slice range counts: across most of the examples on it.

    Without examples on it, the one that lies most as those of other volumes do in the patient, as for the engine.
    """
    own = [row.axis for row in rows if row.volume is query]
    axes = own or [_axisAlong(query, row) for row in rows]
    return max(sorted(set(axes)), key=axes.count) if axes else 0


def _axisAlong(query: Any, row: ExampleSlice) -> int:
    """Which axis of the query runs most as the one across another volume's slice, in the world."""

    def directions(volume: Any) -> np.ndarray:
        toWorld = geometry.toWorld(volume) if geometry.isLinear(volume) else np.eye(4)
        columns = (toWorld @ geometry.ijkToRas(volume))[:3, 2::-1]
        return columns / np.linalg.norm(columns, axis=0)

    alike = np.abs(directions(query).T @ directions(row.volume)[:, row.axis])
    # Oblique volumes can tie; then the same array axis is the likeliest.
    alike[row.axis] += 0.05
    return int(alike.argmax())


def anythingPainted(rows: Sequence[ExampleSlice], wanted: Sequence[str] | None, background: str | None = None) -> bool:
    """Whether any of some segments (None for all but the background) is on any of the rows; stops at the first."""
    for row in rows:
        painted = Painted(row.volume, row.segmentation)
        segments = painted.segments()
        on = (segments[number - 1].name for number in np.unique(painted.plane(row.axis, row.index)) if number)
        if any(name != background and (wanted is None or name in wanted) for name in on):
            return True
    return False


def _paintedOn(
    rows: Sequence[ExampleSlice], wanted: Sequence[str] | None, background: str | None, labels: dict[str, int]
) -> tuple[list[Structure], list[np.ndarray], int | None]:
    """The structures on the rows, a mask of their values for each row, and the background's value if it is there."""
    readers: dict[tuple[Any, Any], Painted] = {}
    found: dict[str, Structure] = {}
    seen: dict[tuple[Any, int, int], np.ndarray] = {}
    masks = []
    everything: set[str] = set()
    ofBackground: int | None = None
    for row in rows:
        key = (row.volume, row.segmentation)
        if key not in readers:
            readers[key] = Painted(row.volume, row.segmentation)
        painted = readers[key]
        plane = painted.plane(row.axis, row.index)
        segments = painted.segments()
        values = np.zeros(len(segments) + 1, np.int32)
        for number in np.unique(plane):
            if not number:
                continue
            info = segments[number - 1]
            if info.name == background:
                values[number] = ofBackground = labels.setdefault(info.name, len(labels) + 1)
                continue
            everything.add(info.name)
            if wanted is None or info.name in wanted:
                value = labels.setdefault(info.name, len(labels) + 1)
                structure = found.setdefault(info.name, Structure(value, info.name, info.color, info.tag))
                values[number] = structure.value
        masks.append(values[plane])
        _mergeSameSlice(seen, _place(row), masks, row)
    if wanted is not None and set(wanted) - everything:
        raise SceneError(
            _("No example shows {names}; there are {known}.").format(
                names=", ".join(sorted(set(wanted) - everything)), known=", ".join(sorted(everything)) or _("none")
            )
        )
    if not found:
        raise SceneError(_("Nothing is painted on the examples; paint a structure on at least one of the slices."))
    return list(found.values()), masks, ofBackground


def _mergeSameSlice(
    seen: dict[tuple[Any, int, int], np.ndarray], key: tuple[Any, int, int], masks: list[np.ndarray], row: ExampleSlice
) -> None:
    """A slice that is painted in several segmentations is one slice with all that is painted; masks[-1] is new."""
    mask = masks[-1]
    if key not in seen:
        seen[key] = mask
        return
    before = seen[key]
    clash = (before > 0) & (mask > 0) & (before != mask)
    if clash.any():
        raise SceneError(
            _(
                "Slice {index} of {volume} is an example twice, in two segmentations that disagree about {count}"
                " pixels; take one of the two rows out, or erase what is wrong."
            ).format(index=row.index, volume=row.volume.GetName(), count=int(clash.sum()))
        )
    np.copyto(before, mask, where=mask > 0)
    masks[-1] = before
