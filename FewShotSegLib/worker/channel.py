"""The worker's side of the conversation."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO

from FewShotSegLib.worker.protocol import Answer, Cancel, ProtocolError, Request, decode_request, encode


class Channel:
    """Reads requests in a thread of its own, so that a cancellation is noticed during a run; writes answers.

    Args:
        source: binary stream of requests.
        sink: binary stream of answers.
        on_end: called in the reading thread when the source ends.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO, on_end: Callable[[], None]) -> None:
        self._source, self._sink, self._on_end = source, sink, on_end
        self._requests: SimpleQueue[Request | ProtocolError] = SimpleQueue()
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

    def next_request(self) -> Request | ProtocolError:
        """Waits for the next request other than a cancellation, or for one of some run that can't be understood."""
        return self._requests.get()

    def is_cancelled(self, run: int) -> bool:
        """Whether a run is to end."""
        return run in self._cancelled

    def send(self, answer: Answer) -> None:
        """Sends an answer."""
        self._sink.write(encode(answer))
        self._sink.flush()

    def _read(self) -> None:
        for line in self._source:
            try:
                request = decode_request(line)
            except ProtocolError as error:  # whatever is said, what is said next is listened to
                if error.run is not None:
                    self._requests.put(error)
                with contextlib.suppress(OSError, ValueError):
                    print(error, file=sys.stderr)
            else:
                if isinstance(request, Cancel):
                    self._cancelled.add(request.run)
                else:
                    self._requests.put(request)
        self._on_end()
