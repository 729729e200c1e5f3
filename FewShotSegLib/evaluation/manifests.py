"""Frozen manifests of evaluation episodes, so that every method sees the same cases, slices and labels.

One JSON file per data set names, for each case, checksums of its arrays, and for each protocol its episodes:

* ``W-k``: examples and query are one volume; every slice that is not painted is scored. A volume with fewer than k + 2
  labelled slices has no such episode: next to nothing of its structures would be left to score.
* ``A-n``: n other cases give the examples; the whole query is scored. Three seeded draws of support cases.
* ``EP1``: one label, one support case, three slices; only slices inside the query's true extent are scored.
* ``S-k``, ``O-3``, ``B-3`` and the others of `painting_episodes`: how people really paint.

Generated once by ``python -m FewShotSegLib.evaluation.manifests --data DIR --output DIR [--seed N]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.evaluation.datasets import DATASETS, Dataset, open_dataset
from FewShotSegLib.evaluation.episodes import AREAS, Episode, Support, one_label_at_a_time
from FewShotSegLib.evaluation.painting_episodes import (
    PAINTING_PROTOCOLS,
    painting_episodes,
    unpainted_slices,
)
from FewShotSegLib.evaluation.slice_rules import (
    extent_slices,
    from_ranges,
    slices_with_label,
    to_ranges,
    within_volume_slices,
)
from FewShotSegLib.volume import Volume

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "Testing" / "benchmark" / "manifests"
FORMAT_VERSION = 2
WITHIN_COUNTS = (1, 3, 5, 10)
WITHIN_SPARE = 2
ACROSS_COUNTS = (1, 3, 5)
DRAWS = 3
SPACING_TOLERANCE_MM = 1e-3
SHARED = {"EP1-blind": "EP1", "C-spread": "C", "C-unsure": "C"}
"""Protocols that ask in another way about another one's episodes."""
APART = "-apart"
"""Ending of protocols that ask about one label at a time."""


class ManifestMismatchError(ValueError):
    """The data on disk is not the data the manifest was made from, or the manifest can't be used."""


@dataclass(frozen=True)
class CaseRecord:
    """What a manifest knows of a case: checksums of its arrays, grid shape (k, j, i), spacing in mm (i, j, k)."""

    image_sha256: str
    label_sha256: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The frozen episodes of one data set."""

    dataset: str
    seed: int
    cases: dict[str, CaseRecord]
    episodes: dict[str, list[Episode]] = field(default_factory=dict)

    def of_protocol(self, protocol: str) -> list[Episode]:
        """Episodes of a protocol.

        ``EP1-blind`` shares those of ``EP1``, and ``C-spread`` and ``C-unsure`` those of ``C``; ``S-k-apart`` has those
        of ``S-k``, one label at a time.

        Raises:
            KeyError: The manifest has no such protocol.
        """
        if protocol.endswith(APART):
            return one_label_at_a_time(self.of_protocol(protocol.removesuffix(APART)))
        stored = SHARED.get(protocol, protocol)
        if stored not in self.episodes:
            raise KeyError(
                f"The manifest of {self.dataset} has no protocol {protocol!r}; it has {sorted(self.episodes)}."
            )
        return self.episodes[stored]

    def verify(self, case: str, image: Volume, label: Volume) -> None:
        """Checks that a case's data is what the manifest was made from.

        Raises:
            ManifestMismatchError: The case is unknown, or its image, label or spacing differ.
        """
        if case not in self.cases:
            raise ManifestMismatchError(f"{self.dataset}: case {case!r} is not in the manifest.")
        expected, found = self.cases[case], describe_case(image, label)
        for what in ("shape", "image_sha256", "label_sha256"):
            if getattr(expected, what) != getattr(found, what):
                raise ManifestMismatchError(
                    f"{self.dataset}: {what} of {case} is {getattr(found, what)}, the manifest expects "
                    f"{getattr(expected, what)}. The data differs from what the episodes were frozen on."
                )
        if not np.allclose(expected.spacing, found.spacing, rtol=0, atol=SPACING_TOLERANCE_MM):
            raise ManifestMismatchError(
                f"{self.dataset}: spacing of {case} is {found.spacing} mm, the manifest expects {expected.spacing} mm."
            )


def array_sha256(array: np.ndarray, dtype: str) -> str:
    """Checksum of an array's shape and values, whatever type or memory layout a reader chose.

    Args:
        array: Any array.
        dtype: Little-endian type the values are put in first: "<f4" for images, "<i4" for labels.
    """
    digest = hashlib.sha256(repr(tuple(int(size) for size in array.shape)).encode())
    digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return digest.hexdigest()


def describe_case(image: Volume, label: Volume) -> CaseRecord:
    """Checksums and grid of a case."""
    return CaseRecord(
        image_sha256=array_sha256(image.array, "<f4"),
        label_sha256=array_sha256(label.array, "<i4"),
        shape=tuple(int(size) for size in image.array.shape),
        spacing=tuple(round(float(size), 6) for size in image.spacing),
    )


def generate(dataset: Dataset, seed: int) -> Manifest:
    """Freezes all protocols' episodes of a data set; the same data and seed give the same manifest."""
    records: dict[str, CaseRecord] = {}
    labels: dict[str, np.ndarray] = {}
    for case in dataset.cases:
        label = dataset.label(case)
        records[case] = describe_case(dataset.image(case), label)
        labels[case] = np.asarray(label.array)
    name = dataset.spec.name
    episodes = {f"W-{count}": _within_volume(name, labels, count) for count in WITHIN_COUNTS}
    orders = _support_orders(sorted(labels), f"{seed}/{name}/A")
    episodes |= {f"A-{count}": _across_volumes(name, labels, count, orders) for count in ACROSS_COUNTS}
    episodes["EP1"] = _one_shot(name, labels, dataset.spec.ep1_labels, f"{seed}/{name}/EP1")
    episodes |= painting_episodes(name, labels, dataset.spec.correction_target)
    return Manifest(dataset=name, seed=seed, cases=records, episodes=episodes)


