"""A library of two patients and some cases to segment, small enough for the real weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from two_balls import painted, two_balls

from FewShotSegLib.library import Library

SHAPE = (12, 40, 36)


def a_library(path: Path, patients: int = 1, slices: tuple[int, ...] = (6,)) -> Path:
    """Saves a library with some painted slices of each of some patients."""
    library = Library()
    for number in range(patients):
        image, labels = two_balls(SHAPE, seed=100 + number)
        library.add([painted(image, labels, index, complete="all") for index in slices])
    library.save(path)
    return path


def some_cases(folder: Path, count: int = 3) -> Path:
    """Writes volumes like the library's, each in a file of its own."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        two_balls(SHAPE, seed=number)[0].write(folder / f"case{number}.nii.gz")
    return folder


def results_of(output: Path) -> dict[str, bytes]:
    """The bytes of everything that was computed of all cases; pictures and records apart."""
    files = [path for path in (output / "cases").glob("*/*") if path.suffix == ".nrrd"]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def start_cohort(library: Path, queries: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    """The shell command in a process of its own."""
    command = [sys.executable, "-m", "FewShotSegLib", "cohort", "--library", str(library), "--queries", str(queries)]
    return subprocess.Popen(
        [*command, "--output", str(output), "--device", "cpu", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
