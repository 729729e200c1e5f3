"""Under what conditions a run was made: versions, threads, weights, manifests; a JSON line a run in ``runs.jsonl``."""

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

FILE = "runs.jsonl"
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
    return {
        "run": uuid.uuid4().hex[:12],
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "weights": dict(weights),
        "manifests": {name: _sha256(manifest_folder / f"{name}.json") for name in sets},
        **settings,
    }


def append_run(folder: Path, info: Mapping[str, Any]) -> None:
    """Adds a run to the output folder's list of runs."""
    with (folder / FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(info, sort_keys=True) + "\n")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