def _present(label: np.ndarray, slices: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.unique(label[list(slices)]) if value > 0)


def _within_volume(dataset: str, labels: dict[str, np.ndarray], count: int) -> list[Episode]:
    episodes = []
    for case, label in labels.items():
        labelled = slices_with_label(label)
        if len(labelled) < count + WITHIN_SPARE:
            continue
        painted = within_volume_slices(labelled, count)
        scored = tuple(k for k in range(label.shape[0]) if k not in painted)
        support = Support(case, tuple(painted))
        episodes.append(Episode(dataset, f"W-{count}", case, case, (support,), _present(label, painted), scored))
    return episodes


def _support_orders(cases: list[str], seed: str) -> list[list[str]]:
    """An order of all cases for each draw: the draws begin with different cases, and A-1 is a part of A-3 and A-5."""
    rng = random.Random(seed)
    orders = []
    for first in rng.sample(cases, DRAWS):
        others = [case for case in cases if case != first]
        rng.shuffle(others)
        orders.append([first, *others])
    return orders


def _across_volumes(dataset: str, labels: dict[str, np.ndarray], count: int, orders: list[list[str]]) -> list[Episode]:
    episodes = []
    for draw, order in enumerate(orders):
        supports = tuple(Support(case, _slices_of_each_label(labels[case])) for case in sorted(order[:count]))
        values = {value for support in supports for value in _present(labels[support.case], support.slices)}
        for query in sorted(order[count:]):
            scored = tuple(range(labels[query].shape[0]))
            name = f"{query}_draw{draw}"
            values_sorted = tuple(sorted(values))
            episodes.append(Episode(dataset, f"A-{count}", name, query, supports, values_sorted, scored, draw))
    return episodes


def _slices_of_each_label(label: np.ndarray) -> tuple[int, ...]:
    values = [int(value) for value in np.unique(label) if value > 0]
    return tuple(sorted({k for value in values for k in extent_slices(slices_with_label(label, [value]))}))


def _one_shot(dataset: str, labels: dict[str, np.ndarray], values: Sequence[int], seed: str) -> list[Episode]:
    rng = random.Random(seed)
    episodes = []
    for value in values:
        extents = {case: slices_with_label(label, [value]) for case, label in labels.items()}
        holders = [case for case, extent in extents.items() if extent]
        for query in holders if len(holders) > 1 else ():  # a label on one case only has no other to learn from
            support = rng.choice([case for case in holders if case != query])
            painted = Support(support, tuple(extent_slices(extents[support])))
            scored = tuple(range(extents[query][0], extents[query][-1] + 1))
            episodes.append(Episode(dataset, "EP1", f"{query}_label{value}", query, (painted,), (value,), scored))
    return episodes


