"""``fewshotseg benchmark --speed``, beside a busy program: what a first result takes there, and on one quiet thread.

In Slicer the busy program is Slicer itself, whose rendering keeps a core at work. Threads that wait actively for one
whose core is taken make a run ten times as long; the goal is twice the time of one quiet thread at most.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from FewShotSegLib import threads
from FewShotSegLib.evaluation.engine import FAST_MODEL
from FewShotSegLib.evaluation.report import number, table
from FewShotSegLib.evaluation.results import ResultsFile
from FewShotSegLib.evaluation.speed import Record, SpeedPlan, by_case, in_a_process, middle, ratio

FILE = "speed_busy.jsonl"
NOTES = """\
Seconds to the first result, median over repeats: on one thread of a quiet machine; on several threads while as many
other programs keep a core busy as it takes for one of these threads to share its core; and on the threads that a worker
takes by itself beside the same. Ratios: by one quiet thread in the same repeat; the goal is 2 at most.
"""
QUIET, SHARED, OWN = "quiet", "shared", "own"


def measure_beside(plan: SpeedPlan, fresh: bool = False) -> tuple[list[Record], int]:
    """Runs what is missing, of real cases and the quality that users get without asking.

    Args:
        plan: What to measure; its methods are not looked at.
        fresh: Whether to measure again what is there.

    Returns:
        The records, and the number of measurements that failed.
    """
    results = ResultsFile(plan.output, FILE)
    results.start_new_line()
    done = {} if fresh else results.finished()
    busy = max(threads.cores() - plan.threads + 1, 1)
    conditions = {QUIET: (1, 0), SHARED: (plan.threads, busy), OWN: (threads.best_count(), busy)}
    cases = [case for case in plan.cases if case.dataset]
    wanted, failed = set(), 0
    for repeat, case, name in ((r, c, n) for r in range(plan.repeats) for c in cases for n in conditions):
        count, beside = conditions[name]
        part = replace(plan, threads=count)
        key = f"{part.key(FAST_MODEL, case, repeat)}|{name}|{beside}"
        wanted.add(key)
        if key in done:
            continue
        with busy_programs(beside):
            measured = in_a_process(part, FAST_MODEL, case)
        about = {"key": key, "case": case.name, "repeat": repeat, "run": plan.run, "condition": name}
        record = about | {"threads": count, "busy": beside, "device": plan.device} | measured
        results.append(record)
        failed += "error" in record
        what = record.get("error") or f"{record['first_s']:.2f} s"
        print(f"{case.name}, {count} threads beside {beside} busy programs: {what}", file=sys.stderr, flush=True)
    return [record for key, record in results.finished().items() if key in wanted], failed


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """So many programs keep a core busy each, as long as the block lasts."""
    # They end with this process, too, where the system tells.
    code = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass"
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def to_markdown(records: Iterable[Record]) -> str:
    """A table of all cases; "" without records."""
    header = ["Case", "Repeats", "Quiet, s", "Shared, s", "Own, s", "Threads", "Shared / quiet", "Own / quiet"]
    rows = []
    for case, measured in by_case(records).items():
        found = {name: [r for r in measured if r["condition"] == name] for name in (QUIET, SHARED, OWN)}
        seconds = [number(middle(found[name], "first_s"), 2) for name in found]
        ratios = [number(ratio(found[name], found[QUIET], "first_s"), 2) for name in (SHARED, OWN)]
        counts = ", ".join(str(found[name][-1]["threads"]) for name in (SHARED, OWN) if found[name])
        rows.append([case, str(len(found[QUIET])), *seconds, counts, *ratios])
    return f"\n## Beside a busy program\n\n{NOTES}\n{table(header, rows)}\n" if rows else ""
