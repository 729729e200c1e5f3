"""Examples of the scene as a library, and a library's examples in the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FewShotSegLib.errors import ReadError
from FewShotSegLib.example import Example
from FewShotSegLib.library import Library
from FewShotSegLib.volume import Volume
from FewShotSegModule.runs.run_input import Structure
from FewShotSegModule.scene.errors import SceneError
from FewShotSegModule.scene.example_list import MOST_EXAMPLES, ExampleList
from FewShotSegModule.scene.example_slice import ExampleSlice
from FewShotSegModule.scene.gather import examplesOf
from FewShotSegModule.scene.names import freeName
from FewShotSegModule.scene.preview import segmentOf
from FewShotSegModule.scene.representations import LABELMAP, orientedImage

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def keepInLibrary(rows: Sequence[ExampleSlice], path: str, background: str = "") -> int:
    """Adds examples to a library, which is made where it is missing; how many scans it has then.

    Slices that it has already are replaced: they were painted on since.

    :param rows: The examples.
    :param path: A .zip file or a folder.
    :param background: Name of the segments that are painted on what is no structure.
    :raises FewShotSegError: There are none, or the library can't be opened or written; then it stays as it was.
    """
    library = Library.open(path) if Path(path).exists() else Library()
    addRows(library, rows, background)
    library.save(path)
    return len(library.entries)


def takeFromLibrary(path: str, examples: ExampleList, scene: Any) -> tuple[list[ExampleSlice], str]:
    """Makes a library's scans and painted slices nodes of the scene and rows of a list; see `addLibrary`.

    :return: The rows, and the name of the segments that are painted on what is no structure; "" if there are none.
    """
    library = Library.open(path)
    rows = addLibrary(library, examples, scene, Path(path).stem)
    names = {segment.value: segment.name for segment in library.segments}
    found = (painted.background for entry in library.entries for painted in entry.slices)
    return rows, next((names[value] for value in found if value is not None), "")


def describe(path: str) -> str:
    """What a library holds, for people; "" where there is nothing, else what is wrong with it."""
    if not path or not Path(path).exists():
        return ""
    try:
        library = Library.open(path)
    except ReadError as error:
        return str(error)
    slices = sum(len(entry.slices) for entry in library.entries)
    names = ", ".join(segment.name for segment in library.segments)
    said = _("Scans: {scans}, painted slices: {slices}; {names}")
    return said.format(slices=slices, scans=len(library.entries), names=names)


def addRows(library: Library, rows: Sequence[ExampleSlice], background: str = "", title: str = "") -> list[str]:
    """Adds examples of the scene to a library.

    :param library: It is changed, not saved.
    :param rows: The examples.
    :param background: Name of the segments that are painted on what is no structure.
    :param title: What to call new scans in it; the name of a volume may tell whose it is, so it is not taken.
    :return: Ids of the library's entries that they are in.
    :raises FewShotSegError: There are none, nothing is painted on them, or something doesn't fit.
    """
    if not rows:
        raise SceneError(_("There are no examples to keep in a library; paint a slice first."))
    structures, examples = examplesOf(rows, None, background, {}, {})
    terminology = {structure.value: structure.tag for structure in structures if structure.tag}
    colors = {structure.value: structure.color for structure in structures}
    names = {structure.value: structure.name for structure in structures}
    named = [_withLooks(example, names, colors, background) for example in examples]
    return library.add(named, terminology=terminology, title=title, replace_slices=True)


def addLibrary(library: Library, examples: ExampleList, scene: Any, folder: str = "") -> list[ExampleSlice]:
    """Makes a library's scans and painted slices nodes of the scene and rows of the list.

    Rows beyond those that a run can use are switched off.

    :param library: What to add; nothing is added if a scan of it can't be read.
    :param examples: The list of the parameter node.
    :param scene: Where the nodes go.
    :param folder: Name of the folder in the subject hierarchy that the nodes go into; none if empty.
    :return: The rows.
    :raises FewShotSegError: A scan can't be read.
    """
    found: dict[int, list[Example]] = {}
    for example in library.examples():
        found.setdefault(id(example.image), []).append(example)
    segments = {segment.value: segment for segment in library.segments}
    titles = [entry.title for entry in library.entries]
    rows, nodes = [], []
    used = sum(row.enabled for row in examples.rows())
    for title, group in zip(titles, found.values(), strict=True):
        volume = _volumeNode(scene, title, group[0].image)
        segmentation = _segmentationNode(scene, title, volume, group, segments)
        for example in group:
            row = examples.add(volume, segmentation, example.axis, example.index)
            _say(examples, row, example, segments)
            rows.append(row)
            if used + len(rows) > MOST_EXAMPLES:
                examples.setEnabled(row.identifier, False)
        nodes += [volume, segmentation]
    if folder:
        _putInto(folder, nodes, scene)
    return rows


def _putInto(folder: str, nodes: Sequence[Any], scene: Any) -> None:
    """Puts nodes into a new folder of the subject hierarchy, folded, so that a large library doesn't fill the tree."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if tree is None:
        return
    into = tree.CreateFolderItem(tree.GetSceneItemID(), folder)
    for node in nodes:
        own = tree.GetItemByDataNode(node)
        if own:
            tree.SetItemParent(own, into)
        else:
            tree.CreateItem(into, node)
    tree.SetItemExpanded(into, False)


