"""Faults while the shell command works: killed, out of memory, no room, files that vanish, nobody who listens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from FewShotSegLib.errors import FewShotSegError
from FewShotSegLib.volume import Volume
from FewShotSegLib.weights import BUNDLED, load_network

from . import phantom
from .row import Row, Unexpected, contents, require_message, require_unchanged
from .shell import OLD, OUTPUT, SEGMENT, end, require_failure, require_good_result, start

Disturb = Callable[[Path, "subprocess.Popen[str]"], object]

_RANDOM = random.Random(0)
# Within so many seconds a run is over that nothing disturbs.
_LONGEST = 3.0


def _ready(folder: Path) -> dict[str, object]:
    phantom.write(folder)
    (folder / OUTPUT).write_bytes(OLD)
    return contents(folder)


def _moments(count: int) -> list[float]:
    """Seconds after the start: one in each of so many equal parts of a run."""
    return [round((part + _RANDOM.random()) * _LONGEST / count, 2) for part in range(count)]


def killed(number: signal.Signals, after: float) -> Row:
    """A signal at some moment: the older result stays, or the new one is complete."""

    def run(folder: Path) -> str:
        before = _ready(folder)
        process = start(folder, [*SEGMENT, "--output", OUTPUT])
        time.sleep(after)
        process.send_signal(number)
        code, said = end(process)
        if code == 0:
            require_unchanged(before, folder, but=(OUTPUT,))
            return f"was done already: {require_good_result(folder / OUTPUT)}"
        if (folder / OUTPUT).read_bytes() != OLD:  # it was complete before the signal came
            require_unchanged(before, folder, but=(OUTPUT,))
            return f"exit {code}, but complete: {require_good_result(folder / OUTPUT)}"
        # A program that was killed at once can't tidy up; only what it was writing may be left, under another name.
        left = tuple(name for name in contents(folder) if name.endswith(".part")) if number == signal.SIGKILL else ()
        require_unchanged(before, folder, but=left)
        if number == signal.SIGINT and after > 0.5:  # before, Python itself is still starting
            # A shell that is told so by the signal itself stops its loop, too; it calls that 130.
            return require_failure(130 if code == -signal.SIGINT else code, said, "stopped", 130)
        if "Traceback" in said and after > 0.5:
            raise Unexpected(f"a traceback: {said.strip()[-200:]}")
        return f"ended by the signal (exit {code}), the older output is untouched"

    return Row(
        f"{number.name} {after} s after the start", "the older output untouched or a whole new one, nothing left", run
    )


def limited(did: str, limit: str, words: str, more: tuple[str, ...] = (), code: int | None = 1) -> Row:
    """A limit of the shell: a right result, or a message and no change."""

    def run(folder: Path) -> str:
        before = _ready(folder)
        ended, said = end(start(folder, [*SEGMENT, "--output", OUTPUT, *more], prefix=f"{limit}; "))
        if ended == 0:
            require_unchanged(before, folder, but=(OUTPUT, *more))
            return require_good_result(folder / OUTPUT)
        got = require_failure(ended, said, words, ended if code is None else code)
        require_unchanged(before, folder)
        return got

    return Row(did, f"a message ({words}) or a right result", run)


def works(did: str, prefix: str = "", environment: dict[str, str] | None = None, **options: Any) -> Row:
    """Surroundings in which a right result is none the less to be had."""

    def run(folder: Path) -> str:
        before = _ready(folder)
        pipes = {name: open(value, "r+b") if isinstance(value, str) else value for name, value in options.items()}  # noqa: SIM115
        process = start(folder, [*SEGMENT, "--output", OUTPUT], prefix, env=environment or {}, **pipes)
        for stream in pipes.values():
            if hasattr(stream, "close"):
                stream.close()
        code, said = end(process)
        if code:
            raise Unexpected(f"exit {code}: {said.strip()[-200:]}")
        require_unchanged(before, folder, but=(OUTPUT,))
        return require_good_result(folder / OUTPUT)

    return Row(did, "a right result", run)


def vanishing(did: str, words: str, disturb: Callable[[Path], object], after: float) -> Row:
    """Something that vanishes in mid-run: a right result where it still can be, else a message."""

    def run(folder: Path) -> str:
        _ready(folder)
        (folder / "results").mkdir()
        process = start(folder, [*SEGMENT, "--output", "results/out.nrrd"])
        time.sleep(after)
        if process.poll() is not None:
            raise Unexpected("was done already")
        disturb(folder)
        code, said = end(process)
        result = folder / "results" / "out.nrrd"
        if code == 0:
            return require_good_result(result)
        got = require_failure(code, said, words)
        if result.exists() and result.stat().st_mode & 0o100000 and not result.is_dir():
            raise Unexpected(f"{got}, and yet a file")
        return got

    return Row(f"{did} {after} s after the start", f"a right result, or a message: {words}", run)


def weights(did: str, change: Callable[[Path], object]) -> Row:
    """Weights that are not what they were."""

    def run(folder: Path) -> str:
        file = folder / "w.safetensors"
        shutil.copyfile(BUNDLED, file)
        shutil.copyfile(f"{BUNDLED}.sha256", f"{file}.sha256")
        change(file)
        try:
            load_network(file)
        except FewShotSegError as error:
            return f"{type(error).__name__}: {require_message(str(error), 'weights|SHA-256')}"
        raise Unexpected("no error")

    return Row(did, "the package's error about the weights", run, short=True)


def _flip(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)


def _other(file: Path) -> None:
    Volume.from_array(np.zeros((2, 2, 2))).write(file.with_suffix(".nrrd"))
    file.write_bytes(file.with_suffix(".nrrd").read_bytes())


def _as_folder(folder: Path) -> None:
    (folder / "results" / "out.nrrd").mkdir()


def _mib(count: int) -> str:
    return f"ulimit -v {count * 1024}"


def _closing(process_folder: Path) -> None:
    shutil.rmtree(process_folder / "results")


_MEMORY = "memory"

KILLED = [
    killed(number, after)
    for number, count in ((signal.SIGKILL, 5), (signal.SIGTERM, 3), (signal.SIGINT, 4), (signal.SIGHUP, 2))
    for after in _moments(count)
]
LIMITED = [
    # Where torch finds none while it is being loaded, C++ says so in its own words and ends the process.
    limited("600 MiB of memory", _mib(600), f"{_MEMORY}|bad_alloc", code=None),
    limited("750 MiB of memory", _mib(750), f"{_MEMORY}|bad_alloc", code=None),
    *(limited(f"{size} MiB of memory", _mib(size), _MEMORY) for size in (900, 1000, 1100)),
    limited("files may not have a byte", "ulimit -f 0", "written|room|large|disk"),
    limited(
        "files of 1 KiB at most, with a confidence",
        "ulimit -f 1",
        "written|room|large|disk",
        ("--confidence", "s.nrrd"),
    ),
    limited("20 open files at most", "ulimit -n 20", "open files|can't be|too many"),
]
WORKS = [
    works("standard output closed", "exec >&-; "),
    works("standard error closed", "exec 2>&-; "),
    works("all three streams closed", "exec <&- >&- 2>&-; "),
    works("output into a full device", stdout="/dev/full", stderr="/dev/full"),
    works("ASCII terminal", environment={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}),
    works("no home folder", "unset HOME; "),
    works("temporary folder that is not there", environment={"TMPDIR": "/absent"}),
    works("a number of threads that is none", environment={"OMP_NUM_THREADS": "many"}),
    works("no environment but the path", "unset $(compgen -e | grep -v -e ^PATH$ -e ^PYTHONPATH$); "),
]
VANISHING = [
    vanishing("query removed", "no file|can't be read|not there", lambda f: (f / "ct.nrrd").unlink(), 0.2),
    vanishing("query removed", "no file|can't be read|not there", lambda f: (f / "ct.nrrd").unlink(), 1.2),
    vanishing("labelmap cut off", "can't be read|incomplete", lambda f: os.truncate(f / "painted.nrrd", 300), 0.1),
    vanishing("output folder removed", "folder|written", _closing, 0.8),
    vanishing("output became a folder", "folder|written|replace", _as_folder, 0.8),
    vanishing("working folder removed", "folder|written|no file|can't be", shutil.rmtree, 0.8),
]
WEIGHTS = [
    weights("weights removed", Path.unlink),
    weights("weights emptied", lambda file: file.write_bytes(b"")),
    weights("weights cut in half", lambda file: os.truncate(file, file.stat().st_size // 2)),
    weights("one bit of the weights flipped", _flip),
    weights("an image in place of the weights", _other),
]
ROWS = [*KILLED, *LIMITED, *WORKS, *VANISHING, *WEIGHTS]
