"""Runs one episode with one method and measures what comes out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.evaluation import corrections, measures, protocols
from FewShotSegLib.evaluation.brushes import painting_checksum
from FewShotSegLib.evaluation.datasets import Dataset, open_dataset
from FewShotSegLib.evaluation.episodes import Episode, Support
from FewShotSegLib.evaluation.examples import examples_of
from FewShotSegLib.evaluation.manifests import Manifest, ManifestMismatchError
from FewShotSegLib.evaluation.manifests import read as read_manifest
from FewShotSegLib.evaluation.methods import Answer, Method
from FewShotSegLib.evaluation.resources import PeakMemory, gigamacs
from FewShotSegLib.evaluation.sessions import session_of
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
        """The episode's painted slices, with the labels that are painted on them and no others.

        Raises:
            ManifestMismatchError: A brush paints other pixels than when the manifest was made.
        """
        examples = [example for support in episode.supports for example in self.paint(episode, support)]
        found = painting_checksum(examples) if episode.painting else ""
        if found != episode.painting:
            raise ManifestMismatchError(
                f"{episode.dataset}: the checksum of what is painted under {episode.protocol} on {episode.query} is "
                f"{found}, the manifest expects {episode.painting}; another SciPy or scikit-image may draw otherwise."
            )
        return examples

    def paint(self, episode: Episode, support: Support) -> list[Example]:
        """Examples of one of an episode's supports, or of one like them."""
        image, label = self.case(episode.dataset, support.case)
        names = self.dataset(episode.dataset)[0].names
        return examples_of(episode, support, image, np.asarray(label.array), names)


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
        label value -> figures of `score_labels`; confidence: region -> ECE, AUROC, ..., or None. Of corrections also
        target, and rounds: axis and index of the slice painted, Dice after it of unpainted and of all voxels, seconds;
        the figures are those after the last round, seconds those of all.

    Raises:
        ValueError: The method's answer does not lie on the query's grid.
    """
    query, label = store.case(episode.dataset, episode.query)
    reference = np.where(np.isin(label.array, episode.labels), label.array, 0).astype(np.int32)
    if protocol in protocols.CORRECTIONS:
        return _correct(method, protocol, episode, store, reference, keep, clock)
    examples = store.examples(episode)
    with PeakMemory() as memory:
        start = clock()
        answer = protocols.ask(method, protocol, episode, query, examples)
        seconds = clock() - start
    cost = None
    if count_macs and method.is_network:
        cost = gigamacs(lambda: protocols.ask(method, protocol, episode, query, examples))
    region = episode.region(query.array.shape)
    names = store.dataset(episode.dataset)[0].names
    return {
        "seconds": seconds,
        "before_mib": memory.before,
        "peak_mib": memory.peak,
        "gigamacs": cost,
        **_figures(method, answer, reference, episode, region, query.spacing, names, keep),
    }


def _correct(
    method: Method,
    protocol: str,
    episode: Episode,
    store: CaseStore,
    reference: np.ndarray,
    keep: Path | None,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """All rounds of corrections; figures are those of the last one on the voxels that are unpainted then."""
    query, _ = store.case(episode.dataset, episode.query)
    strategy = corrections.strategy_of(protocol, reference)
    with PeakMemory() as memory:
        session = session_of(method, query)
        done = []
        for last in corrections.rounds(
            session, strategy, episode, reference, lambda support: store.paint(episode, support), clock
        ):
            done.append(last.to_json())
    region = corrections.unpainted(reference.shape, last.painted)
    names = store.dataset(episode.dataset)[0].names
    return {
        "seconds": sum(entry["seconds"] for entry in done),
        "before_mib": memory.before,
        "peak_mib": memory.peak,
        "gigamacs": None,
        "target": episode.target,
        "rounds": done,
        **_figures(method, last.answer, reference, episode, region, query.spacing, names, keep),
    }


def _figures(
    method: Method,
    answer: Answer,
    reference: np.ndarray,
    episode: Episode,
    region: np.ndarray,
    spacing: tuple[float, float, float],
    names: dict[int, str],
    keep: Path | None,
) -> dict[str, Any]:
    """Scores of an answer in a region, by label and of the confidence; keeps its labelmap where that is wanted."""
    prediction, confidence = answer
    for array in answer:
        if array is not None and array.shape != reference.shape:
            raise ValueError(f"{method.name} answered with shape {array.shape}, the query has {reference.shape}.")
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(keep, labels=prediction.astype(np.uint16))
    figures = score_labels(prediction, reference, episode.labels, region, spacing)
    sure = None if confidence is None else score_confidence(prediction, reference, confidence, region, spacing)
    return {
        "labels": {str(value): {"name": names[value]} | found for value, found in figures.items()},
        "confidence": sure,
    }


def score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    labels: Iterable[int],
    scored: Iterable[int] | np.ndarray,
    spacing: tuple[float, float, float],
) -> dict[int, dict[str, Any]]:
    """Overlap and surface distances of each label.

    Dice counts the scored voxels only. Surfaces need whole structures: for them the voxels that are not scored hold the
    reference on both sides, so that no cut faces arise and nothing there counts as wrong.

    Args:
        prediction: Labelmap (k, j, i).
        reference: Labelmap (k, j, i) with the scored labels only.
        labels: Label values to score.
        scored: Scored slices along axis 0, or the scored voxels as a bool array (k, j, i).
        spacing: Voxel size in mm, (i, j, k).

    Returns:
        label -> dice, hd95_mm, mean_distance_mm, surface_dice (None where undefined), reference_voxels,
        predicted_voxels.
    """
    where = _index(scored)
    completed = reference.copy()
    completed[where] = prediction[where]
    figures: dict[int, dict[str, Any]] = {}
    for value in labels:
        expected, found = reference == value, completed == value
        surfaces = measures.surface_distances(found, expected, spacing)
        figures[value] = {
            "dice": measures.dice(found[where], expected[where]),
            "hd95_mm": surfaces.hd95 if surfaces else None,
            "mean_distance_mm": surfaces.mean if surfaces else None,
            "surface_dice": measures.surface_dice(found, expected, spacing),
            "reference_voxels": int(expected[where].sum()),
            "predicted_voxels": int(found[where].sum()),
        }
    return figures


def score_confidence(
    prediction: np.ndarray,
    reference: np.ndarray,
    confidence: np.ndarray,
    scored: Iterable[int] | np.ndarray,
    spacing: tuple[float, float, float],
) -> dict[str, dict[str, Any] | None]:
    """Calibration and error detection over the scored voxels: near the structures ("box") and everywhere ("all")."""
    where = _index(scored)
    inside = np.zeros(reference.shape, bool)
    inside[where] = True
    near = measures.region_around(np.where(inside, prediction, 0), np.where(inside, reference, 0), spacing)[where]
    correct = prediction[where] == reference[where]
    found = {
        "box": measures.confidence_measures(confidence[where][near], correct[near]),
        "all": measures.confidence_measures(confidence[where], correct),
    }
    return {region: None if result is None else dict(result.__dict__) for region, result in found.items()}


def _index(scored: Iterable[int] | np.ndarray) -> Any:
    """Slices or voxels as what picks them from an array (k, j, i)."""
    return scored if isinstance(scored, np.ndarray) and scored.dtype == bool else list(scored)
