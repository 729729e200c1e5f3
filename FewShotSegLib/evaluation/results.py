"""Raw results on disk: one JSON object a line, appended as episodes finish, so that a run can be taken up again."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation.episodes import Episode
from FewShotSegLib.evaluation.manifests import Manifest

Record = dict[str, Any]
"""One episode's outcome: key, dataset, protocol, episode, query, method, figures or error; see `runner`."""


def episode_digest(episode: Episode, protocol: str, manifest: Manifest) -> str:
    """Checksum of all that defines an episode: slices, labels, scored slices and the data of its cases."""
    cases = {case: asdict(manifest.cases[case]) for case in episode.cases}
    content = json.dumps([protocol, episode.identity(), cases], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def record_key(
    method: str, options: Mapping[str, Any], weights: str, protocol: str, episode: Episode, digest: str
) -> str:
    """What makes an outcome the same one: method, options, weights and episode.

    Args:
        method: Name of the method.
        options: Options passed to it.
        weights: Checksum of its weights, "" for a method without.
        protocol: As asked for, e.g. ``EP1-blind``.
        episode: The episode.
        digest: Of `episode_digest`.
    """
    parts = [method, json.dumps(dict(options), sort_keys=True), weights[:16], episode.dataset, protocol, episode.name]
    return "|".join([*parts, digest[:16]])


FILE = "results.jsonl"
PACKED = ".xz"
"""What follows the name of a file that is kept in the repository, compressed whole: see `pack`."""


def pack(text: str) -> bytes:
    """Compresses the lines of a file that is kept, to a tenth; the same text gives the same bytes."""
    return lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)


class ResultsFile:
    """A file of records in an output folder, ``results.jsonl`` for episodes.

    Example:
        >>> results = ResultsFile(Path("out"))
        >>> if key not in results.finished():
        ...     results.append(record)
    """

    def __init__(self, folder: Path, name: str = FILE) -> None:
        """Uses, and makes if need be, the folder."""
        self.path = Path(folder) / name
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, record: Record) -> None:
        """Writes a record at once, so that an interruption costs no more than the episode under way."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, sort_keys=True) + "\n")

    def finished(self) -> dict[str, Record]:
        """Records of all episodes that went well, by key; the newest where there are several.

        A last line cut off by an interruption is passed over (its episode is run again), and so is what is no result.
        Where a packed file of that name is kept beside, its records come first.
        """
        records: dict[str, Record] = {}
        for line in self._lines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "key" in record and "error" not in record:
                records[record["key"]] = record
        return records

    def _lines(self) -> list[str]:
        packed = self.path.with_name(self.path.name + PACKED)
        kept = lzma.decompress(packed.read_bytes()).decode() if packed.is_file() else ""
        new = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        return [*kept.splitlines(), *new.splitlines()]

    def start_new_line(self) -> None:
        """Ends a line that an interruption cut off, so that the next record does not join it."""
        if self.path.is_file() and self.path.stat().st_size:
            with self.path.open("rb+") as stream:
                stream.seek(-1, 2)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