def _withLooks(
    example: Example, names: Mapping[int, str], colors: Mapping[int, tuple[float, float, float]], background: str
) -> Example:
    known = dict(names)
    if example.background is not None:
        known[example.background] = background
    on = {value: known[value] for value in np.unique(example.mask).tolist() if value in known}
    said = example.complete if isinstance(example.complete, Mapping | set | frozenset) else ()
    on |= {value: known[value] for value in said if value in known}
    return Example(
        example.image,
        example.axis,
        example.index,
        example.mask,
        on,
        {value: colors[value] for value in on if value in colors},
        example.complete,
        example.background,
    )


def _volumeNode(scene: Any, title: str, volume: Volume) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", freeName(scene, title))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(volume.array))
    matrix = vtk.vtkMatrix4x4()
    for (row, column), value in np.ndenumerate(_ijkToRas(volume)):
        matrix.SetElement(row, column, float(value))
    node.SetIJKToRASMatrix(matrix)
    node.CreateDefaultDisplayNodes()
    return node


def _ijkToRas(volume: Volume) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * np.asarray(volume.spacing)
    matrix[:3, 3] = volume.origin
    return _LPS_TO_RAS @ matrix


def _segmentationNode(
    scene: Any, title: str, volume: Any, group: Sequence[Example], segments: Mapping[int, Any]
) -> Any:
    image = group[0].image
    labels = np.zeros(image.shape, np.uint16)
    for example in group:
        plane = np.moveaxis(labels, example.axis, 0)[example.index]
        np.copyto(plane, example.mask.astype(np.uint16), where=example.mask > 0)
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(freeName(scene, _("{name} painted").format(name=title)))
    content = node.GetSegmentation()
    content.SetSourceRepresentationName(LABELMAP)
    labelmap = orientedImage(labels, (0, 0, 0), _ijkToRas(image))
    for value in sorted(set(np.unique(labels).tolist()) - {0}):
        segment = segments[value]
        structure = Structure(value, segment.name, segment.color, segment.terminology)
        content.AddSegment(segmentOf(structure, labelmap), content.GenerateUniqueSegmentID(segment.name))
    scene.AddNode(node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.CreateDefaultDisplayNodes()
    # It would lie over the volume to segment, which another patient's slices have nothing to do with.
    node.GetDisplayNode().SetVisibility(False)
    return node


def _say(examples: ExampleList, row: ExampleSlice, example: Example, segments: Mapping[int, Any]) -> None:
    """Says on a row what is known of its slice."""
    complete = example.complete
    if complete is None:
        return
    everything = {value: segment.name for value, segment in segments.items() if value != example.background}
    if complete == "all":
        said = dict.fromkeys(everything, True)
    elif isinstance(complete, Mapping):
        said = dict(complete)
    else:
        examples.setStrokes(row.identifier, True)
        said = dict.fromkeys(complete, True)
    whole = {everything[value]: said[value] for value in example.values if value in said}
    if whole:
        examples.setWhole(row.identifier, whole)
    for value, absent in said.items():
        if value in everything and everything[value] not in whole:
            examples.say(row.identifier, everything[value], absent)
