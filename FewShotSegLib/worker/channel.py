"""The worker's side of the conversation."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from io import TextIOWrapper
from queue import SimpleQueue
from typing import Any, BinaryIO

Message = dict[str, Any]


class Channel:
    """Reads requests in a thread of its own, so that a cancellation is noticed during a run; writes answers.

    Args:
        source: binary stream of requests.
        sink: binary stream of answers.
        on_end: called in the reading thread when the source ends.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO, on_end: Callable[[], None]) -> None:
        self._source, self._on_end = source, on_end
        self._sink = TextIOWrapper(sink, encoding="utf-8", newline="\n")
        self._requests: SimpleQueue[Message] = SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def of_process(cls, on_end: Callable[[], None]) -> Channel:
        """A channel on standard input and output, which are this channel's alone from then on.

        Whatever else in the process prints goes to standard error.
        """
        sink = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(sys.stdin.buffer, sink, on_end)

    def next_request(self) -> Message:
        """Waits for the next request other than a cancellation."""
        return self._requests.get()

    def is_cancelled(self, run: int) -> bool:
        """Whether a run is to end."""
        return run in self._cancelled

    def send(self, message: Message) -> None:
        """Sends an answer."""
        self._sink.write(json.dumps(message) + "\n")
        self._sink.flush()

    def _read(self) -> None:
        for line in self._source:
            try:
                message = json.loads(line)
                what, run = message["do"], int(message["run"])
                if what == "cancel":
                    self._cancelled.add(run)
                elif what == "segment":
                    self._requests.put(message)
                else:
                    raise ValueError(f"nothing is called {what!r} here")
            except Exception as error:  # whatever is said, what is said next is listened to
                with contextlib.suppress(OSError, ValueError):
                    print(f"not understood ({type(error).__name__}: {error}): {line[:200]!r}", file=sys.stderr)
        self._on_end()
