"""What a cohort run tells of itself as it goes, for a program that started it: a JSON object a line."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from FewShotSegLib.cohort.record import Record
from FewShotSegLib.errors import Cancelled


class Events:
    """Writes lines instead of a bar; see `Progress`.

    * `{"event": "progress", "what": "segmenting", "done": 1.4, "total": 6, "left": "2 min left"}`, at most a hundred
      times for each case
    * `{"event": "case", "case": "a", "status": "done"}` when a case's results are written

    A run whose reader is gone, with the application that started it for instance, ends: `Cancelled` is raised then.

    Args:
        stream: standard output if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._told: Any = None

    def __call__(self, what: str, done: float, total: int, left: str = "") -> None:
        """Tells of progress; of parts of a case by the hundredth."""
        now = what, round(done, 2), total
        if now != self._told:
            self._told = now
            self._write(event="progress", what=what, done=round(done, 2), total=total, left=left)

    def case(self, record: Record) -> None:
        """Tells of a case."""
        self._write(event="case", case=record.case, status=record.status)

    def close(self) -> None:
        """Nothing is left open."""

    def _write(self, **event: Any) -> None:
        try:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError for a closed stream
            raise Cancelled("Nobody reads what the run tells any more; start it again, and it goes on.") from error