def write(manifest: Manifest, folder: Path) -> Path:
    """Writes ``<folder>/<SET>.json``, one episode a line so that a change can be read in a diff."""
    cases = [f"  {json.dumps(case)}: {json.dumps(record.__dict__)}" for case, record in manifest.cases.items()]
    protocols = []
    for protocol, episodes in manifest.episodes.items():
        lines = ",\n".join(f"   {json.dumps(_to_json(episode))}" for episode in episodes)
        protocols.append(f"  {json.dumps(protocol)}: [\n{lines}\n  ]")
    head = f' "format": {FORMAT_VERSION},\n "dataset": {json.dumps(manifest.dataset)},\n "seed": {manifest.seed},\n'
    body = ' "cases": {\n' + ",\n".join(cases) + '\n },\n "protocols": {\n' + ",\n".join(protocols) + "\n }\n"
    path = Path(folder) / f"{manifest.dataset}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + head + body + "}\n", encoding="utf-8")
    return path


def read(dataset: str, folder: Path = DEFAULT_FOLDER) -> Manifest:
    """Reads the manifest of a data set.

    Raises:
        ManifestMismatchError: There is none, or it has another format.
    """
    path = Path(folder) / f"{dataset}.json"
    if not path.is_file():
        raise ManifestMismatchError(f"No manifest for {dataset}: {path} is missing.")
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT_VERSION or content.get("dataset") != dataset:
        raise ManifestMismatchError(f"{path} is not a manifest of {dataset} in format {FORMAT_VERSION}.")
    cases = {
        case: CaseRecord(
            record["image_sha256"], record["label_sha256"], tuple(record["shape"]), tuple(record["spacing"])
        )
        for case, record in content["cases"].items()
    }
    depths = {case: record.shape[0] for case, record in cases.items()}
    episodes = {
        protocol: [_from_json(dataset, protocol, entry, depths) for entry in entries]
        for protocol, entries in content["protocols"].items()
    }
    return Manifest(dataset=dataset, seed=content["seed"], cases=cases, episodes=episodes)


def _to_json(episode: Episode) -> dict[str, Any]:
    if episode.protocol in PAINTING_PROTOCOLS:
        return _painting_to_json(episode)
    return {
        "name": episode.name,
        "query": episode.query,
        "draw": episode.draw,
        "labels": list(episode.labels),
        "supports": {support.case: list(support.slices) for support in episode.supports},
        "scored": to_ranges(episode.scored),
    }


def _painting_to_json(episode: Episode) -> dict[str, Any]:
    """What can't be told by rule: names are the query's, scored is what is unpainted."""
    entry: dict[str, Any] = {
        "query": episode.query,
        "labels": list(episode.labels),
        "painted": [[s.axis, list(s.slices), *([list(s.painted)] if s.painted else [])] for s in episode.supports],
    }
    if episode.brush != AREAS:
        entry |= {"brush": episode.brush, "painting": episode.painting}
    if episode.beside:
        entry["beside"] = [[axis, list(slices)] for axis, slices in episode.beside]
    if episode.target is not None:
        entry["target"] = episode.target
    return entry


def _from_json(dataset: str, protocol: str, entry: dict[str, Any], depths: dict[str, int]) -> Episode:
    if "painted" in entry:
        return _painting_from_json(dataset, protocol, entry, depths[entry["query"]])
    return Episode(
        dataset=dataset,
        protocol=protocol,
        name=entry["name"],
        query=entry["query"],
        supports=tuple(Support(case, tuple(slices)) for case, slices in entry["supports"].items()),
        labels=tuple(entry["labels"]),
        scored=tuple(from_ranges(entry["scored"])),
        draw=entry["draw"],
    )


def _painting_from_json(dataset: str, protocol: str, entry: dict[str, Any], depth: int) -> Episode:
    query = entry["query"]
    supports = tuple(
        Support(query, tuple(slices), axis, tuple(painted[0]) if painted else None)
        for axis, slices, *painted in entry["painted"]
    )
    target = entry.get("target")
    return Episode(
        dataset=dataset,
        protocol=protocol,
        name=query,
        query=query,
        supports=supports,
        labels=tuple(entry["labels"]),
        scored=unpainted_slices(depth, supports) if target is None else tuple(range(depth)),
        brush=entry.get("brush", AREAS),
        beside=tuple((axis, tuple(slices)) for axis, slices in entry.get("beside", [])),
        target=target,
        painting=entry.get("painting", ""),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: freezes the manifests of all data sets found in a folder."""
    parser = argparse.ArgumentParser(prog="python -m FewShotSegLib.evaluation.manifests", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder that holds benchmark/")
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER, help="folder for the manifests")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default 0)")
    args = parser.parse_args(arguments)
    for name in DATASETS:
        print(write(generate(open_dataset(args.data, name), args.seed), args.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
