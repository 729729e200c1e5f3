"""Talks to a worker of the engine, in a process of its own, as an application does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.demo.sample_scan import SampleScan
from FewShotSegLib.example import Example
from FewShotSegLib.volume import Volume
from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.protocol import (
    Answer,
    Cancelled,
    Failed,
    Finished,
    Load,
    Open,
    Predict,
    Put,
    Request,
    Suggested,
    decode_answer,
    encode,
)

PAINTED = (1, 4)
_PART = (slice(72, 84, 2), slice(0, None, 2), slice(0, None, 2))


class Worker:
    """A worker process and its folder."""

    def __init__(self, folder: Path, code: str | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = ArrayFolder(folder)
        start = ["-c", code] if code else ["-m", "FewShotSegLib.worker"]
        self.process = subprocess.Popen(
            [sys.executable, *start, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def say(self, *requests: Request) -> None:
        self.write(*map(encode, requests))

    def write(self, *lines: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(lines))
        self.process.stdin.flush()

    def hear(self) -> Answer:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker has ended"
        return decode_answer(line)

    def hear_end(self, run: int) -> tuple[Any, list[Any]]:
        """The answer that ends a run, and those before."""
        before: list[Any] = []
        while True:
            answer = self.hear()
            if isinstance(answer, Finished | Failed | Cancelled | Suggested) and answer.run == run:
                return answer, before
            before.append(answer)

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.path.iterdir())

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)


class Liver:
    """Six slices of the sample scan, on two of which the liver is painted."""

    def __init__(self, scan: SampleScan) -> None:
        spacing = [2 * s for s in scan.image.spacing]
        self.volume = Volume.from_array(scan.image.array[_PART], spacing, scan.image.origin, name="CT")
        value = next(value for value, name in scan.labels.names.items() if name == "liver")
        self.truth = scan.labels.array[_PART] == value

    def example(self, index: int, **changes: Any) -> Example:
        return Example(self.volume, 0, index, self.truth[index], {1: "liver"}, **changes)

    def put(self, folder: ArrayFolder, run: int, index: int, **changes: Any) -> Put:
        return Put.of(run, 1, str(index), 1, self.example(index, **changes), folder)

    def opening(self, folder: ArrayFolder, run: int, device: str = "cpu") -> list[Request]:
        load = Load.of(run, 1, self.volume, folder)
        whole = Open(run=run, session=1, volume=1, start=(0, 0, 0), stop=self.volume.shape, device=device)
        return [load, whole, *(self.put(folder, run, index) for index in PAINTED)]

    def dice(self, labels: np.ndarray, index: int) -> float:
        found = labels[index] > 0
        return float(2 * (found & self.truth[index]).sum() / (found.sum() + self.truth[index].sum()))


def predict(run: int, **changes: Any) -> Predict:
    fields: dict[str, Any] = {"run": run, "session": 1, "quality": "fast"}
    return Predict(**fields | changes)
