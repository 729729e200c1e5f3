"""Under what conditions a run was made: versions, code, threads, weights, manifests; a JSON line a run.

They stand in ``runs.jsonl`` beside the results, so that figures of an older engine are not taken for those of this one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from FewShotSegLib.evaluation.methods import file_checksum

FILE = "runs.jsonl"
ENGINE = Path(__file__).resolve().parents[1]
NOT_ENGINE = {"demo", "evaluation", "training", "worker"}
"""Folders of the package whose code has no part in a segmentation."""
PACKAGES = ("fewshotseg", "numpy", "scipy", "scikit-image", "SimpleITK", "torch", "monai", "matplotlib", "slicer-core")


def describe_run(
    manifest_folder: Path,
    sets: Iterable[str],
    weights: Mapping[str, str],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What is worth knowing of a run.

    Args:
        manifest_folder: Folder of the frozen episodes.
        sets: Data sets in use.
        weights: SHA-256 of the weights of each method that has any.
        settings: Threads, device, protocols and the like; plain values.

    Returns:
        A dictionary for JSON with "run", an identifier that records refer to. It names no path and no user.
    """
    files = {name: manifest_folder / f"{name}.json" for name in sets}
    return {
        "run": uuid.uuid4().hex[:12],
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "engine": engine_checksum(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "weights": dict(weights),
        "manifests": {name: file_checksum([path]) if path.is_file() else None for name, path in files.items()},
        **settings,
    }


def engine_checksum(folder: Path = ENGINE) -> str:
    """SHA-256 over the sources that have a part in a segmentation, their names included.

    Args:
        folder: Of the package.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] not in NOT_ENGINE:
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def runs_of_other_engines(folder: Path) -> set[str]:
    """Identifiers of the output folder's runs whose engine had other code than this one, or is not known."""
    path = folder / FILE
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    current = engine_checksum()
    return {run["run"] for run in runs if run.get("engine") != current}


def append_run(folder: Path, info: Mapping[str, Any]) -> None:
    """Adds a run to the output folder's list of runs."""
    with (folder / FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(info, sort_keys=True) + "\n")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
