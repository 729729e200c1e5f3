"""The worker process."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from FewShotSegLib.worker.array_folder import ArrayFolder
from FewShotSegLib.worker.channel import Channel
from FewShotSegLib.worker.protocol import Ready
from FewShotSegLib.worker.service import Service


def main(arguments: Sequence[str]) -> NoReturn:
    """Serves until standard input ends.

    Args:
        arguments: the folder in which arrays are exchanged.
    """
    if len(arguments) != 1:
        sys.exit("usage: python -m FewShotSegLib.worker FOLDER")
    folder = Path(arguments[0])

    def end() -> NoReturn:
        # The application is gone or wants no more. What goes on in other threads is of no use then, and may take long.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    _be_considerate()
    channel = Channel.of_process(end)
    service = Service(ArrayFolder(folder), channel.send, channel.is_cancelled)
    try:
        channel.send(Ready())
        while True:
            service.handle(channel.next_request())
    except OSError:  # nobody listens any more; Windows has no type of its own for a broken pipe
        end()


def _be_considerate() -> None:
    """Lets the application go first: it has to answer its user while the engine works."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows, where the application starts it that way
        os.nice(5)
