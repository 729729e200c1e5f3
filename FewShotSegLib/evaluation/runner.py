"""Runs one episode with one method and measures what comes out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.evaluation import measures, protocols
from FewShotSegLib.evaluation.datasets import Dataset, open_dataset
from FewShotSegLib.evaluation.manifests import Episode, Manifest
from FewShotSegLib.evaluation.manifests import read as read_manifest
from FewShotSegLib.evaluation.methods import Method
from FewShotSegLib.evaluation.resources import PeakMemory, gigamacs
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume

CASES_IN_MEMORY = 6


class CaseStore:
    """Reads cases, checks them against their manifest, and keeps the last few in memory."""

    def __init__(self, root: Path, manifests: Path) -> None:
        """Args: the data folder that holds ``benchmark/``, and the folder of the manifests."""
        self._root, self._manifest_folder = root, manifests
        self._sets: dict[str, tuple[Dataset, Manifest]] = {}
        self._cases: OrderedDict[tuple[str, str], tuple[Volume, Volume]] = OrderedDict()

    def dataset(self, name: str) -> tuple[Dataset, Manifest]:
        """A data set and its manifest, opened once."""
        if name not in self._sets:
            self._sets[name] = open_dataset(self._root, name), read_manifest(name, self._manifest_folder)
        return self._sets[name]

    def case(self, dataset: str, case: str) -> tuple[Volume, Volume]:
        """Image and reference labelmap of a case.

        Raises:
            ManifestMismatchError: The data is not what the manifest was made from.
            DatasetNotFoundError: The case is missing.
        """
        key = dataset, case
        if key not in self._cases:
            source, manifest = self.dataset(dataset)
            image, label = source.image(case), source.label(case)
            manifest.verify(case, image, label)
            self._cases[key] = image, label
            while len(self._cases) > CASES_IN_MEMORY:
                self._cases.popitem(last=False)
        self._cases.move_to_end(key)
        return self._cases[key]

    def examples(self, episode: Episode) -> list[Example]:
        """The episode's painted slices, with its labels and no others on them."""
        names = self.dataset(episode.dataset)[0].names
        examples: list[Example] = []
        for support in episode.supports:
            image, label = self.case(episode.dataset, support.case)
            painted = label.with_array(np.where(np.isin(label.array, episode.labels), label.array, 0))
            wanted = {value: names[value] for value in episode.labels}
            examples += Example.from_labelmap(image, painted, slices=list(support.slices), axis=0, names=wanted)
        return examples


def run_episode(
    method: Method,
    protocol: str,
    episode: Episode,
    store: CaseStore,
    count_macs: bool = False,
    keep: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Segments an episode's query and measures the outcome.

    Args:
        method: Gets the query volume and the examples, nothing else.
        protocol: How it is asked; see `protocols`.
        episode: What to segment, from what, and what is scored.
        store: Where the data comes from.
        count_macs: Whether a network's work is done once more to count its multiply-accumulates.
        keep: File for the labelmap (``labels`` of an npz), if it is wanted.
        clock: Seconds, replaced in tests.

    Returns:
        seconds; peak_mib and before_mib of the process where the system tells; gigamacs of the call or None; labels:
        label value -> figures of `score_labels`; confidence: region -> ECE, AUROC, ..., or None.

    Raises:
        ValueError: The method's answer does not lie on the query's grid.
    """
    query, label = store.case(episode.dataset, episode.query)
    examples = store.examples(episode)
    with PeakMemory() as memory:
        start = clock()
        prediction, confidence = protocols.ask(method, protocol, episode, query, examples)
        seconds = clock() - start
    for answer in (prediction, confidence):
        if answer is not None and answer.shape != query.array.shape:
            raise ValueError(f"{method.name} answered with shape {answer.shape}, the query has {query.array.shape}.")
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(keep, labels=prediction.astype(np.uint16))
    reference = np.where(np.isin(label.array, episode.labels), label.array, 0).astype(np.int32)
    names = store.dataset(episode.dataset)[0].names
    figures = score_labels(prediction, reference, episode.labels, episode.scored, query.spacing)
    cost = None
    if count_macs and method.is_network:
        cost = gigamacs(lambda: protocols.ask(method, protocol, episode, query, examples))
    return {
        "seconds": seconds,
        "before_mib": memory.before,
        "peak_mib": memory.peak,
        "gigamacs": cost,
        "labels": {str(value): {"name": names[value]} | found for value, found in figures.items()},
        "confidence": (
            None
            if confidence is None
            else score_confidence(prediction, reference, confidence, episode.scored, query.spacing)
        ),
    }


def score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    labels: Iterable[int],
    scored: Iterable[int],
    spacing: tuple[float, float, float],
) -> dict[int, dict[str, Any]]:
    """Overlap and surface distances of each label.

    Dice counts the voxels of the scored slices only. Surfaces need whole structures: for them the slices that are not
    scored hold the reference on both sides, so that no cut faces arise and nothing there counts as wrong.

    Args:
        prediction: Labelmap (k, j, i).
        reference: Labelmap (k, j, i) with the scored labels only.
        labels: Label values to score.
        scored: Scored slices along axis 0.
        spacing: Voxel size in mm, (i, j, k).

    Returns:
        label -> dice, hd95_mm, mean_distance_mm, surface_dice (None where undefined), reference_voxels,
        predicted_voxels.
    """
    slices = list(scored)
    completed = reference.copy()
    completed[slices] = prediction[slices]
    figures: dict[int, dict[str, Any]] = {}
    for value in labels:
        expected, found = reference == value, completed == value
        surfaces = measures.surface_distances(found, expected, spacing)
        figures[value] = {
            "dice": measures.dice(found[slices], expected[slices]),
            "hd95_mm": surfaces.hd95 if surfaces else None,
            "mean_distance_mm": surfaces.mean if surfaces else None,
            "surface_dice": measures.surface_dice(found, expected, spacing),
            "reference_voxels": int(expected[slices].sum()),
            "predicted_voxels": int(found[slices].sum()),
        }
    return figures


def score_confidence(
    prediction: np.ndarray,
    reference: np.ndarray,
    confidence: np.ndarray,
    scored: Iterable[int],
    spacing: tuple[float, float, float],
) -> dict[str, dict[str, Any] | None]:
    """Calibration and error detection over the scored slices: near the structures ("box") and everywhere ("all")."""
    slices = list(scored)
    inside = np.zeros((reference.shape[0], 1, 1), bool)
    inside[slices] = True
    near = measures.region_around(np.where(inside, prediction, 0), np.where(inside, reference, 0), spacing)[slices]
    correct = prediction[slices] == reference[slices]
    found = {
        "box": measures.confidence_measures(confidence[slices][near], correct[near]),
        "all": measures.confidence_measures(confidence[slices], correct),
    }
    return {region: None if result is None else dict(result.__dict__) for region, result in found.items()}
