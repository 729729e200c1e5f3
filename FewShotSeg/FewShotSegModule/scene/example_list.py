"""The list of example slices, kept in the scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from FewShotSegLib.pictures.upright import upright
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.list_observer import ListObserver
from FewShotSegModule.scene.painted import Painted
from FewShotSegModule.scene.painted_slices import evenlySpread, paintedSlices
from FewShotSegModule.scene.segment_info import SegmentInfo

_PARAMETER = "examples"
_VOLUME_ROLE, _SEGMENTATION_ROLE = "exampleVolume", "exampleSegmentation"
_AXIS_NAMES = ("k", "j", "i")
#: Of a segmentation, which slices somebody painted in it.
_PAINTED = "FewShotSeg.paintedSlices"
#: What the engine takes at most.
MOST_EXAMPLES = 50
#: How many slices of one change become examples; neighbouring ones show nearly the same.
_MOST_AT_ONCE = 24
#: Changes of more slices than so many leave room for so many corrections to come.
_FEW, _ROOM = 3, 10


class ExampleList:
    """Rows of a module's node: references to volumes and segmentations, and which slice of them.

    A reference has a role of its own for each row, so that importing a scene, which may give nodes new identifiers,
    keeps rows right; axis, number and so on lie beside them as JSON. Rows whose nodes are gone don't show.

    Example::

        examples = ExampleList(parameterNode)
        row = examples.add(volume, segmentation, axis=0, index=12)
        examples.setEnabled(row.identifier, False)

    :param node: The vtkMRMLScriptedModuleNode of the parameter node.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._observer: ListObserver | None = None
        #: Rows that were added because somebody painted them.
        self._taken: set[str] = set()

    # The rows

    def rows(self) -> list[ExampleSlice]:
        """All rows whose nodes are there, in the order of adding."""
        rows = []
        for entry in self._entries():
            volume = self._node.GetNodeReference(_VOLUME_ROLE + entry["id"])
            segmentation = self._node.GetNodeReference(_SEGMENTATION_ROLE + entry["id"])
            if volume is not None and segmentation is not None:
                rows.append(
                    ExampleSlice(
                        volume,
                        segmentation,
                        entry["axis"],
                        entry["index"],
                        entry["enabled"],
                        entry["id"],
                        # Scenes of earlier versions have neither.
                        entry.get("said") or None,
                        entry.get("strokes", False),
                        entry.get("whole", {}),
                    )
                )
        return rows

    def add(self, volume: Any, segmentation: Any, axis: int, index: int) -> ExampleSlice:
        """Adds a slice; one that is there already is enabled and returned.

        :raises SceneError: The nodes can't be used, or the slice is outside of the volume.
        """
        return self._addAll(volume, segmentation, [(axis, index)])[0]

    def addAllPainted(self, volume: Any, segmentation: Any) -> list[ExampleSlice]:
        """Adds every slice that is painted, along the axis or axes that were painted along; see `painted_slices`."""
        points = Painted(volume, segmentation).points()
        spacing = np.linalg.norm(geometry.ijkToRas(volume)[:3, :3], axis=0)[::-1]
        return self._addAll(volume, segmentation, paintedSlices(points, spacing.tolist()))

    def takePainted(
        self, volume: Any, segmentation: Any, painted: Sequence[tuple[int, int]], emptied: Sequence[tuple[int, int]]
    ) -> bool:
        """Adds slices (axis, index) that somebody painted, and removes those added so on which nothing is left.

        Slices that are in the list already stay as they are, enabled or not. Of many slices, as a brush in 3D paints
        them, some are added that are spread over all of them.

        :return: Whether the list changed.
        """
        rows = self.rows()
        known = {
            (row.axis, row.index): row for row in rows if row.volume is volume and row.segmentation is segmentation
        }
        wanted = [place for place in painted if place not in known]
        _remember(segmentation, [*painted, *known], emptied)
        room = MOST_EXAMPLES - len(rows)
        if len(wanted) > _FEW:
            room = min(_MOST_AT_ONCE, room - _ROOM)
        new = evenlySpread(wanted, room) if room > 0 else []
        gone = [known[place].identifier for place in emptied if place in known]
        gone = [identifier for identifier in gone if identifier in self._taken]
        before = self._node.StartModify()
        try:
            for identifier in gone:
                self.remove(identifier)
            self._taken.update(row.identifier for row in self._addAll(volume, segmentation, new))
        finally:
            self._node.EndModify(before)
        return bool(new or gone)

    def paintedBesides(self, volume: Any, segmentation: Any) -> list[tuple[int, int]]:
        """Slices (axis, index) of a volume that somebody painted and that are no enabled rows.

        The list is full, or the rows were switched off or taken off it.
        """
        rows = [row for row in self.rows() if row.volume is volume and row.segmentation is segmentation]
        used = {(row.axis, row.index) for row in rows if row.enabled}
        everything = {*_remembered(segmentation), *((row.axis, row.index) for row in rows)}
        return sorted(everything - used)

    def remove(self, identifier: str) -> None:
        """Takes a row off the list; what is painted stays."""
        self._write([entry for entry in self._entries() if entry["id"] != identifier])

    def setEnabled(self, identifier: str, enabled: bool) -> None:
        """Sets whether runs use a row."""
        self._change(identifier, enabled=enabled)

    def setStrokes(self, identifier: str, strokes: bool) -> None:
        """Sets whether only what is painted counts on a row."""
        self._change(identifier, strokes=strokes, whole={})

    def setWhole(self, identifier: str, whole: Mapping[str, bool]) -> None:
        """Sets which structures are known to be painted completely on a row, or not completely; see ExampleSlice."""
        self._change(identifier, whole=dict(whole))

    def say(self, identifier: str, name: str, absent: bool | None) -> None:
        """Says of a structure that is not painted on a row whether it is absent there.

        :param name: The structure's name.
        :param absent: False if it is there and not painted yet; None leaves it to the engine to find out.
        """
        row = next((row for row in self.rows() if row.identifier == identifier), None)
        if row is not None:
            assert row.complete is None or isinstance(row.complete, Mapping)
            said = {**(row.complete or {}), name: absent}
            self._change(identifier, said={name: whole for name, whole in said.items() if whole is not None})

    def clear(self) -> None:
        """Takes all rows off the list."""
        self._write([])

    # What is on a row

    def segmentsOn(self, row: ExampleSlice) -> list[SegmentInfo]:
        """The segments that have voxels on the slice, in the order of the segmentation."""
        return self._labels(row)[1]

    def positionMm(self, row: ExampleSlice) -> float:
        """Where the slice is along its normal, in the world (RAS, mm)."""
        matrix = geometry.ijkToRas(row.volume)
        if geometry.isLinear(row.volume):
            matrix = geometry.toWorld(row.volume) @ matrix
        columns = [matrix[:3, n] for n in range(3)]
        along = columns[2 - row.axis]
        one, other = (column for n, column in enumerate(columns) if n != 2 - row.axis)
        normal = np.cross(one, other)
        normal *= np.sign(normal @ along) / np.linalg.norm(normal)
        return float(normal @ (matrix[:3, 3] + along * row.index))

    def sliceImage(self, row: ExampleSlice) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
        """A slice to be drawn, turned as slice views show it.

        :return: Intensities, rows from top to bottom; labels of the same shape, 0 or 1 + position in `segmentsOn`;
            height and width of a pixel in mm.
        """
        labels, _segments = self._labels(row)
        image = np.take(geometry.voxels(row.volume), row.index, row.axis)
        return upright(image, labels, row.axis, geometry.ijkToRas(row.volume))

    # Changes

    def observe(self, onStir: Callable[[], None]) -> None:
        """Calls back whenever rows may have changed, which `changes` tells; no voxel is read before that is asked."""
        self.unobserve()
        self._observer = ListObserver(self._node, self.rows, self._fingerprint, onStir)

    def changes(self) -> list[str]:
        """Identifiers of rows that changed since this was asked last: repainted, renamed, added, removed."""
        return self._observer.changes() if self._observer is not None else []

    def unobserve(self) -> None:
        """Stops calling back."""
        if self._observer is not None:
            self._observer.stop()
            self._observer = None

    def _fingerprint(self, row: ExampleSlice) -> object:
        """Something that is equal as long as a row shows the same."""
        try:
            labels, segments = self._labels(row)
            image = row.volume.GetImageData().GetMTime(), geometry.ijkToRas(row.volume).tobytes(), self.positionMm(row)
            return replace(row, volume=row.volume.GetName()), tuple(segments), hash(labels.tobytes()), image
        except SceneError as error:  # a volume without an image for the moment, for instance
            return row.enabled, str(error)

    def _labels(self, row: ExampleSlice) -> tuple[np.ndarray, list[SegmentInfo]]:
        painted = Painted(row.volume, row.segmentation)
        if not 0 <= row.index < geometry.shapeOf(row.volume)[row.axis]:
            outside = _("Slice {index} is outside of {name}.")
            raise SceneError(outside.format(index=row.index, name=row.volume.GetName()))
        plane = painted.plane(row.axis, row.index)
        segments = painted.segments()
        present = [int(number) for number in np.unique(plane) if number]
        renumbered = np.zeros(len(segments) + 1, np.uint16)
        renumbered[present] = np.arange(1, len(present) + 1)
        return renumbered[plane], [segments[number - 1] for number in present]

    # Keeping

    def _entries(self) -> list[dict[str, Any]]:
        text = self._node.GetParameter(_PARAMETER)
        return json.loads(text) if text else []

    def _change(self, identifier: str, **changed: Any) -> None:
        self._write([{**entry, **changed} if entry["id"] == identifier else entry for entry in self._entries()])

    def _addAll(self, volume: Any, segmentation: Any, slices: Sequence[tuple[int, int]]) -> list[ExampleSlice]:
        Painted(volume, segmentation)  # raises if the nodes can't be used together
        shape = geometry.shapeOf(volume)
        known = {(row.volume, row.segmentation, row.axis, row.index): row for row in self.rows()}
        entries = {entry["id"]: entry for entry in self._entries()}
        number = max((int(identifier) for identifier in entries), default=0)
        added = []
        before = self._node.StartModify()
        try:
            for axis, index in slices:
                if axis not in (0, 1, 2) or not 0 <= index < shape[axis]:
                    raise SceneError(
                        _("{name} has no slice {index} along {axis}.").format(
                            name=volume.GetName(), index=index, axis=_AXIS_NAMES[axis] if axis in (0, 1, 2) else axis
                        )
                    )
                row = known.get((volume, segmentation, axis, index))
                if row is None:
                    number += 1
                    row = ExampleSlice(volume, segmentation, int(axis), int(index), True, str(number))
                    self._node.SetNodeReferenceID(_VOLUME_ROLE + row.identifier, volume.GetID())
                    self._node.SetNodeReferenceID(_SEGMENTATION_ROLE + row.identifier, segmentation.GetID())
                    entries[row.identifier] = {"id": row.identifier, "axis": row.axis, "index": row.index}
                entries[row.identifier]["enabled"] = True
                added.append(replace(row, enabled=True))
            self._write(list(entries.values()))
            _remember(segmentation, slices, [])
        finally:
            self._node.EndModify(before)
        return added

    def _write(self, entries: list[dict[str, Any]]) -> None:
        """Keeps entries; rows whose nodes are gone go for good."""
        before = self._node.StartModify()
        kept = []
        listed = {entry["id"] for entry in self._entries()} | {entry["id"] for entry in entries}
        wanted = {entry["id"] for entry in entries}
        for entry in entries:
            if all(self._node.GetNodeReference(role + entry["id"]) for role in (_VOLUME_ROLE, _SEGMENTATION_ROLE)):
                kept.append(entry)
        for identifier in listed - {entry["id"] for entry in kept if entry["id"] in wanted}:
            for role in (_VOLUME_ROLE, _SEGMENTATION_ROLE):
                self._node.RemoveNodeReferenceIDs(role + identifier)
        self._node.SetParameter(_PARAMETER, json.dumps(kept))
        self._node.EndModify(before)


def _remembered(segmentation: Any) -> list[tuple[int, int]]:
    return [(axis, index) for axis, index in json.loads(segmentation.GetAttribute(_PAINTED) or "[]")]


def _remember(segmentation: Any, painted: Sequence[tuple[int, int]], emptied: Sequence[tuple[int, int]]) -> None:
    """Keeps with a segmentation which slices somebody painted, also those that find no room in the list."""
    before = _remembered(segmentation)
    now = sorted({*before, *painted} - set(emptied))
    if now != sorted(before):
        segmentation.SetAttribute(_PAINTED, json.dumps(now))
